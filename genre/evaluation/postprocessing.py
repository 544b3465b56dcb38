"""From logits to what is said in the end: the temperature, the thresholds and the certainty that a run has learnt."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from genre.data.datamodule import MusicData
from genre.evaluation import calibration, thresholds
from genre.evaluation.metrics import Bools, Floats
from genre.evaluation.predictions import Outcome, judged
from genre.models.checkpoint import Learnt
from genre.models.classifier import Classifier, outcome
from genre.tasks import Multilabel, Task


def learn(classifier: Classifier, data: MusicData, train: Outcome, validation: Outcome | None) -> Learnt:
    """All that is chosen on validation, after training; nothing without validation tracks.

    The temperature comes first, thresholds and certainty are chosen from the probabilities that it gives.
    """
    if validation is None:
        return Learnt()
    task = data.task
    known = with_mixtures(classifier, data, validation)
    learnt = Learnt()
    if task.calibrate:
        learnt = Learnt(temperature=calibration.fit_temperature(known.logits, known.truth, task.several))
        known, validation = calibrated(known, task, learnt), calibrated(validation, task, learnt)
    learnt = replace(learnt, certain=calibration.certainty(validation, task.certain))
    if not isinstance(task, Multilabel):
        return learnt
    tuned = thresholds.tune(known.truth, known.probabilities, task.thresholds == "per_genre", task.threshold)
    return replace(learnt, thresholds=tuned, commonest=thresholds.commonest_set(train.truth))


def with_mixtures(classifier: Classifier, data: MusicData, validation: Outcome) -> Outcome:
    """The validation tracks, and where training had mixtures of several genres mixtures of them too."""
    batches = list(data.mixtures("val")) if data.task.several and data.pipeline.augment.mix else []
    if not batches:
        return validation
    mixed = judged(classifier, batches, [], data.genres)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(validation, name), getattr(mixed, name)])
        for name in ("truth", "predicted", "probabilities", "losses", "logits", "features")
    }
    return replace(validation, **joined)


def calibrated(found: Outcome, task: Task, learnt: Learnt) -> Outcome:
    """The same logits at the temperature of the run, where it has one; decided by the thresholds of the task."""
    if learnt.temperature is None:
        return found
    logits = torch.from_numpy(found.logits) / learnt.temperature
    losses, probabilities = outcome(task, logits, torch.from_numpy(found.truth).float())
    return replace(
        found,
        losses=losses.double().numpy(),
        probabilities=probabilities.double().numpy(),
        predicted=task.decide(probabilities).numpy(),
    )


def decided(found: Outcome, task: Task, tuned: Floats | None) -> Outcome:
    """What is predicted in the end: at the tuned thresholds where the task asks for those."""
    if tuned is None or not isinstance(task, Multilabel) or task.thresholds == "fixed":
        return found
    return replace(found, predicted=found.probabilities > tuned)


def uncertain(found: Outcome, learnt: Learnt) -> Bools | None:
    """(tracks,) whether the best probability is too low to rely on; None where no validation track told."""
    return None if learnt.certain is None else found.probabilities.max(1) < learnt.certain
