"""Probabilities are checked against what is true, and put right on validation tracks alone."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from genre.evaluation.calibration import certainty_threshold, fit_temperature, reliability_bins, top_genre_correct
from genre.evaluation.metrics import Judged


def judged_of(truth, probabilities, multilabel=False):
    return Judged(truth, probabilities > 0.5, probabilities, np.ones(len(truth)), multilabel)


def drawn(tracks=400, genres=4, scale=3.0, seed=0):
    """Logits that claim ``scale`` times what they should: the genres are drawn from those at their own scale."""
    random = np.random.default_rng(seed)
    logits = random.standard_normal((tracks, genres)) * 1.5
    chosen = (softmax(logits, axis=1).cumsum(1) > random.random((tracks, 1))).argmax(1)
    return (scale * logits).astype(np.float32)[:, None], np.eye(genres, dtype=bool)[chosen]


def drawn_of_several(tracks=400, genres=4, scale=3.0, seed=0):
    random = np.random.default_rng(seed)
    logits = random.standard_normal((tracks, genres)) * 1.5
    return (scale * logits).astype(np.float32)[:, None], random.random((tracks, genres)) < expit(logits)


def guos_error(confidence, right, bins=15):
    """Equation 3 of Guo et al. 2017, written out."""
    error = 0.0
    for low in range(bins):
        inside = [k for k, c in enumerate(confidence) if low / bins < c <= (low + 1) / bins]
        if inside:
            claimed = sum(confidence[k] for k in inside) / len(inside)
            true = sum(bool(right[k]) for k in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(true - claimed)
    return error


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_error_is_that_of_the_formula(seed):
    logits, truth = drawn(seed=seed)
    probabilities = softmax(logits[:, 0].astype(float), axis=1)
    expected = guos_error(probabilities.max(1), truth[np.arange(400), probabilities.argmax(1)])
    assert reliability_bins(judged_of(truth, probabilities)).error == pytest.approx(expected)


def test_with_several_genres_each_yes_and_no_is_a_case():
    logits, truth = drawn_of_several()
    probabilities = expit(logits[:, 0].astype(float))
    found = reliability_bins(judged_of(truth, probabilities, multilabel=True))
    assert found.error == pytest.approx(guos_error(probabilities.ravel(), truth.ravel()))
    assert found.count.sum() == 400 * 4


def test_known_errors():
    truth = np.array([[True, False]] * 7 + [[False, True]] * 3)
    assert reliability_bins(judged_of(truth, np.tile([0.7, 0.3], (10, 1)))).error == pytest.approx(0)
    assert reliability_bins(judged_of(truth, np.tile([0.9, 0.1], (10, 1)))).error == pytest.approx(0.2)
    assert reliability_bins(judged_of(truth, np.tile([1.0, 0.0], (10, 1)))).error == pytest.approx(0.3)


@pytest.mark.parametrize(("make", "multilabel"), [(drawn, False), (drawn_of_several, True)])
def test_the_temperature_is_the_minimum_that_scipy_finds_of_scikit_learns_log_loss(make, multilabel):
    logits, truth = make()

    def surprise(log_temperature):
        scaled = logits[:, 0].astype(float) / np.exp(log_temperature[0])
        if multilabel:
            return log_loss(truth.ravel(), expit(scaled).ravel())
        return log_loss(truth.argmax(1), softmax(scaled, axis=1))

    expected = float(np.exp(minimize(surprise, [0.0], method="Nelder-Mead", options={"xatol": 1e-7}).x[0]))
    assert fit_temperature(logits, truth, multilabel) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("make", "multilabel"), [(drawn, False), (drawn_of_several, True)])
def test_a_planted_temperature_is_found_and_lowers_the_calibration_error(make, multilabel):
    logits, truth = make(tracks=4000)
    temperature = fit_temperature(logits, truth, multilabel)
    assert temperature == pytest.approx(3, rel=0.08)
    probabilities = [expit(x) if multilabel else softmax(x, axis=1) for x in (logits[:, 0], logits[:, 0] / temperature)]
    before, after = (reliability_bins(judged_of(truth, each.astype(float), multilabel)).error for each in probabilities)
    assert after < 0.03 < 0.1 < before


def test_crops_are_averaged_as_probabilities():
    one, truth = drawn()
    crops = np.repeat(one, 3, axis=1)
    assert fit_temperature(crops, truth, False) == pytest.approx(fit_temperature(one, truth, False), rel=1e-4)


def test_a_validation_set_without_mistakes_asks_for_a_low_one_but_not_for_0():
    logits = np.array([[[4.0, 0.0]], [[0.0, 4.0]]], np.float32)
    assert 0.05 <= fit_temperature(logits, np.eye(2, dtype=bool), False) < 0.5


def certain_of(best, right, target):
    """Tracks with two genres, of whose best probabilities some are right."""
    probabilities = np.stack([best, 1 - np.array(best)], axis=1)
    truth = np.stack([right, ~np.array(right)], axis=1)
    return certainty_threshold(judged_of(truth, probabilities), target)


def test_certain_is_the_lowest_threshold_whose_tracks_are_right_often_enough():
    best, right = [0.95, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, False]
    assert certain_of(best, right, 1.0) == pytest.approx(0.85)  # two of two; three would be two of three
    assert certain_of(best, right, 0.75) == pytest.approx(0.65)  # three of four
    assert certain_of(best, right, 0.6) == 0  # all may count


def test_where_no_threshold_is_right_often_enough_nothing_is_certain():
    assert certain_of([0.9, 0.8], [False, True], 0.9) == 1


def test_equally_probable_tracks_count_together():
    assert certain_of([0.9, 0.8, 0.8, 0.7], [True, True, False, False], 0.9) == pytest.approx(0.85)


def test_with_several_genres_the_most_probable_one_is_to_be_right():
    truth = np.array([[True, True, False], [False, False, True]])
    probabilities = np.array([[0.2, 0.9, 0.8], [0.9, 0.1, 0.3]])
    assert top_genre_correct(judged_of(truth, probabilities, multilabel=True)).tolist() == [True, False]
