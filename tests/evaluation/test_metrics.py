"""Every metric is scikit-learn's, and every interval scipy's."""

import warnings

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sk

from genre.evaluation.metrics import Judged

GENRES = 4


def single(seed: int, tracks: int = 60) -> Judged:
    random = np.random.default_rng(seed)
    truth = np.eye(GENRES, dtype=bool)[random.integers(0, GENRES, tracks)]
    probabilities = random.dirichlet(np.ones(GENRES), tracks) * 0.6 + truth * 0.4
    predicted = np.eye(GENRES, dtype=bool)[probabilities.argmax(1)]
    return Judged(truth, predicted, probabilities, random.random(tracks), multilabel=False)


def multilabel(seed: int, tracks: int = 60) -> Judged:
    random = np.random.default_rng(seed)
    truth = random.random((tracks, GENRES)) < 0.4
    probabilities = np.round(random.random((tracks, GENRES)) * 0.7 + truth * 0.3, 1)  # with ties
    return Judged(truth, probabilities > 0.5, probabilities, random.random(tracks), multilabel=True)


@pytest.mark.parametrize("seed", range(5))
def test_one_genre_a_track(seed):
    judged = single(seed)
    true, predicted = judged.targets.argmax(1), judged.predicted.argmax(1)
    scores = {name: value[0] for name, value in judged.scores().items()}
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(true, predicted))
    assert scores["macro_precision"] == pytest.approx(
        sk.precision_score(true, predicted, average="macro", zero_division=0)
    )
    assert scores["macro_recall"] == pytest.approx(sk.recall_score(true, predicted, average="macro", zero_division=0))
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(true, predicted, average="macro", zero_division=0))
    assert scores["loss"] == pytest.approx(judged.losses.mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_several_genres_a_track(seed, weighted):
    judged = multilabel(seed)
    weights = np.random.default_rng(seed).integers(0, 3, 60).astype(float) if weighted else np.ones(60)
    kept = np.repeat(np.arange(60), weights.astype(int))
    truth, predicted, said = judged.targets[kept], judged.predicted[kept], judged.probabilities[kept]
    scores = {name: value[0] for name, value in judged.scores(weights[None]).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "exact": sk.accuracy_score(truth, predicted),
            "accuracy": sk.accuracy_score(truth, predicted),
            "jaccard": sk.jaccard_score(truth, predicted, average="samples", zero_division=0),
            "micro_f1": sk.f1_score(truth, predicted, average="micro", zero_division=0),
            "macro_f1": sk.f1_score(truth, predicted, average="macro", zero_division=0),
            "macro_precision": sk.precision_score(truth, predicted, average="macro", zero_division=0),
            "macro_recall": sk.recall_score(truth, predicted, average="macro", zero_division=0),
            "map": sk.average_precision_score(truth, said, average="macro"),
            "roc_auc": sk.roc_auc_score(truth, said, average="macro"),
            "lrap": sk.label_ranking_average_precision_score(truth, said),
        }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_a_genre_that_neither_is_nor_is_predicted_does_not_count():
    judged = single(0)
    absent = judged.targets.argmax(1) == 0
    keep = ~absent & (judged.predicted.argmax(1) != 0)
    part = Judged(judged.targets[keep], judged.predicted[keep], judged.probabilities[keep], judged.losses[keep], False)
    expected = sk.f1_score(part.targets.argmax(1), part.predicted.argmax(1), average="macro")
    assert part.scores()["macro_f1"][0] == pytest.approx(expected)


def test_the_interval_of_the_accuracy_is_scipys_bootstrap():
    judged = single(0, tracks=200)
    right = (judged.targets == judged.predicted).all(1).astype(float)
    expected = scipy.stats.bootstrap(
        (right,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert judged.intervals()["accuracy"] == pytest.approx(list(expected), abs=0.02)


def test_the_interval_of_a_ranking_metric_is_that_of_resampled_tracks():
    judged = multilabel(0, tracks=80)
    random = np.random.default_rng(2)
    areas = []
    for _ in range(400):
        chosen = random.integers(0, 80, 80)
        areas.append(sk.roc_auc_score(judged.targets[chosen], judged.probabilities[chosen], average="macro"))
    assert judged.intervals()["roc_auc"] == pytest.approx(np.quantile(areas, [0.025, 0.975]).tolist(), abs=0.025)


def test_many_tracks_are_resampled_in_parts_with_one_result(monkeypatch):
    judged = multilabel(1)
    whole = judged.intervals(seed=3)
    monkeypatch.setattr("genre.evaluation.metrics.CHUNK", 60 * 7)
    parts = judged.intervals(seed=3)
    assert {name: pytest.approx(edges) for name, edges in parts.items()} == whole
