"""A power law fitted to errors over the number of training tracks, and what it says of twice as many."""

from dataclasses import dataclass

import numpy as np

from genre.evaluation.arrays import Floats
from genre.evaluation.intervals import TAILS

EXPONENTS = np.arange(1, 101) / 100  # Hestness et al. (2017) report 0.07 to 0.35; theory bounds it by 1


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = scale * (n / unit) ** -exponent + floor, for each of some curves.

    It is the form of Cortes et al. (1994) and Hestness et al. (2017). All parameters are 0 or more, so that the error
    never rises with the number of tracks.

    Args:
        unit: number of tracks.
        scale: (curves,).
        exponent: (curves,).
        floor: (curves,) the error that no number of tracks removes.
    """

    unit: float
    scale: Floats
    exponent: Floats
    floor: Floats

    def error(self, tracks: Floats) -> Floats:
        """(sizes,) numbers of tracks -> (curves, sizes)."""
        power = (np.asarray(tracks, float) / self.unit) ** -self.exponent[:, None]
        return self.scale[:, None] * power + self.floor[:, None]


def fit_power_law(tracks: Floats, errors: Floats) -> PowerLaw:
    """Fit curves by least squares.

    For a given exponent, scale and floor have a closed form; the best of ``EXPONENTS`` is taken (variable projection,
    Golub and Pereyra 1973). There are no local minima, and a thousand curves take as long as one of
    ``scipy.optimize.curve_fit``, with which a test compares it.

    Args:
        tracks: (sizes,) three or more, rising.
        errors: (curves, sizes) from 0 to 1.
    """
    best, unit = np.full(len(errors), np.inf), float(tracks[-1])
    scale, exponent, floor = (np.zeros(len(errors)) for _ in range(3))
    for candidate in EXPONENTS:
        power = (tracks / unit) ** -candidate
        for own_scale, own_floor in linear_parts(power, errors):
            distance = ((errors - own_scale[:, None] * power - own_floor[:, None]) ** 2).sum(axis=1)
            better = distance < best
            best[better], exponent[better] = distance[better], candidate
            scale[better], floor[better] = own_scale[better], own_floor[better]
    return PowerLaw(unit, scale, exponent, floor)


def linear_parts(power: Floats, errors: Floats) -> list[tuple[Floats, Floats]]:
    """Scale and floor that minimise the squares: both free, without floor, and without slope; none is negative.

    Args:
        power: (sizes,).
        errors: (curves, sizes).
    """
    centred, mean = power - power.mean(), errors.mean(axis=1)
    slope = errors @ centred / (centred @ centred)
    intercept = mean - slope * power.mean()
    allowed = (slope >= 0) & (intercept >= 0)
    flat = np.zeros(len(errors)), mean
    return [
        flat,
        (np.where(allowed, slope, 0.0), np.where(allowed, intercept, mean)),
        (errors @ power / (power @ power), np.zeros(len(errors))),
    ]


@dataclass(frozen=True)
class Extrapolation:
    """Accuracy at twice the largest number of training tracks.

    Args:
        law: fitted to the measured errors: one curve.
        resampled: fitted to the errors of resampled test tracks.
        tracks: the largest number of training tracks that was measured.
    """

    law: PowerLaw
    resampled: PowerLaw
    tracks: float

    @property
    def gain(self) -> float:
        """What twice the tracks add to the fitted accuracy."""
        return float(self.gains(self.law)[0])

    @property
    def gain_interval(self) -> tuple[float, float]:
        """Of the gain: percentiles over the resampled test tracks."""
        low, high = np.quantile(self.gains(self.resampled), TAILS)
        return float(low), float(high)

    def gains(self, law: PowerLaw) -> Floats:
        """The gain of each curve of a law, (curves,)."""
        now, then = law.error(np.array([self.tracks, 2 * self.tracks])).T
        gains: Floats = now - then
        return gains

    def accuracy(self, tracks: Floats) -> Floats:
        """(sizes,) numbers of training tracks -> fitted accuracies, and their interval: (3, sizes)."""
        low, high = np.quantile(1 - self.resampled.error(tracks), TAILS, axis=0)
        return np.stack([1 - self.law.error(tracks)[0], low, high])


def extrapolate(tracks: Floats, accuracy: Floats, resampled: Floats) -> Extrapolation:
    """Fit the curve, and again each of its resamples.

    Args:
        tracks: (sizes,) numbers of training tracks, rising.
        accuracy: (sizes,).
        resampled: (resamples, sizes) accuracies; each resample has the same test tracks at all sizes.
    """
    law, laws = (fit_power_law(tracks, 1 - values) for values in (accuracy[None], resampled))
    return Extrapolation(law, laws, float(tracks[-1]))
