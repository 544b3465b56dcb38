"""A report says in sentences what its table and the curves show."""

import numpy as np
import pytest

from genre.evaluation import report as reporting
from genre.evaluation.predictions import Outcome
from genre.models.checkpoint import PostProcessing

GENRES = ("blues", "jazz", "rock", "pop")


def said(true, predicted, best=0.9, multilabel=False):
    """Tracks with genres by their places."""
    truth, named = (np.zeros((len(true), len(GENRES)), bool) for _ in range(2))
    for row, (has, says) in enumerate(zip(true, predicted, strict=True)):
        truth[row, has], named[row, says] = True, True
    probabilities = np.where(named, best, 0.01)
    nothing = np.zeros((len(true), 1), np.float32)
    names = [f"track {row}" for row in range(len(true))]
    return Outcome(truth, named, probabilities, np.ones(len(true)), multilabel, names, GENRES, nothing, nothing)


@pytest.fixture
def outcome():
    """Blues always found, jazz half of it taken for rock, rock once for blues; no pop."""
    return said([0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 2, 0])


def test_the_best_and_worst_genre_by_precision_and_by_recall(outcome):
    assert reporting.best_and_worst_note(reporting.genre_report(outcome)) == [
        "Precision is highest for jazz (1.00) and lowest for rock (0.33).",
        "Recall is highest for blues (1.00) and lowest for rock (0.50).",
    ]


def test_the_commonest_confusions(outcome):
    assert reporting.confusions_note(outcome) == [
        "The commonest confusions: jazz taken for rock (2 of 4 tracks), rock taken for blues (1 of 2 tracks)."
    ]


def test_a_genre_that_is_true_too_is_no_confusion():
    assert reporting.confusions_note(said([[0, 1]], [[0, 1]], multilabel=True)) == ["No genre was taken for another."]
    assert (
        "blues taken for rock (1 of 1 tracks)" in reporting.confusions_note(said([[0]], [[0, 2]], multilabel=True))[0]
    )


def test_how_many_tracks_are_uncertain(outcome):
    assert reporting.uncertainty_note(outcome, PostProcessing()) == []
    assert reporting.uncertainty_note(outcome, PostProcessing(certain=0.5)) == [
        "0 of 8 tracks are uncertain (best probability below 0.50); of the others 62% have the genre that is most "
        "probable."
    ]
    assert reporting.uncertainty_note(outcome, PostProcessing(certain=1.0)) == [
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


def test_predictions_end_with_what_is_uncertain(outcome, tmp_path):
    reporting.write_predictions(tmp_path / "plain.csv", outcome, PostProcessing())
    reporting.write_predictions(tmp_path / "more.csv", outcome, PostProcessing(certain=0.95))
    plain, more = ((tmp_path / name).read_text().splitlines() for name in ("plain.csv", "more.csv"))
    assert plain[0] == "track,true,predicted,blues,jazz,rock,pop"
    assert more == [f"{plain[0]},uncertain", *(f"{line},yes" for line in plain[1:])]
