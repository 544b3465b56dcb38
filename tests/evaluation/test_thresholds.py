"""Thresholds are tuned for F1, and baselines need no model."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from genre.evaluation.metrics import Judged
from genre.evaluation.thresholds import (
    CANDIDATES,
    baseline_predictions,
    most_common_set,
    threshold_curve,
    tune_thresholds,
)


@pytest.fixture
def judged() -> Judged:
    random = np.random.default_rng(0)
    truth = random.random((80, 3)) < [0.2, 0.5, 0.6]
    probabilities = random.random((80, 3)) * 0.5 + truth * [0.1, 0.3, 0.5]
    return Judged(truth, probabilities > 0.2, probabilities, np.ones(80), multilabel=True)


def test_a_shared_threshold_has_the_highest_micro_f1_of_scikit_learn(judged):
    tuned = tune_thresholds(judged.targets, judged.probabilities, per_genre=False, fallback=0.2)
    scores = [f1_score(judged.targets, judged.probabilities > c, average="micro") for c in CANDIDATES]
    assert len(set(tuned.tolist())) == 1
    assert f1_score(judged.targets, judged.probabilities > tuned, average="micro") == pytest.approx(max(scores))


def test_each_genres_threshold_has_its_highest_f1(judged):
    tuned = tune_thresholds(judged.targets, judged.probabilities, per_genre=True, fallback=0.2)
    for genre in range(3):
        truth, said = judged.targets[:, genre], judged.probabilities[:, genre]
        best = max(f1_score(truth, said > candidate, zero_division=0) for candidate in CANDIDATES)
        assert f1_score(truth, said > tuned[genre]) == pytest.approx(best)
    assert len(set(tuned.tolist())) > 1


def test_of_equal_thresholds_the_nearest_to_the_fixed_one_is_taken():
    truth = np.array([[True], [False]])
    assert tune_thresholds(truth, np.array([[0.9], [0.1]]), per_genre=True, fallback=0.2) == pytest.approx([0.2])
    assert tune_thresholds(truth, np.array([[0.9], [0.5]]), per_genre=True, fallback=0.2) == pytest.approx([0.5])


def test_a_genre_that_nobody_has_keeps_the_fixed_threshold():
    truth = np.array([[True, False], [False, False]])
    tuned = tune_thresholds(truth, np.array([[0.9, 0.4], [0.6, 0.3]]), per_genre=True, fallback=0.2)
    assert tuned == pytest.approx([0.6, 0.2])


def test_the_curve_shows_exact_matches_f1_genres_and_tracks_with_just_one(judged):
    values = threshold_curve(judged)
    place = int(np.abs(CANDIDATES - 0.5).argmin())
    predicted = judged.probabilities > CANDIDATES[place]
    assert values["exact"][place] == pytest.approx((predicted == judged.targets).all(1).mean())
    assert values["micro_f1"][place] == pytest.approx(f1_score(judged.targets, predicted, average="micro"))
    assert values["genres"][place] == pytest.approx(predicted.sum() / 80)
    assert values["exactly_one"][place] == pytest.approx(np.mean(predicted.sum(1) == 1))


def test_the_baselines_are_the_commonest_set_and_the_top_one_and_two():
    truth = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    said = np.array([[0.5, 0.4, 0.1], [0.1, 0.2, 0.3], [0.3, 0.1, 0.2]])
    guesses = baseline_predictions(Judged(truth, truth, said, np.ones(3), True), most_common_set(truth).tolist())
    assert guesses["commonest_set"].predicted.tolist() == [[True, True, False]] * 3
    assert guesses["top_1"].predicted.tolist() == [[True, False, False], [False, False, True], [True, False, False]]
    assert guesses["top_2"].predicted.tolist() == [[True, True, False], [False, True, True], [True, False, True]]
    assert guesses["commonest_set"].scores()["exact"][0] == pytest.approx(2 / 3)
