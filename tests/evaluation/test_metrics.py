"""Every metric equals scikit-learn's and torchmetrics'; every interval equals scipy's."""

import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from genre.evaluation.metrics import compute_metrics, metric_intervals

GENRES = 4


@pytest.fixture
def multiclass(make_predictions):
    """Random predictions of one genre per track."""

    def make(seed, tracks=60):
        random = np.random.default_rng(seed)
        targets = np.eye(GENRES, dtype=bool)[random.integers(0, GENRES, tracks)]
        probabilities = random.dirichlet(np.ones(GENRES), tracks) * 0.6 + targets * 0.4
        predicted = np.eye(GENRES, dtype=bool)[probabilities.argmax(1)]
        return make_predictions(targets, probabilities, predicted, random.random(tracks))

    return make


@pytest.fixture
def multilabel(make_predictions):
    """Random predictions of several genres per track, with ties among the probabilities."""

    def make(seed, tracks=60):
        random = np.random.default_rng(seed)
        targets = random.random((tracks, GENRES)) < 0.4
        probabilities = np.round(random.random((tracks, GENRES)) * 0.7 + targets * 0.3, 1)
        return make_predictions(targets, probabilities, losses=random.random(tracks), multilabel=True)

    return make


def point_values(predictions, weights=None):
    return {name: value[0] for name, value in compute_metrics(predictions, weights).items()}


@pytest.mark.parametrize("seed", range(5))
def test_multiclass_metrics_equal_scikit_learns(multiclass, seed):
    predictions = multiclass(seed)
    true, predicted = predictions.targets.argmax(1), predictions.predicted.argmax(1)
    expected = {
        "loss": predictions.losses.mean(),
        "accuracy": sk.accuracy_score(true, predicted),
        "macro_precision": sk.precision_score(true, predicted, average="macro", zero_division=0),
        "macro_recall": sk.recall_score(true, predicted, average="macro", zero_division=0),
        "macro_f1": sk.f1_score(true, predicted, average="macro", zero_division=0),
    }
    assert point_values(predictions) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_multiclass_metrics_equal_torchmetrics(multiclass, seed):
    predictions = multiclass(seed)
    true, predicted = (torch.from_numpy(x.argmax(1)) for x in (predictions.targets, predictions.predicted))
    expected = {
        "accuracy": tm.multiclass_accuracy(predicted, true, GENRES, average="micro"),
        "macro_precision": tm.multiclass_precision(predicted, true, GENRES, average="macro"),
        "macro_recall": tm.multiclass_recall(predicted, true, GENRES, average="macro"),
        "macro_f1": tm.multiclass_f1_score(predicted, true, GENRES, average="macro"),
    }
    values = point_values(predictions)
    assert {name: values[name] for name in expected} == pytest.approx(
        {k: float(v) for k, v in expected.items()}, rel=1e-5
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_multilabel_metrics_equal_scikit_learns(multilabel, seed, weighted):
    predictions = multilabel(seed)
    weights = np.random.default_rng(seed).integers(0, 3, 60).astype(float) if weighted else np.ones(60)
    rows = np.repeat(np.arange(60), weights.astype(int))
    targets, predicted, probabilities = (
        values[rows] for values in (predictions.targets, predictions.predicted, predictions.probabilities)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "exact": sk.accuracy_score(targets, predicted),
            "accuracy": sk.accuracy_score(targets, predicted),
            "jaccard": sk.jaccard_score(targets, predicted, average="samples", zero_division=0),
            "micro_f1": sk.f1_score(targets, predicted, average="micro", zero_division=0),
            "macro_f1": sk.f1_score(targets, predicted, average="macro", zero_division=0),
            "macro_precision": sk.precision_score(targets, predicted, average="macro", zero_division=0),
            "macro_recall": sk.recall_score(targets, predicted, average="macro", zero_division=0),
            "map": sk.average_precision_score(targets, probabilities, average="macro"),
            "roc_auc": sk.roc_auc_score(targets, probabilities, average="macro"),
            "lrap": sk.label_ranking_average_precision_score(targets, probabilities),
        }
    values = point_values(predictions, weights[None])
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_pr_auc_and_roc_auc_of_87_genres_equal_scikit_learns_macro_averages(make_predictions):
    """The official metrics of MTG-Jamendo."""
    random = np.random.default_rng(0)
    targets = random.random((400, 87)) < np.linspace(0.02, 0.4, 87)
    predictions = make_predictions(targets, random.random((400, 87)) + targets * 0.4, multilabel=True, genres=range(87))
    values = point_values(predictions)
    probabilities = predictions.probabilities
    assert values["map"] == pytest.approx(sk.average_precision_score(targets, probabilities, average="macro"))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, probabilities, average="macro"))
    assert values["lrap"] == pytest.approx(sk.label_ranking_average_precision_score(targets, probabilities))


@pytest.mark.parametrize("seed", range(5))
def test_multilabel_metrics_equal_torchmetrics(multilabel, seed):
    predictions = multilabel(seed)
    targets, predicted = (torch.from_numpy(x).int() for x in (predictions.targets, predictions.predicted))
    probabilities = torch.from_numpy(predictions.probabilities)
    expected = {
        "accuracy": tm.multilabel_exact_match(predicted, targets, GENRES),
        "macro_precision": tm.multilabel_precision(predicted, targets, GENRES, average="macro"),
        "macro_recall": tm.multilabel_recall(predicted, targets, GENRES, average="macro"),
        "macro_f1": tm.multilabel_f1_score(predicted, targets, GENRES, average="macro"),
        "map": tm.multilabel_average_precision(probabilities, targets, GENRES, average="macro"),
        "roc_auc": tm.multilabel_auroc(probabilities, targets, GENRES, average="macro"),
        "lrap": tm.multilabel_ranking_average_precision(probabilities, targets, GENRES),
    }
    values = point_values(predictions)
    assert {name: values[name] for name in expected} == pytest.approx(
        {k: float(v) for k, v in expected.items()}, rel=1e-5
    )


def test_a_genre_that_neither_occurs_nor_is_predicted_does_not_count(multiclass, make_predictions):
    predictions = multiclass(0)
    rows = (predictions.targets.argmax(1) != 0) & (predictions.predicted.argmax(1) != 0)
    part = make_predictions(predictions.targets[rows], predictions.probabilities[rows], predictions.predicted[rows])
    expected = sk.f1_score(part.targets.argmax(1), part.predicted.argmax(1), average="macro")
    assert point_values(part)["macro_f1"] == pytest.approx(expected)


def test_the_interval_of_the_accuracy_is_scipys_bootstrap(multiclass):
    predictions = multiclass(0, tracks=200)
    expected = scipy.stats.bootstrap(
        (predictions.correct.astype(float),),
        np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert metric_intervals(predictions)["accuracy"] == pytest.approx(list(expected), abs=0.02)


def test_the_accuracy_of_few_tracks_has_wilsons_interval(multiclass):
    predictions = multiclass(0, tracks=12)
    expected = scipy.stats.binomtest(int(predictions.correct.sum()), 12).proportion_ci(0.95, method="wilson")
    assert metric_intervals(predictions)["accuracy"] == pytest.approx([expected.low, expected.high])


def test_exact_matches_that_are_all_wrong_have_an_interval_with_a_width(make_predictions):
    targets = np.eye(2, dtype=bool)[[0] * 50]
    predictions = make_predictions(targets, np.where(targets, 0.1, 0.9), multilabel=True)
    low, high = metric_intervals(predictions)["exact"]
    assert low == 0 and high == pytest.approx(0.0713, abs=1e-4)


def test_the_interval_of_a_ranking_metric_is_that_of_resampled_tracks(multilabel):
    predictions = multilabel(0, tracks=80)
    random = np.random.default_rng(2)
    areas = []
    for _ in range(400):
        rows = random.integers(0, 80, 80)
        areas.append(sk.roc_auc_score(predictions.targets[rows], predictions.probabilities[rows], average="macro"))
    expected = np.quantile(areas, [0.025, 0.975]).tolist()
    assert metric_intervals(predictions)["roc_auc"] == pytest.approx(expected, abs=0.025)


def test_resampling_in_parts_gives_the_same_intervals(multilabel, monkeypatch):
    predictions = multilabel(1)
    whole = metric_intervals(predictions, seed=3)
    monkeypatch.setattr("genre.evaluation.metrics.WEIGHTS_AT_ONCE", 60 * 7)
    parts = metric_intervals(predictions, seed=3)
    assert {name: pytest.approx(edges) for name, edges in parts.items()} == whole
