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
from genre.sweeping.finalists import Selection, number
from genre.sweeping.grid import Grid, text, value_at
from genre.sweeping.proposal import shadow
from genre.sweeping.queue import Entry

STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
SCORES = ("val/accuracy", "val/loss", "train/accuracy", "train/loss")
KNOWN = ("seconds", "parameters", "epochs", "best_epoch", *SCORES)


def axes_of(entries: Sequence[Entry]) -> list[str]:
    """Every axis that a sweep ever had."""
    return list(dict.fromkeys(key for entry in entries for key in entry.point))


def whole(entry: Entry, axes: Sequence[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """A point's value on every axis; that of the base where it was queued before there was such an axis."""
    return {key: entry.point[key] if key in entry.point else value_at(base, key) for key in axes}


def write_trials(folder: Path, entries: Sequence[Entry], base: Mapping[str, Any]) -> None:
    """Write trials.csv: a row a point."""
    axes = axes_of(entries)
    rows = []
    for entry in entries:
        known = entry.attributes
        error = str(known.get("traceback", "")).strip().splitlines()
        rows.append((
            entry.trial, STATES[entry.state], *(text(value) for value in whole(entry, axes, base).values()),
            number(entry.value), *(number(known.get(name)) for name in KNOWN),
            error[-1] if error and entry.state == TrialState.FAIL else "",
        ))  # fmt: skip
    write_csv(folder / "trials.csv", ("trial", "state", *axes, "value", *KNOWN, "error"), rows)


def write_report(
    folder: Path, entries: Sequence[Entry], base: Mapping[str, Any], selection: Selection, data: MusicData
) -> None:
    """Draw what a finished sweep shows, into figures/ and TensorBoard's HParams."""
    done = selection.ranked(entries)
    axes = axes_of(done)
    points = [whole(entry, axes, base) for entry in done]
    values = np.array([entry.value for entry in done])
    title = f"{folder.name}, {data.counts()['val']} validation tracks"
    draw(folder / "figures", done, points, values, selection, title)
    write_hparams(folder / "tensorboard", done, points, selection)


def draw(
    folder: Path,
    done: Sequence[Entry],
    points: Sequence[Mapping[str, Any]],
    values: npt.NDArray[np.float64],
    selection: Selection,
    title: str,
) -> None:
    """All figures; those that compare points only where there are some to compare."""
    score, largest = selection.score, selection.direction == "maximize"
    varied = {key: order for key in points[0] if len(order := labels([point[key] for point in points])) > 1}
    shown = {
        "random": drawing.random_search(np.sort(values if largest else -values), score, title, largest),
        "cost": drawing.costs(
            {name: np.array([entry.attributes[name] for entry in done], float) for name in ("parameters", "seconds")},
            values, score, title,
        ),
    }  # fmt: skip
    if varied:
        places = {key: np.array([order.index(text(p[key])) for p in points]) for key, order in varied.items()}
        shown["marginal"] = drawing.marginals(varied, places, values, score, title)
        shown["parallel"] = drawing.parallel(varied, places, values, score, title, largest)
    if varied and len(set(values.tolist())) > 1:
        shown["importance"] = drawing.importance(importances(varied, points, done, selection), title)
    for name, figure in shown.items():
        figures.save(figure, folder / f"{name}.png")


def labels(values: Sequence[Any]) -> list[str]:
    """The values of an axis as they are shown: in order where they have one, else as they came."""
    distinct = {text(value): value for value in values}
    try:
        return sorted(distinct, key=lambda label: distinct[label])
    except TypeError:
        return list(distinct)


def importances(
    varied: Mapping[str, Sequence[str]],
    points: Sequence[Mapping[str, Any]],
    done: Sequence[Entry],
    selection: Selection,
) -> dict[str, float]:
    """How much each axis matters, by Optuna's PED-ANOVA: shares that add up to 1."""
    grid = Grid({key: list(order) for key, order in varied.items()})
    same = [
        Entry(entry.trial, entry.state, {key: text(point[key]) for key in varied}, entry.value, {})
        for entry, point in zip(done, points, strict=True)
    ]
    study = shadow(grid, same, selection.direction, 0)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def write_hparams(
    folder: Path, done: Sequence[Entry], points: Sequence[Mapping[str, Any]], selection: Selection
) -> None:
    """Write every point for TensorBoard's HParams, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for entry, point in zip(done, points, strict=True):
        plain = {
            key: value if isinstance(value, bool | int | float | str) else text(value) for key, value in point.items()
        }
        known = {name: entry.attributes[name] for name in KNOWN if name in entry.attributes}
        with SummaryWriter(str(folder)) as writer:
            writer.add_hparams(plain, known, run_name=f"trial-{entry.trial:04d}")
    for empty in folder.glob("events.*"):  # of the writers themselves
        empty.unlink()
