"""Calibration: reliability of probabilities, the temperature, and the thresholds of certainty.

Everything is fitted on validation tracks; the genres of test tracks are never used.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax, logsumexp

from genre.evaluation.arrays import Bools, Floats
from genre.evaluation.predictions import Predictions

BINS = 15  # of equal width (Guo et al. 2017)
TEMPERATURES = (0.05, 20.0)  # bounds of the search; a validation set without errors has its optimum at 0
FAMILIAR = 0.95  # share of the validation tracks whose distance from the training tracks counts as usual


@dataclass(frozen=True)
class ReliabilityBins:
    """Probability and accuracy, bin by bin.

    Args:
        probability: (bins,) the mean probability; nan for an empty bin.
        accuracy: (bins,) the share of cases that are right; nan for an empty bin.
        count: (bins,) number of cases: tracks, or tracks times genres.
    """

    probability: Floats
    accuracy: Floats
    count: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of probability and accuracy, weighted by the counts."""
        distance = np.abs(self.probability - self.accuracy)
        return float(np.nansum(self.count * distance) / max(self.count.sum(), 1))


def reliability_bins(predictions: Predictions) -> ReliabilityBins:
    """Return bins of probabilities.

    Multiclass: a case is a track with its highest probability, right if that genre is the true one. Multilabel: a case
    is a genre of a track, right if the track has it.
    """
    if predictions.multilabel:
        probability, right = predictions.probabilities.ravel(), predictions.targets.ravel()
    else:
        probability, right = predictions.probabilities.max(1), predictions.top_genre_correct
    index = np.clip(np.ceil(probability * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, values.astype(float), BINS) for values in (probability, right)]
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(sums[0] / count, sums[1] / count, count)


def fit_temperature(logits: npt.NDArray[np.float32], targets: Bools, multilabel: bool) -> float:
    """Return the divisor of the logits that maximizes the likelihood of the targets (Guo et al. 2017).

    Args:
        logits: (tracks, crops, genres); a track's probability is the mean over its crops.
        targets: (tracks, genres).
    """
    logits_64 = logits.astype(float)

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits_64 / np.exp(log_temperature), targets, multilabel)

    result = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(result.x))


def negative_log_likelihood(logits: Floats, targets: Bools, multilabel: bool) -> float:
    """Return the mean negative log-likelihood of the targets: (tracks, crops, genres), (tracks, genres) -> nats."""
    log_crops = np.log(logits.shape[1])
    if not multilabel:
        log_probabilities = logsumexp(log_softmax(logits, axis=-1), axis=1) - log_crops
        return -float(log_probabilities[targets].mean())
    yes, no = (logsumexp(log_expit(sign * logits), axis=1) - log_crops for sign in (1, -1))
    return -float(np.where(targets, yes, no).mean())


def distance_threshold(distances: Floats) -> float:
    """Return the smallest of the distances (tracks,) that a share ``FAMILIAR`` of them does not exceed."""
    return float(np.quantile(distances, FAMILIAR, method="inverted_cdf"))


def certainty_threshold(predictions: Predictions, accuracy: float, beyond: float | None = None) -> float:
    """Return the lowest threshold above which the most probable genre is right for a share ``accuracy`` of tracks.

    It is the midpoint between the highest probabilities of the last track above it and the next track below; 0 if all
    tracks may be above it, 1 if even the most probable ones are wrong too often.

    Args:
        beyond: tracks with a larger distance are uncertain anyway and do not count; None: all count.
    """
    highest, right = predictions.probabilities.max(1), predictions.top_genre_correct
    if beyond is not None and predictions.distances is not None:
        near = predictions.distances <= beyond
        highest, right = highest[near], right[near]
    order = np.argsort(-highest, kind="stable")
    highest = highest[order]
    share = right[order].cumsum() / np.arange(1, len(order) + 1)
    following = np.append(highest[1:], -highest[-1])
    enough = np.flatnonzero((share >= accuracy) & (highest > following))
    return float((highest[enough[-1]] + following[enough[-1]]) / 2) if len(enough) else 1.0
