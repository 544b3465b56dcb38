"""Every figure of merit, for one weighting of the tracks or a thousand at once, which is what a bootstrap needs.

The definitions are scikit-learn's (with ``zero_division=0``), written over a matrix of weights (resamples, tracks).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

RESAMPLES = 1000
LEVEL = 0.95
CHUNK = 2_000_000  # weights in memory at once


@dataclass(frozen=True)
class Judged:
    """What is known of some tracks, and what was said of them.

    Args:
        truth: (tracks, genres).
        predicted: (tracks, genres).
        probabilities: (tracks, genres).
        losses: (tracks,).
        several: whether a track may have several genres.
    """

    targets: Bools
    predicted: Bools
    probabilities: Floats
    losses: Floats
    multilabel: bool

    def scores(self, weights: Floats | None = None) -> dict[str, Floats]:
        """Every metric, for each weighting of the tracks: (resamples, tracks) -> name -> (resamples,)."""
        if weights is None:
            weights = np.ones((1, len(self.targets)))
        right = (self.targets == self.predicted).all(1)
        scores = {"loss": weighted_mean(self.losses, weights), "accuracy": weighted_mean(right, weights)}
        per_genre = per_genre_scores(self.targets, self.predicted, weights)
        present = (
            np.ones_like(per_genre["support"]) if self.multilabel else per_genre["support"] + per_genre["named"] > 0
        )
        for name in ("precision", "recall", "f1"):
            scores[f"macro_{name}"] = safe_divide((per_genre[name] * present).sum(1), present.sum(1))
        return scores | (self.multilabel_scores(weights, per_genre) if self.multilabel else {})

    def multilabel_scores(self, weights: Floats, per_genre: dict[str, Floats]) -> dict[str, Floats]:
        """The metrics that need several genres a track."""
        both, either = (self.targets & self.predicted).sum(1), (self.targets | self.predicted).sum(1)
        said = per_genre["support"] + per_genre["named"]
        average_precision, area = ranking_scores(self.targets, self.probabilities, weights)
        return {
            "exact": weighted_mean((self.targets == self.predicted).all(1), weights),
            "jaccard": weighted_mean(both / np.maximum(either, 1), weights),
            "micro_f1": safe_divide(2 * per_genre["hits"].sum(1), said.sum(1)),
            "map": mean_of_defined(average_precision),
            "roc_auc": mean_of_defined(area),
            "lrap": weighted_mean(label_ranking_average_precision(self.targets, self.probabilities), weights),
        }

    def intervals(self, seed: int = 0) -> dict[str, list[float]]:
        """95 % bootstrap intervals over tracks, 1,000 resamples: metric -> [low, high]."""
        generator, tracks = np.random.default_rng(seed), len(self.targets)
        step = max(1, CHUNK // tracks)
        parts = []
        for first in range(0, RESAMPLES, step):
            size = min(step, RESAMPLES - first)
            parts.append(self.scores(generator.multinomial(tracks, np.full(tracks, 1 / tracks), size).astype(float)))
        edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        drawn = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        known = {name: values[~np.isnan(values)] for name, values in drawn.items()}
        return {name: np.quantile(values, edges).tolist() for name, values in known.items() if len(values)}


def weighted_mean(values: npt.NDArray[Any], weights: Floats) -> Floats:
    """Weighted means: (tracks,), (resamples, tracks) -> (resamples,)."""
    return safe_divide(weights @ values, weights.sum(1))


def mean_of_defined(values: Floats) -> Floats:
    """The mean over the genres for which a value is defined: (resamples, genres) -> (resamples,); nan for none."""
    return np.where(np.isnan(values).all(1), np.nan, safe_divide(np.nansum(values, 1), (~np.isnan(values)).sum(1)))


def safe_divide(above: Floats, below: Floats) -> Floats:
    """A quotient that is 0 where its denominator is."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0)


def per_genre_scores(truth: Bools, predicted: Bools, weights: Floats) -> dict[str, Floats]:
    """Precision, recall, F1 and their counts for each genre: name -> (resamples, genres)."""
    hits, named, support = weights @ (truth & predicted), weights @ predicted, weights @ truth
    return {
        "hits": hits,
        "named": named,
        "support": support,
        "precision": safe_divide(hits, named),
        "recall": safe_divide(hits, support),
        "f1": safe_divide(2 * hits, named + support),
    }


def ranking_scores(truth: Bools, probabilities: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Average precision and area under the ROC curve of each genre, (resamples, genres); nan where undefined."""
    pairs = [genre_ranking_scores(truth[:, g], probabilities[:, g], weights) for g in range(truth.shape[1])]
    precision, area = zip(*pairs, strict=True)
    return np.stack(precision, 1), np.stack(area, 1)


def genre_ranking_scores(truth: Bools, probability: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The two for one genre: (tracks,), (tracks,), (resamples, tracks) -> (resamples,) each. Ties count as one step."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.diff(probability[order]) != 0, True)
    positive = np.cumsum(weights[:, order] * truth[order], axis=1)[:, last]
    negative = np.cumsum(weights[:, order] * ~truth[order], axis=1)[:, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, fallout = positive / positive[:, -1:], negative / negative[:, -1:]
    precision = safe_divide(positive, positive + negative)
    gained = np.diff(recall, axis=1, prepend=0)
    area = np.diff(fallout, axis=1, prepend=0) * (recall - gained / 2)
    return (gained * precision).sum(1), area.sum(1)


def label_ranking_average_precision(truth: Bools, probabilities: Floats) -> Floats:
    """Label-ranking average precision of each track: (tracks, genres) twice -> (tracks,)."""
    at_least = probabilities[:, None, :] >= probabilities[:, :, None]
    share = (at_least & truth[:, None, :]).sum(2) / at_least.sum(2)
    count = truth.sum(1)
    score: Floats = safe_divide((share * truth).sum(1), count)
    return np.where((count == 0) | (count == truth.shape[1]), 1.0, score)
