"""Calibration error, temperature and certainty threshold, against their formulas and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from genre.evaluation.calibration import certainty_threshold, distance_threshold, fit_temperature, reliability_bins


def multiclass_logits(tracks=400, genres=4, scale=3.0, seed=0):
    """Return logits that are ``scale`` times too large, (tracks, 1, genres), and targets drawn at the right scale."""
    random = np.random.default_rng(seed)
    logits = random.standard_normal((tracks, genres)) * 1.5
    chosen = (softmax(logits, axis=1).cumsum(1) > random.random((tracks, 1))).argmax(1)
    return (scale * logits).astype(np.float32)[:, None], np.eye(genres, dtype=bool)[chosen]


def multilabel_logits(tracks=400, genres=4, scale=3.0, seed=0):
    random = np.random.default_rng(seed)
    logits = random.standard_normal((tracks, genres)) * 1.5
    return (scale * logits).astype(np.float32)[:, None], random.random((tracks, genres)) < expit(logits)


BOTH_TASKS = pytest.mark.parametrize(
    ("make", "multilabel"), [(multiclass_logits, False), (multilabel_logits, True)], ids=["multiclass", "multilabel"]
)


def calibration_error(confidence, right, bins=15):
    """Equation 3 of Guo et al. 2017, written out."""
    error = 0.0
    for low in range(bins):
        inside = [k for k, c in enumerate(confidence) if low / bins < c <= (low + 1) / bins]
        if inside:
            probability = sum(confidence[k] for k in inside) / len(inside)
            accuracy = sum(bool(right[k]) for k in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - probability)
    return error


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_error_equals_its_formula(make_predictions, seed):
    logits, targets = multiclass_logits(seed=seed)
    probabilities = softmax(logits[:, 0].astype(float), axis=1)
    expected = calibration_error(probabilities.max(1), targets[np.arange(400), probabilities.argmax(1)])
    assert reliability_bins(make_predictions(targets, probabilities)).error == pytest.approx(expected)


def test_with_several_genres_each_genre_of_a_track_is_a_case(make_predictions):
    logits, targets = multilabel_logits()
    probabilities = expit(logits[:, 0].astype(float))
    bins = reliability_bins(make_predictions(targets, probabilities, multilabel=True))
    assert bins.error == pytest.approx(calibration_error(probabilities.ravel(), targets.ravel()))
    assert bins.count.sum() == 400 * 4


def test_known_calibration_errors(make_predictions):
    targets = np.array([[True, False]] * 7 + [[False, True]] * 3)
    assert reliability_bins(make_predictions(targets, np.tile([0.7, 0.3], (10, 1)))).error == pytest.approx(0)
    assert reliability_bins(make_predictions(targets, np.tile([0.9, 0.1], (10, 1)))).error == pytest.approx(0.2)
    assert reliability_bins(make_predictions(targets, np.tile([1.0, 0.0], (10, 1)))).error == pytest.approx(0.3)


@BOTH_TASKS
def test_the_temperature_is_the_minimum_that_scipy_finds_of_scikit_learns_log_loss(make, multilabel):
    logits, targets = make()

    def loss(log_temperature):
        scaled = logits[:, 0].astype(float) / np.exp(log_temperature[0])
        if multilabel:
            return log_loss(targets.ravel(), expit(scaled).ravel())
        return log_loss(targets.argmax(1), softmax(scaled, axis=1))

    expected = float(np.exp(minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-7}).x[0]))
    assert fit_temperature(logits, targets, multilabel) == pytest.approx(expected, rel=1e-4)


@BOTH_TASKS
def test_a_known_temperature_is_recovered_and_lowers_the_calibration_error(make_predictions, make, multilabel):
    logits, targets = make(tracks=4000)
    temperature = fit_temperature(logits, targets, multilabel)
    assert temperature == pytest.approx(3, rel=0.08)
    probabilities = [expit(x) if multilabel else softmax(x, axis=1) for x in (logits[:, 0], logits[:, 0] / temperature)]
    before, after = (
        reliability_bins(make_predictions(targets, each.astype(float), multilabel=multilabel)).error
        for each in probabilities
    )
    assert after < 0.03 < 0.1 < before


def test_crops_are_averaged_as_probabilities():
    one, targets = multiclass_logits()
    crops = np.repeat(one, 3, axis=1)
    assert fit_temperature(crops, targets, False) == pytest.approx(fit_temperature(one, targets, False), rel=1e-4)


def test_a_validation_set_without_errors_gives_a_low_temperature_above_0():
    logits = np.array([[[4.0, 0.0]], [[0.0, 4.0]]], np.float32)
    assert 0.05 <= fit_temperature(logits, np.eye(2, dtype=bool), False) < 0.5


@pytest.fixture
def threshold_of(make_predictions):
    """Return the certainty threshold of tracks with two genres, given their highest probabilities."""

    def threshold(highest, right, accuracy):
        probabilities = np.stack([highest, 1 - np.array(highest)], axis=1)
        targets = np.stack([right, ~np.array(right)], axis=1)
        return certainty_threshold(make_predictions(targets, probabilities), accuracy)

    return threshold


def test_the_certainty_threshold_is_the_lowest_whose_tracks_are_right_often_enough(threshold_of):
    highest, right = [0.95, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, False]
    assert threshold_of(highest, right, 1.0) == pytest.approx(0.85)  # two of two; three would be two of three
    assert threshold_of(highest, right, 0.75) == pytest.approx(0.65)  # three of four
    assert threshold_of(highest, right, 0.6) == 0  # all tracks


def test_where_no_threshold_is_right_often_enough_every_track_is_uncertain(threshold_of):
    assert threshold_of([0.9, 0.8], [False, True], 0.9) == 1


def test_equally_probable_tracks_count_together(threshold_of):
    assert threshold_of([0.9, 0.8, 0.8, 0.7], [True, True, False, False], 0.9) == pytest.approx(0.85)


def test_at_most_one_validation_track_in_twenty_is_too_far_away():
    distances = np.random.default_rng(0).permutation(40) / 10
    assert distance_threshold(distances) == 3.7 == np.sort(distances)[int(np.ceil(0.95 * 40)) - 1]  # two are beyond
    assert distance_threshold(distances[:19]) == distances[:19].max()
    assert distance_threshold(np.array([0.5])) == 0.5


def test_the_certainty_threshold_ignores_tracks_that_are_too_far_away(make_predictions):
    highest = np.array([0.95, 0.9, 0.8, 0.7])
    targets = np.eye(2, dtype=bool)[[1, 0, 0, 1]]  # the first and the last are wrong
    distances = np.array([5.0, 0.1, 0.2, 0.3])
    tracks = replace(make_predictions(targets, np.stack([highest, 1 - highest], axis=1)), distances=distances)
    assert certainty_threshold(tracks, 0.9) == 1
    assert certainty_threshold(tracks, 0.9, beyond=1.0) == pytest.approx(0.75)


def test_with_several_genres_the_most_probable_one_must_be_right(make_predictions):
    targets = np.array([[True, True, False], [False, False, True]])
    probabilities = np.array([[0.2, 0.9, 0.8], [0.9, 0.1, 0.3]])
    assert make_predictions(targets, probabilities, multilabel=True).top_genre_correct.tolist() == [True, False]
