"""95 % confidence intervals over tracks: the percentile bootstrap, and Wilson's interval where the bootstrap fails."""

from collections.abc import Sequence

import numpy as np

from genre.evaluation.arrays import Floats

RESAMPLES = 1000
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
WILSON_BELOW = 40  # tracks; Brown, Cai and DasGupta (2001) recommend Wilson's interval for 40 or fewer
Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def bootstrap_means(values: Floats, groups: Sequence[str] | None = None, seed: int = 0) -> Floats:
    """Return the means of values over resampled tracks: (tracks,) -> (resamples,).

    Args:
        groups: group of each track; whole groups are resampled, because their tracks are not independent (cluster
            bootstrap, Davison and Hinkley 1997, section 3.8). None resamples tracks.
    """
    row_group = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(row_group.max()) + 1
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, row_group]
    means: Floats = weights @ values / weights.sum(axis=1)
    return means


def bootstrap_interval(values: Floats, groups: Sequence[str] | None = None) -> tuple[float, float]:
    """Return the bootstrap interval of a mean over tracks, (tracks,) with at least one track."""
    low, high = np.quantile(bootstrap_means(values, groups), TAILS)
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


def accuracy_interval(correct: Floats, groups: Sequence[str] | None = None) -> tuple[float, float] | None:
    """Return the interval of an accuracy, (tracks,) of values from 0 to 1; None without tracks.

    Args:
        groups: group of each track, as for ``bootstrap_means``.
    """
    if not len(correct):
        return None
    independent = len(correct) if groups is None else len(set(groups))
    return proportion_interval(float(correct.mean()), independent, bootstrap_interval(correct, groups))
