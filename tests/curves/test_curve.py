"""The command trains, measures and reports; interrupted, it goes on with what is not finished."""

import json

import numpy as np
import pytest

import genre
from genre.config.records import read_record
from genre.curves import trainings
from genre.errors import UserError
from helpers import csv_rows


@pytest.fixture
def trained(monkeypatch):
    """Count the trainings, and stop at the one with this number."""
    counted = {"runs": [], "stop": None}
    train = trainings.metrics_of_run

    def count(settings):
        if len(counted["runs"]) == counted["stop"]:
            raise KeyboardInterrupt
        counted["runs"].append(settings.folder.parent.name + "/" + settings.folder.name)
        return train(settings)

    monkeypatch.setattr(trainings, "metrics_of_run", count)
    return counted


@pytest.mark.slow
def test_a_curve_is_resumed_and_has_the_results_of_an_unbroken_one(configured_curve, trained, tmp_path):
    whole = genre.curve(configured_curve("folder=" + str(tmp_path / "whole")))
    assert len(trained["runs"]) == 6
    trained["runs"].clear()
    trained["stop"] = 4
    with pytest.raises(KeyboardInterrupt):
        genre.curve(configured_curve())
    trained["stop"] = None
    (tmp_path / "curve" / "runs" / "share-0.5" / "fold-0" / "metrics.json").unlink()  # as if interrupted before its end
    again = genre.curve(genre.compose(f"resume={tmp_path / 'curve'}", config_name="curve"))
    finished = {path.parent.name for path in (again.folder / "runs").glob("*/*/metrics.json")}
    assert finished == {"fold-0", "fold-1"} and again.folder == tmp_path / "curve"
    for name in ("curve.csv", "genres.csv", "report.txt"):
        assert (again.folder / name).read_text() == (whole.folder / name).read_text()
    rows = csv_rows(whole.folder / "curve.csv")
    for row in rows:
        runs = list((whole.folder / "runs" / f"share-{row['share']}").iterdir())
        tested = [track for run in runs for track in csv_rows(run / "predictions.csv")]
        assert len({track["track"] for track in tested}) == 30
        right = np.mean([track["true"] == track["predicted"] for track in tested])
        assert float(row["accuracy"]) == pytest.approx(right, abs=1e-6)
        counts = [json.loads((run / "metrics.json").read_text())["tracks"]["train"] for run in runs]
        assert float(row["tracks"]) == pytest.approx(np.mean(counts))
    assert read_record(whole.folder)["trainer"]["precision"] == "32-true"
    assert (whole.folder / "report.txt").read_text().startswith("test, split random (seed 0, 2 folds), 30 tracks\n")
    with pytest.raises(UserError, match="holds a learning curve already; continue it with resume="):
        genre.curve(configured_curve())
    with pytest.raises(
        UserError, match=r"trainer.max_epochs cannot change from 1 to 2; omit it \(only paths and debug"
    ):
        genre.curve(genre.compose(f"resume={tmp_path / 'curve'}", "trainer.max_epochs=2", config_name="curve"))
    table = genre.compose(f"runs={whole.folder}/runs/*/*", f"folder={tmp_path / 'table'}", config_name="evaluate")
    genre.evaluate(table)
    assert len(csv_rows(tmp_path / "table" / "results.csv")) >= 3


def test_a_run_is_not_resumed_as_a_curve(configured, tmp_path):
    run = genre.train(configured())
    with pytest.raises(UserError, match=r"is a run, not a learning curve; continue it with train\.py"):
        genre.curve(genre.compose(f"resume={run.folder}", config_name="curve"))


def test_a_mistake_leaves_no_folder_behind(configured_curve, tmp_path):
    with pytest.raises(UserError, match="the smallest share"):
        genre.curve(configured_curve("curve.shares=[0.01,0.5,1]"))
    assert not (tmp_path / "curve").exists()
