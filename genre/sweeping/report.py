"""What is written of a sweep: its points as a table, figures, and TensorBoard's HParams."""

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

STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
SCORES = ("val/accuracy", "val/loss", "train/accuracy", "train/loss")
KNOWN = ("seconds", "parameters", "epochs", "best_epoch", *SCORES)


def axes_of(entries: Sequence[QueueEntry]) -> list[str]:
    """Every axis that a sweep ever had."""
    return list(dict.fromkeys(key for entry in entries for key in entry.point))


def full_point(entry: QueueEntry, axes: Sequence[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """A point's value on every axis; that of the base where it was queued before there was such an axis."""
    return {key: entry.point[key] if key in entry.point else value_at(base, key) for key in axes}


def write_trials(folder: Path, entries: Sequence[QueueEntry], base: Mapping[str, Any]) -> None:
    """Write trials.csv: a row a point."""
    axes = axes_of(entries)
    rows = []
    for entry in entries:
        known = entry.attributes
        error = str(known.get("traceback", "")).strip().splitlines()
        rows.append((
            entry.trial, STATES[entry.state], *(value_label(value) for value in full_point(entry, axes, base).values()),
            format_number(entry.value), *(format_number(known.get(name)) for name in KNOWN),
            error[-1] if error and entry.state == TrialState.FAIL else "",
        ))  # fmt: skip
    write_csv(folder / "trials.csv", ("trial", "state", *axes, "value", *KNOWN, "error"), rows)


def write_report(
    folder: Path, entries: Sequence[QueueEntry], base: Mapping[str, Any], selection: Selection, data: MusicData
) -> None:
    """Draw what a finished sweep shows, into figures/ and TensorBoard's HParams."""
    done = selection.ranked(entries)
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
    """The values of an axis as they are shown: in order where they have one, else as they came."""
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
    """How much each axis matters, by Optuna's PED-ANOVA: shares that add up to 1."""
    grid = Grid({key: list(order) for key, order in varied.items()})
    same = [
        QueueEntry(entry.trial, entry.state, {key: value_label(point[key]) for key in varied}, entry.value, {})
        for entry, point in zip(done, points, strict=True)
    ]
    study = in_memory_study(grid, same, selection.direction, 0)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def write_hparams(
    folder: Path, done: Sequence[QueueEntry], points: Sequence[Mapping[str, Any]], selection: Selection
) -> None:
    """Write every point for TensorBoard's HParams, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for entry, point in zip(done, points, strict=True):
        plain = {
            key: value if isinstance(value, bool | int | float | str) else value_label(value)
            for key, value in point.items()
        }
        known = {name: entry.attributes[name] for name in KNOWN if name in entry.attributes}
        with SummaryWriter(str(folder)) as writer:
            writer.add_hparams(plain, known, run_name=f"trial-{entry.trial:04d}")
    for empty in folder.glob("events.*"):  # of the writers themselves
        empty.unlink()
