"""Thresholds are tuned for F1, and baselines need no model."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from genre.evaluation.metrics import compute_metrics
from genre.evaluation.thresholds import (
    CANDIDATES,
    baseline_predictions,
    most_common_set,
    threshold_curve,
    tune_thresholds,
)


@pytest.fixture
def predictions(make_predictions):
    random = np.random.default_rng(0)
    targets = random.random((80, 3)) < [0.2, 0.5, 0.6]
    probabilities = random.random((80, 3)) * 0.5 + targets * [0.1, 0.3, 0.5]
    return make_predictions(targets, probabilities, probabilities > 0.2, multilabel=True)


def test_a_shared_threshold_has_the_highest_micro_f1_of_scikit_learn(predictions):
    tuned = tune_thresholds(predictions.targets, predictions.probabilities, per_genre=False, fallback=0.2)
    scores = [f1_score(predictions.targets, predictions.probabilities > c, average="micro") for c in CANDIDATES]
    assert len(set(tuned.tolist())) == 1
    assert f1_score(predictions.targets, predictions.probabilities > tuned, average="micro") == pytest.approx(
        max(scores)
    )


def best_by_scikit_learn(targets, probabilities):
    """The lowest threshold with the highest F1."""
    return max(CANDIDATES, key=lambda candidate: f1_score(targets, probabilities > candidate, zero_division=0))


def test_each_genres_threshold_lies_between_its_best_and_the_shared_one(make_predictions):
    random = np.random.default_rng(0)
    targets = random.random((400, 3)) < [0.02, 0.2, 0.6]
    probabilities = random.random((400, 3)) * 0.5 + targets * [0.1, 0.3, 0.5]
    tuned = tune_thresholds(targets, probabilities, per_genre=True, fallback=0.01)  # the nearest to it is the lowest
    shared = tune_thresholds(targets, probabilities, per_genre=False, fallback=0.01)[0]
    for genre in range(3):
        number = targets[:, genre].sum()
        own = best_by_scikit_learn(targets[:, genre], probabilities[:, genre])
        log_odds = [np.log(value / (1 - value)) for value in (own, shared)]
        mean = np.average(log_odds, weights=[number, 3])
        assert tuned[genre] == pytest.approx(1 / (1 + np.exp(-mean)))
        assert min(own, shared) <= tuned[genre] <= max(own, shared)


@pytest.mark.parametrize("miscalibration", [0.0, 0.5, 1.0])
def test_rare_genres_have_a_higher_f1_than_with_their_own_or_the_shared_threshold(miscalibration):
    """Simulated: 60 genres with 3 to 30 validation tracks among 20 common ones, probabilities shifted in log-odds."""
    random = np.random.default_rng(0)
    prior = np.concatenate([np.full(20, 0.1), np.linspace(0.003, 0.03, 60)])
    strength, shift = random.uniform(1.5, 3, 80), random.normal(0, miscalibration, 80)

    def draw(tracks):
        targets = random.random((tracks, 80)) < prior
        evidence = strength * (random.standard_normal(targets.shape) + strength * targets) - strength**2 / 2
        return targets, 1 / (1 + np.exp(-evidence - np.log(prior / (1 - prior)) - shift))

    (validation, known), (test, unseen) = draw(1_000), draw(10_000)
    shrunk = tune_thresholds(validation, known, per_genre=True, fallback=0.2)
    shared = tune_thresholds(validation, known, per_genre=False, fallback=0.2)
    own = [tune_thresholds(validation[:, [g]], known[:, [g]], False, 0.2)[0] for g in range(80)]
    scores = [
        f1_score(test[:, 20:], unseen[:, 20:] > np.array(thresholds)[20:], average="macro")
        for thresholds in (shrunk, own, shared)
    ]
    assert scores[0] > max(scores[1:])


def test_of_equal_thresholds_the_nearest_to_the_fixed_one_is_chosen():
    targets = np.array([[True], [False]])
    assert tune_thresholds(targets, np.array([[0.9], [0.1]]), per_genre=True, fallback=0.2) == pytest.approx([0.2])
    assert tune_thresholds(targets, np.array([[0.9], [0.5]]), per_genre=True, fallback=0.2) == pytest.approx([0.5])


def test_a_genre_without_tracks_has_the_shared_threshold():
    targets = np.array([[True, False], [False, False]])
    tuned = tune_thresholds(targets, np.array([[0.9, 0.4], [0.6, 0.3]]), per_genre=True, fallback=0.2)
    assert tuned == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize("per_genre", [True, False])
def test_without_tracks_of_any_genre_the_fixed_threshold_remains(per_genre):
    tuned = tune_thresholds(np.zeros((2, 2), bool), np.full((2, 2), 0.5), per_genre, fallback=0.2)
    assert tuned == pytest.approx([0.2, 0.2])


def test_the_curve_has_exact_matches_f1_genres_and_tracks_with_one_genre(predictions):
    values = threshold_curve(predictions)
    index = int(np.abs(CANDIDATES - 0.5).argmin())
    predicted = predictions.probabilities > CANDIDATES[index]
    assert values["exact"][index] == pytest.approx((predicted == predictions.targets).all(1).mean())
    assert values["micro_f1"][index] == pytest.approx(f1_score(predictions.targets, predicted, average="micro"))
    assert values["genres"][index] == pytest.approx(predicted.sum() / 80)
    assert values["exactly_one"][index] == pytest.approx(np.mean(predicted.sum(1) == 1))


def test_the_baselines_are_the_most_common_set_and_the_top_one_and_two(make_predictions):
    targets = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    probabilities = np.array([[0.5, 0.4, 0.1], [0.1, 0.2, 0.3], [0.3, 0.1, 0.2]])
    predictions = make_predictions(targets, probabilities, multilabel=True)
    baselines = baseline_predictions(predictions, most_common_set(targets).tolist())
    assert baselines["commonest_set"].predicted.tolist() == [[True, True, False]] * 3
    assert baselines["top_1"].predicted.tolist() == [[True, False, False], [False, False, True], [True, False, False]]
    assert baselines["top_2"].predicted.tolist() == [[True, True, False], [False, True, True], [True, False, True]]
    assert compute_metrics(baselines["commonest_set"])["exact"][0] == pytest.approx(2 / 3)
