"""From logits to what is said in the end: the temperature, the thresholds and the certainty that a run has learnt."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from genre.data.datamodule import MusicData
from genre.evaluation import calibration, thresholds
from genre.evaluation.metrics import Bools, Floats
from genre.evaluation.predictions import Outcome, predict_batches
from genre.models.checkpoint import PostProcessing
from genre.models.classifier import Classifier, losses_and_probabilities
from genre.tasks import Multilabel, Task


def fit_postprocessing(
    classifier: Classifier, data: MusicData, train: Outcome, validation: Outcome | None
) -> PostProcessing:
    """All that is chosen on validation, after training; nothing without validation tracks.

    The temperature comes first, thresholds and certainty are chosen from the probabilities that it gives.
    """
    if validation is None:
        return PostProcessing()
    task = data.task
    known = with_mixtures(classifier, data, validation)
    learnt = PostProcessing()
    if task.calibrate:
        learnt = PostProcessing(temperature=calibration.fit_temperature(known.logits, known.targets, task.multilabel))
        known, validation = apply_temperature(known, task, learnt), apply_temperature(validation, task, learnt)
    learnt = replace(learnt, certain=calibration.certainty_threshold(validation, task.certain))
    if not isinstance(task, Multilabel):
        return learnt
    tuned = thresholds.tune_thresholds(
        known.targets, known.probabilities, task.thresholds == "per_genre", task.threshold
    )
    return replace(learnt, thresholds=tuned, commonest=thresholds.most_common_set(train.targets))


def with_mixtures(classifier: Classifier, data: MusicData, validation: Outcome) -> Outcome:
    """The validation tracks, and where training had mixtures of several genres mixtures of them too."""
    batches = list(data.mixtures("val")) if data.task.multilabel and data.pipeline.augment.mix else []
    if not batches:
        return validation
    mixed = predict_batches(classifier, batches, [], data.genres)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(validation, name), getattr(mixed, name)])
        for name in ("targets", "predicted", "probabilities", "losses", "logits", "features")
    }
    return replace(validation, **joined)


def apply_temperature(found: Outcome, task: Task, learnt: PostProcessing) -> Outcome:
    """The same logits at the temperature of the run, where it has one; decided by the thresholds of the task."""
    if learnt.temperature is None:
        return found
    logits = torch.from_numpy(found.logits) / learnt.temperature
    losses, probabilities = losses_and_probabilities(task, logits, torch.from_numpy(found.targets).float())
    return replace(
        found,
        losses=losses.double().numpy(),
        probabilities=probabilities.double().numpy(),
        predicted=task.decide(probabilities).numpy(),
    )


def apply_thresholds(found: Outcome, task: Task, tuned: Floats | None) -> Outcome:
    """What is predicted in the end: at the tuned thresholds where the task asks for those."""
    if tuned is None or not isinstance(task, Multilabel) or task.thresholds == "fixed":
        return found
    return replace(found, predicted=found.probabilities > tuned)


def uncertain_tracks(found: Outcome, learnt: PostProcessing) -> Bools | None:
    """(tracks,) whether the best probability is too low to rely on; None where no validation track told."""
    return None if learnt.certain is None else found.probabilities.max(1) < learnt.certain
