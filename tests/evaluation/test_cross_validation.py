"""Folds of one configuration become one run, in which every track is tested once."""

from pathlib import Path

import numpy as np
import pytest

import genre
from genre.evaluation.cross_validation import merge_folds
from genre.evaluation.finished_runs import Run, section_of
from helpers import csv_rows


def fold(number: int, tracks: list[str], right: int, *, folds: int = 2, seed: int = 0) -> Run:
    """A run that is right about the first tracks of its fold."""
    settings = {
        "split.kind": "artist", "split.seed": 0, "split.hold_out": None, "split.folds": folds, "split.fold": number,
        "task._target_": "genre.tasks.Multiclass",
    }  # fmt: skip
    tested = {track: ("jazz", "jazz" if index < right else "rock") for index, track in enumerate(tracks)}
    metrics = {
        "test/accuracy": right / len(tracks),
        "val/accuracy": 0.1 * number,
        "seconds": 5.0,
        "split": "artist",
    }
    groups = {track: f"artist {track[0]}" for track in tracks}
    return Run((Path(f"{number}"),), "cnn", seed, settings, metrics, section_of(settings, tested), tested, groups)


def test_the_accuracy_of_two_folds_is_that_of_all_tracks():
    (run,), incomplete = merge_folds([fold(1, ["c", "d", "e"], 1), fold(0, ["a", "b"], 2)])
    assert run.metrics == {"test/accuracy": pytest.approx(3 / 5), "val/accuracy": pytest.approx(0.05), "seconds": 10.0}
    assert np.mean(list(run.correct.values())) == pytest.approx(3 / 5)
    assert run.folders == (Path("0"), Path("1")) and run.section.folds == 2 and not incomplete


def test_seeds_are_cross_validated_separately():
    runs, _ = merge_folds([fold(number, ["ab"[number]], 1, seed=seed) for seed in (0, 1) for number in (0, 1)])
    assert [run.seed for run in runs] == [0, 1] and len({run.section for run in runs}) == 1


def test_an_incomplete_cross_validation_is_no_run_and_names_the_missing_folds():
    runs, incomplete = merge_folds([fold(1, ["a"], 1, folds=4)])
    assert runs == [] and "of 4 folds some are missing; train them with -m split.fold=0,2,3" in incomplete[0]


def test_two_trained_folds_are_one_row_of_all_tracks(configured, tmp_path):
    for number in (0, 1):
        genre.train(configured(f"folder={tmp_path / 'runs' / str(number)}", "split.folds=2", f"split.fold={number}"))
    folder = tmp_path / "table"
    genre.evaluate(genre.compose(f"runs={tmp_path / 'runs' / '*'}", f"folder={folder}", config_name="evaluate"))
    row = csv_rows(folder / "results.csv")[0]
    assert row["section"].startswith("multiclass, split random (seed 0, 2 folds), 30 test tracks")
    predictions = [row for number in (0, 1) for row in csv_rows(tmp_path / "runs" / str(number) / "predictions.csv")]
    assert float(row["test_accuracy"]) == pytest.approx(np.mean([p["true"] == p["predicted"] for p in predictions]))
    assert row["runs"] == "1" and len(row["folders"].split()) == 2
