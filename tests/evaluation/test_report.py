"""A report says in sentences what its table and the curves show."""

import numpy as np
import pytest

from genre.evaluation import report as reporting
from genre.models.postprocessing import PostProcessing

GENRES = ("blues", "jazz", "rock", "pop")


@pytest.fixture
def with_genres(make_predictions):
    """Return predictions for tracks given by the indices of their genres."""

    def make(true, predicted, highest=0.9, multilabel=False):
        targets, named = (np.zeros((len(true), len(GENRES)), bool) for _ in range(2))
        for row, (has, says) in enumerate(zip(true, predicted, strict=True)):
            targets[row, has], named[row, says] = True, True
        probabilities = np.where(named, highest, 0.01)
        return make_predictions(targets, probabilities, named, multilabel=multilabel, genres=GENRES)

    return make


@pytest.fixture
def predictions(with_genres):
    """Blues always found, jazz half of it taken for rock, rock once for blues; no pop."""
    return with_genres([0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 2, 0])


def test_the_best_and_worst_genre_by_precision_and_by_recall(predictions):
    assert reporting.best_and_worst_note(reporting.genre_report(predictions)) == [
        "Precision is highest for jazz (1.00) and lowest for rock (0.33).",
        "Recall is highest for blues (1.00) and lowest for rock (0.50).",
    ]


def test_the_commonest_confusions(predictions):
    assert reporting.confusions_note(predictions) == [
        "The commonest confusions: jazz taken for rock (2 of 4 tracks), rock taken for blues (1 of 2 tracks)."
    ]


def test_a_genre_that_is_true_too_is_no_confusion(with_genres):
    both_found = with_genres([[0, 1]], [[0, 1]], multilabel=True)
    one_wrong = with_genres([[0]], [[0, 2]], multilabel=True)
    assert reporting.confusions_note(both_found) == ["No genre was taken for another."]
    assert "blues taken for rock (1 of 1 tracks)" in reporting.confusions_note(one_wrong)[0]


def test_how_many_tracks_are_uncertain(predictions):
    assert reporting.uncertainty_note(predictions, PostProcessing()) == []
    assert reporting.uncertainty_note(predictions, PostProcessing(uncertain_below=0.5)) == [
        "0 of 8 tracks are uncertain (best probability below 0.50); of the others 62% have the genre that is most "
        "probable."
    ]
    assert reporting.uncertainty_note(predictions, PostProcessing(uncertain_below=1.0)) == [
        "8 of 8 tracks are uncertain (best probability below 1.00)."
    ]


def test_a_temperature_is_told():
    assert reporting.temperature_note(PostProcessing()) == []
    assert reporting.temperature_note(PostProcessing(temperature=1.5)) == [
        "Probabilities are those at temperature 1.50, fitted on validation."
    ]


HISTORY = [
    {"epoch": 0.0, "train_loss": 2.0, "train_accuracy": 0.4, "val_loss": 1.0, "val_accuracy": 0.5},
    {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": 0.8, "val_loss": 1.5, "val_accuracy": 0.6},
]


@pytest.mark.parametrize(
    ("monitor", "epoch", "points"), [("val/loss", 0, "-10.0"), ("val/accuracy", 1, "20.0"), ("train/loss", 1, "20.0")]
)
def test_the_gap_at_the_best_epoch_as_the_run_chose_it(monitor, epoch, points):
    (sentence,) = reporting.generalization_gap_note(HISTORY, monitor)
    assert f"the best epoch ({epoch})" in sentence and f"a gap of {points} points" in sentence


def test_nothing_is_said_of_a_gap_without_validation():
    unvalidated = [{key: value for key, value in row.items() if "val" not in key} for row in HISTORY]
    assert (
        reporting.generalization_gap_note(unvalidated, "val/loss")
        == []
        == reporting.generalization_gap_note([], "val/loss")
    )
    assert reporting.best_epoch_row(unvalidated, "val/loss")["epoch"] == 1


def test_predictions_end_with_what_is_uncertain(predictions, tmp_path):
    reporting.write_predictions(tmp_path / "plain.csv", predictions, PostProcessing())
    reporting.write_predictions(tmp_path / "more.csv", predictions, PostProcessing(uncertain_below=0.95))
    plain, more = ((tmp_path / name).read_text().splitlines() for name in ("plain.csv", "more.csv"))
    assert plain[0] == "track,true,predicted,blues,jazz,rock,pop"
    assert more == [f"{plain[0]},uncertain", *(f"{line},yes" for line in plain[1:])]
