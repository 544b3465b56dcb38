"""Known power laws are found again, as scipy finds them, and the interval of the gain contains the true one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.stats import norm

from genre.curves.fit import extrapolate, fit_power_law

TRACKS = np.array([56.0, 112.0, 225.0, 450.0])


def power_law(tracks, scale, exponent, floor):
    return scale * (tracks / 450) ** -exponent + floor


@pytest.mark.parametrize("parameters", [(0.2, 0.3, 0.15), (0.35, 0.15, 0.0), (0.05, 0.7, 0.3), (0.1, 1.0, 0.02)])
def test_the_parameters_of_an_exact_power_law_are_found(parameters):
    law = fit_power_law(TRACKS, power_law(TRACKS, *parameters)[None])
    assert (law.scale[0], law.exponent[0], law.floor[0]) == pytest.approx(parameters, abs=1e-9)
    assert law.error([900, 45_000])[0] == pytest.approx(power_law(np.array([900, 45_000]), *parameters))


@settings(max_examples=10, deadline=None)
@given(errors=st.lists(st.floats(0.05, 0.9), min_size=4, max_size=4))
def test_no_fit_of_scipy_is_closer(errors):
    """Also to points that are no power law; scipy may stop at a local minimum, and exponents here are of two digits."""
    errors = np.array(errors)
    start = (max(errors[-1] / 2, 0.01), 0.3, errors[-1] / 2)
    theirs, _ = curve_fit(power_law, TRACKS, errors, p0=start, bounds=([0, 0, 0], [np.inf, 1, 1]))
    distance = ((power_law(TRACKS, *theirs) - errors) ** 2).sum()
    ours = ((fit_power_law(TRACKS, errors[None]).error(TRACKS)[0] - errors) ** 2).sum()
    assert ours <= distance + 1e-4


def test_the_gain_agrees_with_scipys_fit():
    errors = np.array([0.552, 0.463, 0.409, 0.351])
    theirs, _ = curve_fit(power_law, TRACKS, errors, p0=(0.2, 0.3, 0.15), bounds=([0, 0, 0], [1, 1, 1]))
    gain = power_law(450, *theirs) - power_law(900, *theirs)
    assert extrapolate(TRACKS, 1 - errors, 1 - errors[None]).gain == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("errors", [[0.4, 0.4, 0.4], [0.2, 0.3, 0.4], [0.0, 0.0, 0.0]], ids=["flat", "rising", "zero"])
def test_an_error_that_does_not_fall_is_a_flat_line_without_gain(errors):
    fitted = extrapolate(TRACKS[1:], 1 - np.array(errors), 1 - np.array([errors]))
    assert fitted.gain == pytest.approx(0, abs=1e-12) and fitted.gain_interval == pytest.approx((0, 0), abs=1e-12)
    assert fitted.accuracy(np.array([900.0]))[0] == pytest.approx(1 - np.mean(errors))


def resampled_accuracies(errors, generator, tested=600):
    """Accuracies of tracks that are hard at all sizes or at none, and of 300 resamples of them."""
    hardness = 0.8 * generator.standard_normal(tested)[:, None] + 0.6 * generator.standard_normal((tested, len(errors)))
    correct = (hardness > norm.ppf(errors)).astype(float)
    weights = generator.multinomial(tested, np.full(tested, 1 / tested), 300)
    return correct.mean(axis=0), weights @ correct / tested


@pytest.mark.parametrize("parameters", [(0.2, 0.3, 0.15), (0.05, 0.7, 0.3), (0.1, 0.5, 0.25), (0.35, 0.0, 0.0)])
def test_nine_of_ten_intervals_contain_the_true_gain(parameters):
    generator, found = np.random.default_rng(0), []
    gain = power_law(450, *parameters) - power_law(900, *parameters)
    for _ in range(40):
        fitted = extrapolate(TRACKS, *resampled_accuracies(power_law(TRACKS, *parameters), generator))
        low, high = fitted.gain_interval
        found.append(low - 1e-9 <= gain <= high + 1e-9)
    assert np.mean(found) >= 0.9
