"""Thresholds for several genres per track: tuning on validation tracks, curves, and baselines."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from genre.evaluation.arrays import Bools, Floats
from genre.evaluation.metrics import per_genre_scores, safe_divide
from genre.evaluation.predictions import Predictions

CANDIDATES = np.linspace(0.01, 0.99, 99)
SHRINKAGE = 3  # tracks of a genre at which its own threshold counts as much as the shared one


def tune_thresholds(targets: Bools, probabilities: Floats, per_genre: bool, fallback: float) -> Floats:
    """Return the thresholds with the highest F1 on these tracks, (genres,).

    A shared threshold maximizes micro F1. A threshold per genre lies between that which maximizes the genre's F1 and
    the shared one: a genre with n tracks takes its own with weight n / (n + 3), in log-odds. Of several equally good
    ones the nearest to ``fallback`` is chosen. Simulated genres with 1 to 30 tracks have a higher F1 than with either.

    Args:
        targets: (tracks, genres).
        probabilities: (tracks, genres).
        per_genre: whether each genre has its own threshold.
        fallback: the threshold that is not tuned.
    """
    number = targets.sum(0)
    predicted = (probabilities > candidate for candidate in CANDIDATES)
    correct, counts = np.stack([((each & targets).sum(0), each.sum(0) + number) for each in predicted], axis=1)
    (shared,) = best_candidates(correct.sum(1, keepdims=True), counts.sum(1, keepdims=True), fallback, fallback)
    if not per_genre:
        return np.full(number.shape, shared)
    own = best_candidates(correct, counts, fallback, shared)
    weight = number / (number + SHRINKAGE)
    return expit(weight * logit(own) + (1 - weight) * logit(shared))


def best_candidates(correct: Floats, counts: Floats, fallback: float, without: float) -> Floats:
    """Return the candidates with the highest F1, ``without`` where all have 0.

    Args:
        correct: (candidates, genres) true positives.
        counts: (candidates, genres) tracks of the genre and tracks predicted as it, together.
        fallback: of equally good candidates the nearest to it is chosen.

    Returns:
        (genres,).
    """
    f1 = np.round(safe_divide(2 * correct, counts), 9)
    nearness = -np.abs(CANDIDATES - fallback)[:, None]
    best = np.lexsort((np.broadcast_to(nearness, f1.shape), f1), axis=0)[-1]
    return np.where(f1.max(0) > 0, CANDIDATES[best], without)


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
