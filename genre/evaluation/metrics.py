"""Metrics with confidence intervals, computed for one weighting of the tracks or for a thousand at once (bootstrap).

The definitions are scikit-learn's (with ``zero_division=0``), over a matrix of weights (resamples, tracks).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from genre.evaluation.arrays import Bools, Floats
from genre.evaluation.intervals import RESAMPLES, TAILS, proportion_interval
from genre.evaluation.predictions import Predictions

WEIGHTS_AT_ONCE = 2_000_000  # in memory
PROPORTIONS = ("accuracy", "exact")  # metrics that are a share of the tracks


def compute_metrics(predictions: Predictions, weights: Floats | None = None, ranking: bool = True) -> dict[str, Floats]:
    """Return every metric for each weighting of the tracks: (resamples, tracks) -> name -> (resamples,).

    All tracks have weight 1 if ``weights`` is None; the result then has one value per metric.

    Args:
        ranking: whether those of several genres that go by the order of the probabilities are computed.
    """
    if weights is None:
        weights = np.ones((1, len(predictions.targets)))
    per_genre = per_genre_scores(predictions.targets, predictions.predicted, weights)
    counted = per_genre["support"] + per_genre["predicted"] > 0
    present = np.ones_like(counted) if predictions.multilabel else counted
    metrics = {
        "loss": weighted_mean(predictions.losses, weights),
        "accuracy": weighted_mean(predictions.correct, weights),
    }
    for name in ("precision", "recall", "f1"):
        metrics[f"macro_{name}"] = safe_divide((per_genre[name] * present).sum(1), present.sum(1))
    if predictions.multilabel:
        metrics |= multilabel_metrics(predictions, weights, per_genre)
        metrics |= ranking_metrics(predictions, weights) if ranking else {}
    return metrics


def multilabel_metrics(predictions: Predictions, weights: Floats, per_genre: dict[str, Floats]) -> dict[str, Floats]:
    """Return the metrics of the predicted genres for several genres per track: name -> (resamples,)."""
    targets, predicted = predictions.targets, predictions.predicted
    both, either = (targets & predicted).sum(1), (targets | predicted).sum(1)
    counts = per_genre["support"] + per_genre["predicted"]
    return {
        "exact": weighted_mean(predictions.correct, weights),
        "jaccard": weighted_mean(both / np.maximum(either, 1), weights),
        "micro_f1": safe_divide(2 * per_genre["correct"].sum(1), counts.sum(1)),
    }


def ranking_metrics(predictions: Predictions, weights: Floats) -> dict[str, Floats]:
    """Return the metrics of the order of the probabilities for several genres per track: name -> (resamples,).

    ``map`` and ``roc_auc`` are the macro-averaged areas under the precision-recall and ROC curves (PR-AUC, ROC-AUC).
    """
    targets, probabilities = predictions.targets, predictions.probabilities
    average_precision, area = ranking_scores(targets, probabilities, weights)
    return {
        "map": mean_of_defined(average_precision),
        "roc_auc": mean_of_defined(area),
        "lrap": weighted_mean(label_ranking_average_precision(targets, probabilities), weights),
    }


def metric_intervals(predictions: Predictions, seed: int = 0, ranking: bool = True) -> dict[str, list[float]]:
    """Return 95 % intervals over tracks, from 1,000 resamples: metric -> [low, high].

    Accuracy and exact matches have Wilson's interval where ``proportion_interval`` says that the bootstrap fails.
    """
    generator, tracks = np.random.default_rng(seed), len(predictions.targets)
    step = max(1, WEIGHTS_AT_ONCE // tracks)
    parts = []
    for first in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - first)
        weights = generator.multinomial(tracks, np.full(tracks, 1 / tracks), size).astype(float)
        parts.append(compute_metrics(predictions, weights, ranking))
    resampled = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    defined = {name: values[~np.isnan(values)] for name, values in resampled.items()}
    intervals = {name: np.quantile(values, TAILS).tolist() for name, values in defined.items() if len(values)}
    share = float(predictions.correct.mean())
    for name in intervals.keys() & set(PROPORTIONS):
        intervals[name] = list(proportion_interval(share, tracks, tuple(intervals[name])))
    return intervals


def weighted_mean(values: npt.NDArray[Any], weights: Floats) -> Floats:
    """Return weighted means: (tracks,), (resamples, tracks) -> (resamples,)."""
    return safe_divide(weights @ values, weights.sum(1))


def mean_of_defined(values: Floats) -> Floats:
    """Return the mean over the genres with a defined value: (resamples, genres) -> (resamples,); nan for none."""
    return np.where(np.isnan(values).all(1), np.nan, safe_divide(np.nansum(values, 1), (~np.isnan(values)).sum(1)))


def safe_divide(numerator: Floats, denominator: Floats) -> Floats:
    """Return the quotient, 0 where the denominator is 0."""
    quotient = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    return np.divide(numerator, denominator, out=quotient, where=denominator > 0)


def per_genre_scores(targets: Bools, predicted: Bools, weights: Floats) -> dict[str, Floats]:
    """Return precision, recall, F1 and their counts per genre: name -> (resamples, genres)."""
    correct, number, support = weights @ (targets & predicted), weights @ predicted, weights @ targets
    return {
        "correct": correct,
        "predicted": number,
        "support": support,
        "precision": safe_divide(correct, number),
        "recall": safe_divide(correct, support),
        "f1": safe_divide(2 * correct, number + support),
    }


def ranking_scores(targets: Bools, probabilities: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return average precision and area under the ROC curve per genre, (resamples, genres); nan where undefined."""
    pairs = [genre_ranking_scores(targets[:, g], probabilities[:, g], weights) for g in range(targets.shape[1])]
    precision, area = zip(*pairs, strict=True)
    return np.stack(precision, 1), np.stack(area, 1)


def genre_ranking_scores(targets: Bools, probability: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return both for one genre: (tracks,), (tracks,), (resamples, tracks) -> (resamples,) each. Ties are one step."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.diff(probability[order]) != 0, True)
    positive = np.cumsum(weights[:, order] * targets[order], axis=1)[:, last]
    negative = np.cumsum(weights[:, order] * ~targets[order], axis=1)[:, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, fallout = positive / positive[:, -1:], negative / negative[:, -1:]
    precision = safe_divide(positive, positive + negative)
    gained = np.diff(recall, axis=1, prepend=0)
    area = np.diff(fallout, axis=1, prepend=0) * (recall - gained / 2)
    return (gained * precision).sum(1), area.sum(1)


def label_ranking_average_precision(targets: Bools, probabilities: Floats) -> Floats:
    """Return the label-ranking average precision per track: (tracks, genres) twice -> (tracks,)."""
    tracks, genres = targets.nonzero()
    share = np.zeros(targets.shape)
    for begin in range(0, len(tracks), step := max(1, WEIGHTS_AT_ONCE // targets.shape[1])):
        rows, columns = tracks[begin : begin + step], genres[begin : begin + step]
        at_least = probabilities[rows] >= probabilities[rows, columns, None]
        share[rows, columns] = (at_least & targets[rows]).sum(1) / at_least.sum(1)
    count = targets.sum(1)
    score: Floats = safe_divide(share.sum(1), count)
    return np.where((count == 0) | (count == targets.shape[1]), 1.0, score)
