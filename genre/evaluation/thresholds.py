"""From which probability on a track has a genre: thresholds tuned on validation, and what each would give."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genre.evaluation.metrics import Bools, Floats, Judged, per_genre_scores, safe_divide

CANDIDATES = np.linspace(0.01, 0.99, 99)


def tune_thresholds(truth: Bools, probabilities: Floats, per_genre: bool, fallback: float) -> Floats:
    """The thresholds with the highest F1 on these tracks, (genres,).

    One threshold is shared and chosen by micro F1, or each genre has its own, chosen by its F1. Of several equally good
    ones the nearest to ``fallback`` is taken, which also stays for a genre without any track.

    Args:
        truth: (tracks, genres).
        probabilities: (tracks, genres).
        per_genre: whether each genre has its own.
        fallback: the threshold that is not tuned.
    """
    predicted = probabilities[None] > CANDIDATES[:, None, None]
    hits = (predicted & truth).sum(1, dtype=float)
    said = predicted.sum(1, dtype=float) + truth.sum(0)
    if not per_genre:
        hits, said = hits.sum(1, keepdims=True), said.sum(1, keepdims=True)
    f1 = np.round(safe_divide(2 * hits, said), 9)
    nearness = -np.abs(CANDIDATES - fallback)[:, None]
    best = np.lexsort((np.broadcast_to(nearness, f1.shape), f1), axis=0)[-1]
    tuned = np.where(f1.max(0) > 0, CANDIDATES[best], fallback)
    return np.broadcast_to(tuned, truth.shape[1:]).copy()


def threshold_curve(judged: Judged) -> dict[str, npt.NDArray[np.float64]]:
    """What each shared threshold would give: its exact matches, micro F1, genres a track and tracks with just one."""
    weights = np.ones((1, len(judged.targets)))
    rows = []
    for threshold in CANDIDATES:
        predicted = judged.probabilities > threshold
        counts = per_genre_scores(judged.targets, predicted, weights)
        f1 = 2 * counts["hits"].sum() / max(counts["support"].sum() + counts["named"].sum(), 1)
        number = predicted.sum(1)
        rows.append(((predicted == judged.targets).all(1).mean(), f1, number.mean(), (number == 1).mean()))
    return dict(zip(("exact", "micro_f1", "genres", "exactly_one"), np.array(rows).T, strict=True))


def baseline_predictions(judged: Judged, commonest: Sequence[bool]) -> dict[str, Judged]:
    """What could be said without a model, or with its ranking alone.

    Args:
        commonest: (genres,) the commonest set of genres in training.
    """
    order = np.argsort(-judged.probabilities, axis=1, kind="stable").argsort(axis=1)
    guesses = {
        "commonest_set": np.broadcast_to(np.array(commonest, bool), judged.targets.shape),
        "top_1": order < 1,
        "top_2": order < 2,
    }
    return {
        name: Judged(judged.targets, guess, judged.probabilities, judged.losses, judged.multilabel)
        for name, guess in guesses.items()
    }


def most_common_set(truth: Bools) -> Bools:
    """The set of genres that most tracks have: (tracks, genres) -> (genres,)."""
    sets, counts = np.unique(truth, axis=0, return_counts=True)
    commonest: Bools = sets[counts.argmax()]
    return commonest
