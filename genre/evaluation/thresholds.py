"""Thresholds for several genres per track: tuning on validation tracks, curves, and baselines."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from genre.evaluation.arrays import Bools, Floats
from genre.evaluation.metrics import per_genre_scores, safe_divide
from genre.evaluation.predictions import Predictions

CANDIDATES = np.linspace(0.01, 0.99, 99)


def tune_thresholds(targets: Bools, probabilities: Floats, per_genre: bool, fallback: float) -> Floats:
    """Return the thresholds with the highest F1 on these tracks, (genres,).

    A shared threshold maximizes micro F1, a threshold per genre the genre's F1. Of several equally good ones the
    nearest to ``fallback`` is chosen; a genre without tracks has ``fallback``.

    Args:
        targets: (tracks, genres).
        probabilities: (tracks, genres).
        per_genre: whether each genre has its own threshold.
        fallback: the threshold that is not tuned.
    """
    predicted = probabilities[None] > CANDIDATES[:, None, None]
    correct = (predicted & targets).sum(1, dtype=float)
    counts = predicted.sum(1, dtype=float) + targets.sum(0)
    if not per_genre:
        correct, counts = correct.sum(1, keepdims=True), counts.sum(1, keepdims=True)
    f1 = np.round(safe_divide(2 * correct, counts), 9)
    nearness = -np.abs(CANDIDATES - fallback)[:, None]
    best = np.lexsort((np.broadcast_to(nearness, f1.shape), f1), axis=0)[-1]
    tuned = np.where(f1.max(0) > 0, CANDIDATES[best], fallback)
    return np.broadcast_to(tuned, targets.shape[1:]).copy()


def threshold_curve(predictions: Predictions) -> dict[str, Floats]:
    """Return exact matches, micro F1, genres per track and the share of tracks with one genre, per shared threshold."""
    weights = np.ones((1, len(predictions.targets)))
    rows = []
    for threshold in CANDIDATES:
        at_threshold = replace(predictions, predicted=predictions.probabilities > threshold)
        counts = per_genre_scores(at_threshold.targets, at_threshold.predicted, weights)
        number = at_threshold.predicted.sum(1)
        row = {
            "exact": at_threshold.correct.mean(),
            "micro_f1": 2 * counts["correct"].sum() / max(counts["support"].sum() + counts["predicted"].sum(), 1),
            "genres": number.mean(),
            "exactly_one": (number == 1).mean(),
        }
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def baseline_predictions(predictions: Predictions, most_common: Sequence[bool]) -> dict[str, Predictions]:
    """Return predictions that need no model, or only its ranking of the genres.

    Args:
        most_common: (genres,) the most frequent set of genres in training.
    """
    rank = np.argsort(-predictions.probabilities, axis=1, kind="stable").argsort(axis=1)
    baselines = {
        "commonest_set": np.broadcast_to(np.array(most_common, bool), predictions.targets.shape),
        "top_1": rank < 1,
        "top_2": rank < 2,
    }
    return {name: replace(predictions, predicted=predicted) for name, predicted in baselines.items()}


def most_common_set(targets: Bools) -> Bools:
    """Return the set of genres that most tracks have: (tracks, genres) -> (genres,)."""
    sets, counts = np.unique(targets, axis=0, return_counts=True)
    most_common: Bools = sets[counts.argmax()]
    return most_common
