"""A name that looks like markup of rich is printed as it is."""

from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

import genre
from genre.exploration.findings import Finding
from genre.exploration.report import KINDS, print_findings
from genre.sweeping.finalists import Selection
from genre.sweeping.progress import SweepProgress
from genre.sweeping.queue import QueueEntry

ODD = "R&B [/b] :cat:"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_a_genre_and_a_run_of_an_odd_name_are_trained_evaluated_compared_and_predicted(
    configured, music, tmp_path, capsys
):
    rows = [f"{file},{file.parent.name.replace('blues', ODD)}" for file in sorted(music.rglob("*.wav"))]
    (tmp_path / "songs.csv").write_text("\n".join(["path,genres", *rows]) + "\n")
    cfg = configured(f"data.path={tmp_path / 'songs.csv'}", "view.seconds=4", f"name='{ODD}'", data="csv")
    run = genre.train(cfg).folder
    assert f"{ODD}, split random" in capsys.readouterr().out
    genre.evaluate(genre.compose(f"run={run}", f"folder={tmp_path / 'evaluated'}", config_name="evaluate"))
    assert ODD in capsys.readouterr().out
    genre.evaluate(genre.compose(f"runs={run}", f"folder={tmp_path / 'compared'}", config_name="evaluate"))
    overrides = f"run={run}", f"input={music / 'blues'}", f"folder={tmp_path / 'predicted'}"
    capsys.readouterr()
    genre.predict(genre.compose(*overrides, config_name="predict"))
    assert ODD in capsys.readouterr().out


def test_a_finding_about_a_track_of_an_odd_name_is_printed(capsys):
    print_findings([Finding(next(iter(KINDS)), ODD)])
    assert ODD in capsys.readouterr().out


def test_a_point_of_an_odd_value_is_shown_on_the_bar_of_a_sweep(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    metrics = {"val/loss": 1.0, "val/accuracy": 0.5, "parameters": 1}
    best = QueueEntry(0, TrialState.COMPLETE, {"name": ODD}, 0.5, metrics)
    with SweepProgress(SimpleNamespace(entries=lambda: [best]), Selection("val/accuracy", 1, (0,)), True) as bar:
        bar.bar.refresh()
    assert ODD in capsys.readouterr().err
