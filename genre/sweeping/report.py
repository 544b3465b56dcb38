"""The report of a sweep: trials.csv, figures, and TensorBoard's HParams."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState
from torch.utils.tensorboard import SummaryWriter

from genre.data.datamodule import MusicData
from genre.evaluation import figures
from genre.files import write_csv
from genre.sweeping import drawing
from genre.sweeping.finalists import Selection, format_number
from genre.sweeping.grid import Grid, value_at, value_label
from genre.sweeping.proposal import in_memory_study
from genre.sweeping.queue import QueueEntry

STATE_NAMES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
SCORE_COLUMNS = ("val/accuracy", "val/loss", "train/accuracy", "train/loss")
RESULT_COLUMNS = ("seconds", "parameters", "epochs", "best_epoch", *SCORE_COLUMNS)


def axes_of(entries: Sequence[QueueEntry]) -> list[str]:
    """Return every axis of a sweep, those of earlier grids included."""
    return list(dict.fromkeys(key for entry in entries for key in entry.point))


def full_point(entry: QueueEntry, axes: Sequence[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point's value on every axis; the base value for an axis that was added after the point was queued."""
    return {key: entry.point[key] if key in entry.point else value_at(base, key) for key in axes}


def write_trials(folder: Path, entries: Sequence[QueueEntry], base: Mapping[str, Any]) -> None:
    """Write trials.csv: one row per point."""
    axes = axes_of(entries)
    columns = ("trial", "state", *axes, "value", *RESULT_COLUMNS, "error")
    rows = (trial_row(entry, axes, base) for entry in entries)
    write_csv(folder / "trials.csv", columns, ([row[column] for column in columns] for row in rows))


def trial_row(entry: QueueEntry, axes: Sequence[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point's row of trials.csv: column -> cell."""
    return {
        "trial": entry.trial,
        "state": STATE_NAMES[entry.state],
        **{key: value_label(value) for key, value in full_point(entry, axes, base).items()},
        "value": format_number(entry.value),
        **{name: format_number(entry.attributes.get(name)) for name in RESULT_COLUMNS},
        "error": last_error(entry),
    }


def last_error(entry: QueueEntry) -> str:
    """Return the last line of a failed point's traceback; empty for other points."""
    lines = str(entry.attributes.get("traceback", "")).strip().splitlines()
    return lines[-1] if lines and entry.state == TrialState.FAIL else ""


def write_sweep_report(
    folder: Path, entries: Sequence[QueueEntry], base: Mapping[str, Any], selection: Selection, data: MusicData
) -> None:
    """Write the figures and TensorBoard's HParams of a finished sweep."""
    done = selection.rank(entries)
    axes = axes_of(done)
    points = [full_point(entry, axes, base) for entry in done]
    values = np.array([entry.value for entry in done])
    title = f"{folder.name}, {data.subset_sizes()['val']} validation tracks"
    draw_figures(folder / "figures", done, points, values, selection, title)
    write_hparams(folder / "tensorboard", done, points, selection)


def draw_figures(
    folder: Path,
    done: Sequence[QueueEntry],
    points: Sequence[Mapping[str, Any]],
    values: npt.NDArray[np.float64],
    selection: Selection,
    title: str,
) -> None:
    """All figures; those that compare points only where there are some to compare."""
    score, largest = selection.score, selection.direction == "maximize"
    varied = {key: order for key in points[0] if len(order := axis_value_labels([point[key] for point in points])) > 1}
    shown = {
        "random": drawing.random_search_figure(np.sort(values if largest else -values), score, title, largest),
        "cost": drawing.costs_figure(
            {name: np.array([entry.attributes[name] for entry in done], float) for name in ("parameters", "seconds")},
            values, score, title,
        ),
    }  # fmt: skip
    if varied:
        places = {key: np.array([order.index(value_label(p[key])) for p in points]) for key, order in varied.items()}
        shown["marginal"] = drawing.marginals_figure(varied, places, values, score, title)
        shown["parallel"] = drawing.parallel_figure(varied, places, values, score, title, largest)
    if varied and len(set(values.tolist())) > 1:
        shown["importance"] = drawing.importance_figure(importances(varied, points, done, selection), title)
    for name, figure in shown.items():
        figures.save_figure(figure, folder / f"{name}.png")


def axis_value_labels(values: Sequence[Any]) -> list[str]:
    """Return the labels of an axis's distinct values: sorted if the values can be, else in order of appearance."""
    distinct = {value_label(value): value for value in values}
    try:
        return sorted(distinct, key=lambda label: distinct[label])
    except TypeError:
        return list(distinct)


def importances(
    varied: Mapping[str, Sequence[str]],
    points: Sequence[Mapping[str, Any]],
    done: Sequence[QueueEntry],
    selection: Selection,
) -> dict[str, float]:
    """Return the importance of each axis by Optuna's PED-ANOVA: key -> share; the shares sum to 1."""
    grid = Grid({key: list(order) for key, order in varied.items()})
    labelled = [
        QueueEntry(entry.trial, entry.state, {key: value_label(point[key]) for key in varied}, entry.value, {})
        for entry, point in zip(done, points, strict=True)
    ]
    study = in_memory_study(grid, labelled, selection.direction, 0)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def write_hparams(
    folder: Path, done: Sequence[QueueEntry], points: Sequence[Mapping[str, Any]], selection: Selection
) -> None:
    """Write every complete point for TensorBoard's HParams, replacing earlier files."""
    shutil.rmtree(folder, ignore_errors=True)
    for entry, point in zip(done, points, strict=True):
        hparams = {
            key: value if isinstance(value, bool | int | float | str) else value_label(value)
            for key, value in point.items()
        }
        results = {name: entry.attributes[name] for name in RESULT_COLUMNS if name in entry.attributes}
        with SummaryWriter(str(folder)) as writer:
            writer.add_hparams(hparams, results, run_name=f"trial-{entry.trial:04d}")
    for unused in folder.glob("events.*"):  # SummaryWriter opens one file besides those of add_hparams
        unused.unlink()
