"""The report of a sweep: trials.csv, report.txt, figures, and TensorBoard's HParams."""

import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState
from torch.utils.tensorboard import SummaryWriter

from genre.data.datamodule import MusicData
from genre.evaluation.figures import save_figure
from genre.files import write_csv, write_text
from genre.sweeping import drawing
from genre.sweeping.finalists import Selection, format_number
from genre.sweeping.grid import Grid, value_at, value_label
from genre.sweeping.halving import Halving, Replay
from genre.sweeping.proposal import in_memory_study
from genre.sweeping.queue import QueueEntry

log = logging.getLogger(__name__)

STATE_NAMES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
MIN_IMPORTANCE_POINTS = 50  # PED-ANOVA compares the best tenth with all: five points at least
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


def write_summary(
    folder: Path, entries: Sequence[QueueEntry], selection: Selection, halving: Halving, replayed: Replay | None
) -> None:
    """Write and log report.txt: the points, the best of them, and successive halving of the same points.

    Args:
        folder: of the sweep.
        entries: every point of the sweep.
        selection: ranks the points.
        halving: the rule that was replayed.
        replayed: its result; None if points were stopped early.
    """
    best = selection.rank(entries)[0]
    sentences = [points_sentence(entries), f"The best is trial {best.trial} with {selection.score} {best.value:.4g}."]
    if replayed:
        sentences.append(replay_sentence(replayed, halving, selection, entries))
    elif any(entry.state == TrialState.PRUNED for entry in entries):
        sentences.append("How good the stopped points would have become is not known; grid.prune=null trains them all.")
    for sentence in sentences:
        log.info("%s", sentence)
    write_text(folder / "report.txt", "\n".join(sentences) + "\n")


def points_sentence(entries: Sequence[QueueEntry]) -> str:
    """Return how many points there are, how many of them were stopped after how many epochs, and all their epochs."""
    states = Counter(entry.state for entry in entries)
    stopped = Counter(entry.attributes["epochs"] for entry in entries if entry.state == TrialState.PRUNED)
    parts = [
        f"{states[TrialState.COMPLETE]} trained in full",
        *(f"{count} stopped after {epochs} epoch{'s' * (epochs > 1)}" for epochs, count in sorted(stopped.items())),
        *([f"{states[TrialState.FAIL]} failed"] if states[TrialState.FAIL] else []),
    ]
    total = sum(entry.attributes.get("epochs", 0) for entry in entries)
    return f"{len(entries)} points, {total} epochs: {', '.join(parts)}."


def replay_sentence(replayed: Replay, halving: Halving, selection: Selection, entries: Sequence[QueueEntry]) -> str:
    """Return what successive halving would have saved and missed."""
    done = selection.rank(entries)
    chosen, count = replayed.chosen, len(done)
    result = f"trial {chosen.trial} with {selection.score} {chosen.value:.4g}, rank {replayed.rank} of {count}"
    return (
        f"Successive halving (grid.prune=halving grid.first_epochs={halving.first_epochs} grid.eta={halving.eta}, one "
        f"worker) would have trained {replayed.trained} of these {replayed.total} epochs "
        f"({replayed.trained / replayed.total:.0%}), and chosen {result}."
    )


def write_sweep_report(
    folder: Path, entries: Sequence[QueueEntry], base: Mapping[str, Any], selection: Selection, data: MusicData
) -> None:
    """Write the figures and TensorBoard's HParams of a finished sweep."""
    done = selection.rank(entries)
    axes = axes_of(done)
    points = [full_point(entry, axes, base) for entry in done]
    of_all = f" of {len(entries)}" if len(done) < len(entries) else ""
    title = f"Sweep {folder.name}: {len(done)}{of_all} points, {data.subset_sizes()['val']} validation tracks"
    figures = sweep_figures(done, points, selection, title)
    if any(entry.state == TrialState.PRUNED for entry in entries):
        figures["random"] = drawing.note_figure("Points were stopped early: random search is not simulated.", title)
    for name, figure in figures.items():
        save_figure(figure, folder / "figures" / f"{name}.png")
    write_hparams(folder / "tensorboard", done, points, selection)


def sweep_figures(
    done: Sequence[QueueEntry], points: Sequence[Mapping[str, Any]], selection: Selection, title: str
) -> dict[str, Figure]:
    """Draw all figures of complete points: file name without suffix -> figure."""
    values = np.array([entry.value for entry in done], float)
    scores = drawing.Scores(selection.score, values, selection.direction == "maximize")
    costs = {name: np.array([entry.attributes[name] for entry in done], float) for name in drawing.COST_LABELS}
    drawn = {
        "random": drawing.random_search_figure(scores, title),
        "cost": drawing.costs_figure(costs, scores, title),
    }
    if axes := varied_axes(points):
        drawn["marginal"] = drawing.marginals_figure(axes, scores, title)
        drawn["parallel"] = drawing.parallel_figure(axes, scores, title)
        note = importance_note(values)
        drawn["importance"] = (
            drawing.note_figure(note, title)
            if note
            else drawing.importance_figure(importances(axes, done, selection), title)
        )
    return drawn


def varied_axes(points: Sequence[Mapping[str, Any]]) -> list[drawing.Axis]:
    """Return the axes on which the points differ."""
    axes = []
    for key in points[0]:
        labels = axis_value_labels([point[key] for point in points])
        if len(labels) > 1:
            indices = np.array([labels.index(value_label(point[key])) for point in points])
            axes.append(drawing.Axis(key, labels, indices))
    return axes


def importance_note(values: npt.NDArray[np.float64]) -> str:
    """Return why the importance of axes cannot be computed from these scores; empty if it can."""
    if len(values) < MIN_IMPORTANCE_POINTS:
        return (
            f"The importance of the axes is not computed: it compares the best tenth of the points with all,\n"
            f"which needs {MIN_IMPORTANCE_POINTS} complete points; this sweep has {len(values)}."
        )
    if len(set(values.tolist())) == 1:
        return "The importance of the axes is not computed: all points have the same score."
    return ""


def axis_value_labels(values: Sequence[Any]) -> list[str]:
    """Return the labels of an axis's distinct values: sorted if the values can be, else in order of appearance."""
    distinct = {value_label(value): value for value in values}
    try:
        return sorted(distinct, key=lambda label: distinct[label])
    except TypeError:
        return list(distinct)


def importances(axes: Sequence[drawing.Axis], done: Sequence[QueueEntry], selection: Selection) -> dict[str, float]:
    """Return the importance of each axis by Optuna's PED-ANOVA: key -> share; the shares sum to 1."""
    labelled = [
        replace(entry, point={axis.key: axis.labels[axis.indices[index]] for axis in axes}, attributes={})
        for index, entry in enumerate(done)
    ]
    grid = Grid({axis.key: list(axis.labels) for axis in axes})
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
