"""A model is compared with always naming the commonest genre, and one at chance says so and why that may be."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binom

import genre
from genre.evaluation.chance import chance_notes, compare_with_commonest, is_at_chance, mcnemar_p
from genre.models.postprocessing import PostProcessing

COMMONEST = PostProcessing(most_common_set=torch.tensor([True, False]))


@pytest.fixture
def compared(make_predictions):
    """Compare a model with always naming a; given the tracks of a and of b, and how many of each it has right."""

    def compare(a, b, right_a, right_b, multilabel=False):
        targets = np.array([[True, False]] * a + [[False, True]] * b)
        right = np.array([True] * right_a + [False] * (a - right_a) + [True] * right_b + [False] * (b - right_b))
        predicted = np.where(right[:, None], targets, ~targets)
        return compare_with_commonest(
            make_predictions(targets, np.full(targets.shape, 0.5), predicted, multilabel=multilabel), COMMONEST
        )

    return compare


def data_with(counts, batches=50):
    """What the reasons read of a data module: training tracks of each genre, and batches per epoch."""
    targets = torch.cat([torch.eye(len(counts))[index].expand(count, -1) for index, count in enumerate(counts)])
    return SimpleNamespace(
        rows=lambda subset: torch.arange(len(targets)), targets=targets, genres=("a", "b"),
        train_dataloader=lambda: range(batches),
    )  # fmt: skip


HISTORY = [{"epoch": 0.0, "learning_rate": 1e-3}, {"epoch": 1.0, "learning_rate": 1e-3}]


@pytest.mark.parametrize(("gained", "lost"), [(9, 1), (5, 0), (6, 6), (0, 3)])
def test_the_test_is_exact_and_one_sided(gained, lost):
    correct = np.array([True] * gained + [False] * lost + [True] * 20)
    baseline = np.array([False] * gained + [True] * lost + [True] * 20)
    assert mcnemar_p(correct, baseline) == pytest.approx(binom.sf(gained - 1, gained + lost, 0.5))


def test_equal_predictions_are_no_evidence():
    assert mcnemar_p(np.ones(5, bool), np.ones(5, bool)) == 1


def test_a_better_model_is_said_to_be_better(compared):
    comparison = compared(20, 20, 18, 17)
    assert not is_at_chance(comparison)
    assert chance_notes(comparison, data_with([100, 100]), HISTORY) == [
        "Accuracy is 87.5%, better than 50.0% for always naming a (no genre is commoner in training); exact McNemar "
        "test, p < 0.001."
    ]


def test_a_model_at_chance_is_said_to_be_no_better(compared):
    comparison = compared(20, 20, 10, 12)
    assert is_at_chance(comparison)
    assert comparison.sentence() == (
        "Accuracy is 55.0%, no better than 50.0% for always naming a (no genre is commoner in training); exact McNemar "
        "test, p = 0.416."
    )


def test_several_genres_are_compared_by_exact_matches(compared):
    sentence = compared(20, 20, 10, 12, multilabel=True).sentence()
    assert sentence.startswith(
        "Exact matches are 55.0%, no better than 50.0% for always naming a (no set of genres is "
    )


def test_few_tracks_are_said_to_be_too_few_and_give_no_verdict(compared):
    comparison = compared(2, 4, 2, 1)
    assert not is_at_chance(comparison)
    assert chance_notes(comparison, data_with([5, 5]), HISTORY) == [
        "Accuracy is 50.0%, and 33.3% for always naming a (no genre is commoner in training): 6 tracks are too few to "
        "tell even a model without errors from that."
    ]


TRACKS = "b has 7 training tracks (add music; the pretrained layers of experiment=small need less)"
BATCHES = "training had 3 batches per epoch, 6 in all (a smaller batch_size or a larger trainer.max_epochs gives more)"
RATE = "the learning rate was cut from 0.001 to 1e-05 (a larger scheduler.patience or scheduler=none keeps it)"
NONE = "none of few batches, few tracks and a cut learning rate; see figures/curves.png"


@pytest.mark.parametrize(
    ("tracks_of_b", "batches", "last_rate", "reasons"),
    [
        (100, 3, 1e-3, BATCHES),
        (7, 50, 1e-3, TRACKS),
        (100, 50, 1e-5, RATE),
        (7, 3, 1e-5, f"{BATCHES}; {TRACKS}; {RATE}"),
        (100, 50, 1e-3, NONE),
    ],
)
def test_the_reasons_are_few_batches_few_tracks_and_a_cut_learning_rate(
    compared, tracks_of_b, batches, last_rate, reasons
):
    history = [HISTORY[0], {"epoch": 1.0, "learning_rate": last_rate}]
    notes = chance_notes(compared(20, 20, 10, 10), data_with([100, tracks_of_b], batches), history)
    assert notes[1:] == [f"Possible reasons: {reasons}."]


def test_there_are_no_reasons_without_training_tracks(compared):
    comparison = compared(20, 20, 10, 10)
    without = SimpleNamespace(rows=lambda subset: torch.arange(0))
    assert chance_notes(comparison, without, HISTORY) == [comparison.sentence()]


def test_a_checkpoint_of_an_earlier_version_is_not_compared(make_predictions):
    predictions = make_predictions(np.ones((3, 2), bool), np.ones((3, 2)))
    assert chance_notes(compare_with_commonest(predictions, PostProcessing()), data_with([1, 1]), HISTORY) == []


def test_a_run_that_learns_nothing_says_so_in_its_report_and_on_the_console(configured, music, tmp_path, caplog):
    lines = [
        f"{file},{file.parent.name},{('train', 'val', 'test')[number % 3]}"
        for number, file in enumerate(sorted(music.rglob("*.wav")))
    ]
    (tmp_path / "songs.csv").write_text("\n".join(["path,genres,split", *lines]) + "\n")
    own = [f"data.path={tmp_path / 'songs.csv'}", "split=column", "view.seconds=4", "optimizer.lr=1e-30"]
    run = genre.train(configured(*own, data="csv"))
    report = (run.folder / "report.txt").read_text()
    assert "no better than 30.0% for always naming" in report
    assert "Possible reasons: training had 1 batch per epoch, 1 in all" in report
    (warning,) = [record.getMessage() for record in caplog.records if "Possible reasons" in record.getMessage()]
    assert warning.startswith("test: Accuracy is ")
