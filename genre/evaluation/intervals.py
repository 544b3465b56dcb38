"""95 % confidence intervals over tracks: the percentile bootstrap, and Wilson's interval where the bootstrap fails."""

import numpy as np

from genre.evaluation.arrays import Floats

RESAMPLES = 1000
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
WILSON_BELOW = 40  # tracks; Brown, Cai and DasGupta (2001) recommend Wilson's interval for 40 or fewer
Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def bootstrap_means(values: Floats, seed: int = 0) -> Floats:
    """Return the means of values over resampled tracks: (tracks,) -> (resamples,)."""
    tracks = len(values)
    weights = np.random.default_rng(seed).multinomial(tracks, np.full(tracks, 1 / tracks), RESAMPLES)
    means: Floats = weights @ values / tracks
    return means


def bootstrap_interval(values: Floats) -> tuple[float, float]:
    """Return the bootstrap interval of a mean over tracks, (tracks,) with at least one track."""
    low, high = np.quantile(bootstrap_means(values), TAILS)
    return float(low), float(high)


def wilson_interval(share: float, tracks: int) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927); it has a width even if all or no tracks count."""
    spread = Z**2 / tracks
    center = (share + spread / 2) / (1 + spread)
    half = Z * (share * (1 - share) / tracks + spread / (4 * tracks)) ** 0.5 / (1 + spread)
    return (0.0 if share == 0 else center - half), (1.0 if share == 1 else center + half)


def proportion_interval(share: float, tracks: int, bootstrap: tuple[float, float]) -> tuple[float, float]:
    """Return the interval of a proportion of tracks, such as the accuracy.

    It is the bootstrap interval, except where that is misleading: with fewer than 40 tracks, or if it has no width
    because all tracks are right or all are wrong. Wilson's interval is returned then.
    """
    low, high = bootstrap
    return wilson_interval(share, tracks) if tracks < WILSON_BELOW or low == high else bootstrap


def accuracy_interval(correct: Floats) -> tuple[float, float] | None:
    """Return the interval of an accuracy, (tracks,) of values from 0 to 1; None without tracks."""
    if not len(correct):
        return None
    return proportion_interval(float(correct.mean()), len(correct), bootstrap_interval(correct))
