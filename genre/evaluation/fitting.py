"""Fit the post-processing of a run: the temperature, the thresholds of certainty and those of the genres."""

from dataclasses import replace

import torch

from genre.data.datamodule import MusicData
from genre.evaluation import calibration, thresholds
from genre.evaluation.predictions import Predictions, apply_temperature, concatenated, predict_batches
from genre.models.classifier import Classifier
from genre.models.postprocessing import PostProcessing
from genre.tasks import Multilabel, Task


def fit_postprocessing(
    classifier: Classifier, data: MusicData, train: Predictions, validation: Predictions | None
) -> PostProcessing:
    """Fit all parameters on validation tracks, after training; without any only the commonest set of genres is known.

    The temperature comes first; the thresholds are chosen from probabilities at that temperature. The certainty
    threshold is chosen from tracks that are not uncertain by their distance, so that ``task.certain`` holds for both.
    """
    postprocessing = PostProcessing(most_common_set=torch.from_numpy(thresholds.most_common_set(train.targets)))
    if validation is None:
        return postprocessing
    return fit_to(data.task, postprocessing, validation, with_mixtures(classifier, data, validation))


def fit_to(
    task: Task, postprocessing: PostProcessing, validation: Predictions, extended: Predictions
) -> PostProcessing:
    """Return the post-processing with what is fitted to predictions for tracks that were not trained on.

    Args:
        validation: of the tracks as they are.
        extended: the same and mixtures of them, or the same.
    """
    if task.calibrate:
        temperature = calibration.fit_temperature(extended.logits, extended.targets, task.multilabel)
        postprocessing = replace(postprocessing, temperature=temperature)
        extended, validation = (apply_temperature(each, task, postprocessing) for each in (extended, validation))
    beyond = None if validation.distances is None else calibration.distance_threshold(validation.distances)
    below = calibration.certainty_threshold(validation, task.certain, beyond)
    postprocessing = replace(postprocessing, uncertain_below=below, uncertain_beyond=beyond)
    if not isinstance(task, Multilabel):
        return postprocessing
    tuned = thresholds.tune_thresholds(
        extended.targets, extended.probabilities, task.thresholds == "per_genre", task.threshold
    )
    return replace(postprocessing, thresholds=torch.from_numpy(tuned))


def with_mixtures(classifier: Classifier, data: MusicData, validation: Predictions) -> Predictions:
    """Return the validation tracks, followed by unnamed mixtures of them if training had mixtures of several genres."""
    batches = list(data.mixtures("val")) if data.task.multilabel and data.pipeline.augment.mix else []
    if not batches:
        return validation
    mixed = predict_batches(classifier, batches, [], data.genres)
    return concatenated([validation, mixed])
