"""At an upper level of the hierarchy the right parent counts."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from genre.data.genre_tree import GenreTree
from genre.evaluation.evaluate import subset_metrics
from genre.evaluation.levels import at_level, level_notes, upper_levels
from genre.models.postprocessing import PostProcessing

GENRES = ("Deep House", "House", "Punk", "Rock", "Techno")
TREE = GenreTree({"House": "Electronic", "Deep House": "House", "Techno": "Electronic", "Punk": "Rock"})
LEVEL_1 = np.array([0, 0, 1, 1, 0])  # Electronic, Rock
LEVEL_2 = np.array([0, 0, 1, 2, 3])  # House, Punk, Rock, Techno


@pytest.fixture
def multiclass(make_predictions):
    random = np.random.default_rng(0)
    targets = np.eye(5, dtype=bool)[random.integers(0, 5, 60)]
    probabilities = random.dirichlet(np.ones(5), 60) * 0.6 + targets * 0.4
    predicted = np.eye(5, dtype=bool)[probabilities.argmax(1)]
    return make_predictions(targets, probabilities, predicted, genres=GENRES)


@pytest.fixture
def multilabel(make_predictions):
    random = np.random.default_rng(0)
    targets = random.random((60, 5)) < 0.4
    return make_predictions(targets, random.random((60, 5)) * 0.7 + targets * 0.3, multilabel=True, genres=GENRES)


@pytest.mark.parametrize(("level", "groups"), [(1, LEVEL_1), (2, LEVEL_2)])
def test_the_metrics_of_a_level_are_scikit_learns_of_the_ancestors(multiclass, level, groups):
    values = subset_metrics(multiclass, "test", True, PostProcessing(), TREE)
    true, predicted = groups[multiclass.targets.argmax(1)], groups[multiclass.predicted.argmax(1)]
    accuracy = values[f"test/accuracy_level_{level}"]
    assert accuracy == pytest.approx(accuracy_score(true, predicted))
    assert values[f"test/macro_f1_level_{level}"] == pytest.approx(f1_score(true, predicted, average="macro"))
    low, high = values[f"test/accuracy_level_{level}_ci95"]
    assert low < accuracy < high and values["test/accuracy"] < accuracy


def test_of_several_genres_a_track_has_the_ancestors_of_each(multilabel):
    coarse = at_level(multilabel, TREE, 1)
    either = np.stack([multilabel.targets[:, group == LEVEL_1].any(1) for group in (0, 1)], axis=1)
    assert coarse.genres == ("Electronic", "Rock") and (coarse.targets == either).all()
    values = subset_metrics(multilabel, "val", False, PostProcessing(), TREE)
    assert values["val/exact_level_1"] == values["val/accuracy_level_1"] == coarse.correct.mean()
    assert values["val/micro_f1_level_1"] == pytest.approx(f1_score(either, coarse.predicted, average="micro"))
    assert "val/map_level_1" not in values and "val/accuracy_level_3" not in values


def test_genres_without_a_hierarchy_have_no_levels(multiclass):
    assert not upper_levels(GENRES, GenreTree()) and not level_notes(multiclass, GenreTree())
    assert not upper_levels(("Electronic", "Rock"), TREE)


def test_the_report_names_the_accuracy_at_each_level(multiclass):
    (sentence,) = level_notes(multiclass, TREE)
    assert sentence.startswith("With the hierarchy of the genres, accuracy is ")
    assert "at level 1 (2 genres), " in sentence and sentence.endswith("at level 2 (4 genres).")
