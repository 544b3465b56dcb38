"""Whether a probability of 70 % is right 70 times of 100, what makes it so, and from where on to trust it.

All of it is fitted on validation tracks; nothing here ever sees a test track's genre.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax, logsumexp

from genre.evaluation.metrics import Bools, Floats, Judged

BINS = 15  # of equal width (Guo et al. 2017)
TEMPERATURES = (0.05, 20.0)  # none is sought beyond; a validation set without mistakes would ask for 0


@dataclass(frozen=True)
class ReliabilityBins:
    """What was claimed beside what was true, bin by bin.

    Args:
        claimed: (bins,) the mean probability; nan for an empty bin.
        true: (bins,) how often that was right; nan for an empty bin.
        count: (bins,) of tracks, or of tracks times genres.
    """

    claimed: Floats
    true: Floats
    count: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of the two, weighted by the counts."""
        return float(np.nansum(self.count * np.abs(self.claimed - self.true)) / max(self.count.sum(), 1))


def reliability_bins(judged: Judged) -> ReliabilityBins:
    """Bins of probabilities.

    One genre a track: its best probability, right where that genre is the true one. Several: the probability of each
    genre of each track, right where the track has it.
    """
    if judged.multilabel:
        claimed, right = judged.probabilities.ravel(), judged.targets.ravel()
    else:
        claimed, right = judged.probabilities.max(1), top_genre_correct(judged)
    place = np.clip(np.ceil(claimed * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(
            np.bincount(place, claimed, BINS) / count, np.bincount(place, right.astype(float), BINS) / count, count
        )


def top_genre_correct(judged: Judged) -> Bools:
    """(tracks,) whether the most probable genre is one of the track's."""
    best = judged.probabilities.argmax(1)[:, None]
    right: Bools = np.take_along_axis(judged.targets, best, axis=1)[:, 0]
    return right


def fit_temperature(logits: npt.NDArray[np.float32], truth: Bools, several: bool) -> float:
    """What to divide logits by so that the probabilities of the true genres are highest (Guo et al. 2017).

    Args:
        logits: (tracks, crops, genres); a track's probability is the mean over its crops.
        truth: (tracks, genres).
    """
    wide = logits.astype(float)

    def surprise(log_temperature: float) -> float:
        return negative_log_likelihood(wide / np.exp(log_temperature), truth, several)

    found = minimize_scalar(surprise, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def negative_log_likelihood(logits: Floats, truth: Bools, several: bool) -> float:
    """The mean surprise about what is true: (tracks, crops, genres), (tracks, genres) -> nats."""
    crops = np.log(logits.shape[1])
    if not several:
        said = logsumexp(log_softmax(logits, axis=-1), axis=1) - crops
        return -float(said[truth].mean())
    yes, no = (logsumexp(log_expit(sign * logits), axis=1) - crops for sign in (1, -1))
    return -float(np.where(truth, yes, no).mean())


def certainty_threshold(judged: Judged, target: float) -> float:
    """From which best probability on a track counts as certain.

    The lowest threshold at which, of the tracks whose best probability reaches it, at least ``target`` have that genre;
    halfway to the next track below, 0 where all may count, 1 where even the most probable ones are wrong too often.
    """
    best = judged.probabilities.max(1)
    order = np.argsort(-best, kind="stable")
    best, share = best[order], top_genre_correct(judged)[order].cumsum() / np.arange(1, len(order) + 1)
    below = np.append(best[1:], -best[-1])
    enough = np.flatnonzero((share >= target) & (best > below))
    return float((best[enough[-1]] + below[enough[-1]]) / 2) if len(enough) else 1.0
