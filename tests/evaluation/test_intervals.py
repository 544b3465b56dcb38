"""Confidence intervals equal scipy's."""

import numpy as np
import pytest
import scipy.stats

from genre.evaluation.intervals import accuracy_interval, bootstrap_interval, proportion_interval, wilson_interval


@pytest.mark.parametrize(("right", "tracks"), [(6, 6), (0, 6), (3, 7), (20, 39), (0, 100), (100, 100)])
def test_wilsons_interval_equals_scipys(right, tracks):
    expected = scipy.stats.binomtest(right, tracks).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right / tracks, tracks) == pytest.approx((expected.low, expected.high))


def test_six_right_tracks_of_six_do_not_have_an_interval_from_100_to_100_per_cent():
    low, high = accuracy_interval(np.ones(6))
    assert (low, high) == (pytest.approx(0.6097, abs=1e-4), 1)


def test_a_bootstrap_interval_without_width_is_replaced_for_many_tracks_too():
    assert accuracy_interval(np.zeros(100)) == wilson_interval(0, 100)


def test_other_intervals_of_many_tracks_are_the_bootstraps():
    correct = np.arange(40) % 3 == 0
    assert accuracy_interval(correct.astype(float)) == bootstrap_interval(correct.astype(float))
    assert proportion_interval(0.5, 39, (0.4, 0.6)) == wilson_interval(0.5, 39)


def test_an_accuracy_of_no_tracks_has_no_interval():
    assert accuracy_interval(np.array([])) is None


def test_the_bootstrap_interval_equals_scipys():
    correct = (np.random.default_rng(0).random(150) < 0.6).astype(float)
    expected = scipy.stats.bootstrap(
        (correct,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_interval(correct) == pytest.approx(list(expected), abs=0.015)


def test_the_interval_of_a_paired_difference_equals_scipys():
    random = np.random.default_rng(0)
    one = random.random(200) < 0.6
    other = np.where(random.random(200) < 0.9, one, ~one)
    expected = scipy.stats.bootstrap(
        (one.astype(float), other.astype(float)),
        lambda a, b: np.mean(a) - np.mean(b),
        paired=True, vectorized=False, n_resamples=4000, method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert bootstrap_interval(one.astype(float) - other) == pytest.approx(list(expected), abs=0.01)


def test_groups_of_equal_size_have_the_interval_of_their_means():
    """Ten tracks each of 60 artists: as scipy's bootstrap of 60 values, and wider than that of 600 tracks."""
    random = np.random.default_rng(0)
    shares = random.random(60)
    correct = (random.random((60, 10)) < shares[:, None]).astype(float)
    artists = [f"artist {number}" for number in range(60) for _ in range(10)]
    expected = scipy.stats.bootstrap(
        (correct.mean(axis=1),), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    low, high = bootstrap_interval(correct.ravel(), artists)
    assert (low, high) == pytest.approx(list(expected), abs=0.015)
    assert high - low > 1.5 * np.subtract(*bootstrap_interval(correct.ravel())[::-1])


def test_groups_of_one_track_change_nothing():
    correct = (np.random.default_rng(0).random(150) < 0.6).astype(float)
    assert bootstrap_interval(correct, [f"{n:03d}" for n in range(150)]) == bootstrap_interval(correct)


def test_a_few_groups_of_many_tracks_have_wilsons_interval_of_that_many():
    assert accuracy_interval(np.arange(60) % 2 * 1.0, [str(n % 6) for n in range(60)]) == wilson_interval(0.5, 6)
