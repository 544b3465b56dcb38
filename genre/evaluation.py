"""What a trained model is worth: metrics with intervals, predictions, reports and figures of a subset."""

import csv
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from rich.progress import track as progress

from genre import checkpoint, config, figures, thresholds
from genre.catalogue import Catalogue
from genre.classifier import Classifier, outcome
from genre.datamodule import Batch, MusicData
from genre.errors import Mistake
from genre.files import write_csv, write_json, write_text
from genre.metrics import Bools, Floats, Judged, counted
from genre.splits import SUBSETS
from genre.tasks import Multilabel, Task

log = logging.getLogger(__name__)

DECIDED = ("exact", "jaccard", "micro_f1", "macro_f1")  # the metrics of several genres that need no probabilities


@dataclass(frozen=True)
class Outcome(Judged):
    """What a model says of the tracks of a subset.

    Args:
        names: (tracks,).
        genres: (genres,).
    """

    names: list[str]
    genres: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """Where an evaluation's files lie, and its metrics."""

    folder: Path
    metrics: dict[str, Any]


def predict(classifier: Classifier, data: MusicData, subset: str) -> Outcome:
    """Run a model over a subset in evaluation mode, in float32, without augmentation."""
    batches = data.batches(subset)
    shown = progress(batches, f"evaluating {subset}", transient=True, total=len(batches))
    return judged(classifier, (data.fetch(index) for index in shown), data.members(subset), data.genres)


@torch.inference_mode()
def judged(classifier: Classifier, batches: Iterable[Batch], names: list[str], genres: tuple[str, ...]) -> Outcome:
    """What a model says of batches of inputs."""
    parts = []
    for batch in batches:
        classifier.eval().to(batch.inputs.device)
        losses, probabilities = outcome(classifier.task, classifier(batch.inputs), batch.targets)
        parts.append((batch.targets.cpu(), probabilities.cpu(), losses.cpu()))
    targets, probabilities, losses = (torch.cat(part) for part in zip(*parts, strict=True))
    return Outcome(
        truth=targets.bool().numpy(),
        predicted=classifier.task.decide(probabilities).numpy(),
        probabilities=probabilities.double().numpy(),
        losses=losses.double().numpy(),
        several=classifier.task.several,
        names=names,
        genres=genres,
    )


def tuned_thresholds(classifier: Classifier, data: MusicData, validation: Outcome) -> Floats:
    """Thresholds tuned on validation, (genres,); with mixtures of validation tracks where training had mixtures."""
    truth, probabilities = validation.truth, validation.probabilities
    if data.pipeline.augment.mix:
        mixed = judged(classifier, data.mixtures("val"), [], data.genres)
        truth = np.concatenate([truth, mixed.truth])
        probabilities = np.concatenate([probabilities, mixed.probabilities])
    assert isinstance(data.task, Multilabel)
    return thresholds.tune(truth, probabilities, data.task.thresholds == "per_genre", data.task.threshold)


def metrics_of_several(
    judged: Judged, subset: str, intervals: bool, tuned: Floats | None, commonest: Bools | None
) -> dict[str, Any]:
    """The metrics of a subset; for several genres also those at tuned thresholds and of the baselines."""
    values = metrics_of(judged, subset, intervals)
    if tuned is not None:
        values |= metrics_of(replace(judged, predicted=judged.probabilities > tuned), subset, intervals, "_tuned")
    if commonest is not None:
        for name, guess in thresholds.baselines(judged, commonest.tolist()).items():
            values |= metrics_of(guess, subset, False, f"_{name}", DECIDED)
    return values


def metrics_of(
    judged: Judged, subset: str, intervals: bool, suffix: str = "", only: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """A subset's metrics under their names in metrics.json, each with its 95 % interval where asked for.

    What is undefined for these tracks (a ranking metric without any positive or negative) is left out.
    """
    scores = {name: float(value[0]) for name, value in judged.scores().items() if only is None or name in only}
    known = {name: value for name, value in scores.items() if not math.isnan(value)}
    values: dict[str, Any] = {f"{subset}/{name}{suffix}": value for name, value in known.items()}
    if intervals:
        values |= {f"{subset}/{name}{suffix}_ci95": edges for name, edges in judged.intervals().items()}
    return values


def write_outcome(folder: Path, outcome: Outcome, title: str, tuned: Floats | None = None) -> None:
    """Write predictions.csv, report.txt, report.json and the figures of a subset.

    Args:
        tuned: (genres,) the tuned thresholds, marked in the threshold curve.
    """
    said = zip(outcome.names, outcome.truth, outcome.predicted, outcome.probabilities, strict=True)
    rows = (
        (name, joined(true, outcome.genres), joined(predicted, outcome.genres), *(f"{p:.6f}" for p in probabilities))
        for name, true, predicted, probabilities in said
    )
    write_csv(folder / "predictions.csv", ("track", "true", "predicted", *outcome.genres), rows)
    report = report_of(outcome)
    write_json(folder / "report.json", report)
    write_text(folder / "report.txt", f"{title}\n\n{table(report)}")
    counts = outcome.truth.astype(int).T @ outcome.predicted.astype(int)
    figures.save(
        figures.confusion(counts, outcome.genres, title, outcome.several), folder / "figures" / "confusion.png"
    )
    if outcome.several:
        figure = figures.threshold_curves(thresholds.CANDIDATES, thresholds.curve(outcome), tuned, title)
        figures.save(figure, folder / "figures" / "thresholds.png")


def decided(outcome: Outcome, task: Task, tuned: Floats | None) -> Outcome:
    """What is predicted in the end: at the tuned thresholds where the task asks for those."""
    if tuned is None or not isinstance(task, Multilabel) or task.thresholds == "fixed":
        return outcome
    return replace(outcome, predicted=outcome.probabilities > tuned)


def joined(which: np.ndarray, genres: tuple[str, ...]) -> str:
    """The genres of a row of bools, ';' between."""
    return ";".join(genre for genre, has in zip(genres, which, strict=True) if has)


def report_of(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each genre, and their means over the genres."""
    values = counted(outcome.truth, outcome.predicted, np.ones((1, len(outcome.names))))
    report = {
        genre: {name: float(values[name][0, place]) for name in ("precision", "recall", "f1", "support")}
        for place, genre in enumerate(outcome.genres)
    }
    scores = outcome.scores()
    macro = {name: float(scores[f"macro_{name}"][0]) for name in ("precision", "recall", "f1")}
    return report | {"macro average": macro | {"support": float(len(outcome.names))}}


def table(report: Mapping[str, Mapping[str, float]]) -> str:
    """A report as aligned text."""
    width = max(len(name) for name in report)
    lines = [f"{'':{width}}  precision  recall      f1  support"]
    for name, row in report.items():
        values = f"{row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}  {row['support']:7.0f}"
        lines.append(f"{name:{width}}  {values}")
    lines.insert(-1, "")
    return "\n".join(lines) + "\n"


def title_of(cfg: Mapping[str, Any], subset: str, tracks: int) -> str:
    """What a figure or report is about: 'test, split random (seed 0), 200 tracks'."""
    held = ", held out" if subset == "test" and cfg["split"]["hold_out"] else ""
    return f"{subset}{held}, split {cfg['split']['kind']} (seed {cfg['split']['seed']}), {tracks} tracks"


def write_skipped(folder: Path, catalogue: Catalogue) -> None:
    """List every file or row that was not used."""
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in catalogue.skipped))


def evaluate(cfg: DictConfig) -> Evaluation:
    """Evaluate one run's best checkpoint on a subset, or on another catalogue.

    Raises:
        Mistake: if the run is none, the subset is empty, or the catalogue has nothing for this run.
    """
    values = config.plain(cfg)
    if not values["run"]:
        raise Mistake("evaluate.py needs run=FOLDER, the folder that train.py printed")
    saved = checkpoint.read(values["run"])
    subset = values["subset"] or ("all" if values["data"] else "test")
    if subset not in (*SUBSETS, "all"):
        raise Mistake(f"subset={subset} is not one of train, val, test, all")
    data = opened(saved, values, subset)
    classifier = classifier_of(saved, data)
    data.backbone = classifier.network
    data.prepare_data()
    folder = Path(values["folder"])
    write_skipped(folder, data.catalogue)
    if not data.members(subset):
        raise Mistake(f"there is no track in subset={subset}; the run has {data.counts()}")
    outcome = predict(classifier, data, subset)
    outcome = decided(outcome, data.task, saved.thresholds)
    write_outcome(folder, outcome, title_of(saved.config, subset, len(outcome.names)), saved.thresholds)
    write_csv(folder / "splits.csv", ("track", "subset"), data.subsets.items())
    fixed = replace(outcome, predicted=data.task.decide(torch.from_numpy(outcome.probabilities)).numpy())
    metrics = metrics_of_several(fixed, subset, True, saved.thresholds, saved.commonest) | {
        "run": str(saved.folder), "subset": subset, "split": saved.config["split"]["kind"],
        "split_seed": saved.config["split"]["seed"], "seed": saved.config["seed"],
        "tracks": {subset: len(outcome.names)},
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    copy_curves(saved.folder, folder)
    low, high = metrics[f"{subset}/accuracy_ci95"]
    print((folder / "report.txt").read_text(encoding="utf-8"))
    print(f"accuracy {metrics[f'{subset}/accuracy']:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    return Evaluation(folder, metrics)


def opened(saved: checkpoint.Checkpoint, values: Mapping[str, Any], subset: str) -> MusicData:
    """The run's own data, or another catalogue less the tracks that the run has seen; nothing is decoded yet."""
    cfg = saved.config
    device = config.device_of(values)
    if not values["data"]:
        data = config.data_of(offline(cfg), device, saved.genres)
    else:
        found = known_only(config.catalogue_of(values["data"]), saved.genres, config.task_of(cfg).several)
        if values["exclude_seen"]:
            found = less_seen(found, saved.folder)
        data = config.data_on(found, None, {**cfg, "data": values["data"]}, device, saved.genres)
    return data


def offline(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's configuration that fetches nothing from the addresses in it."""
    data = {key: False if key == "download" else value for key, value in cfg["data"].items()}
    return {**cfg, "data": data}


def known_only(found: Catalogue, genres: tuple[str, ...], several: bool) -> Catalogue:
    """The tracks whose genres the run knows.

    Raises:
        Mistake: if there are none.
    """
    strange = {}
    for track in found.tracks:
        counting = track.genres if several else track.genres[:1]
        if unknown := [genre for genre in counting if genre not in genres]:
            strange[track.name] = f"the run does not know the genre {unknown[0]}"
    if len(strange) == len(found.tracks):
        raise Mistake(f"the run knows {', '.join(genres)}; the catalogue has {', '.join(found.genres)}")
    return found.without(strange)


def less_seen(found: Catalogue, run: Path) -> Catalogue:
    """The tracks that a run neither trained nor validated on; says how many those were.

    Raises:
        Mistake: if none is left.
    """
    with (run / "splits.csv").open(encoding="utf-8", newline="") as file:
        subsets = {row["track"]: row["subset"] for row in csv.DictReader(file)}
    seen = {name: f"seen by the run ({subset})" for name, subset in subsets.items() if subset != "test"}
    fresh = found.without(seen)
    dropped = len(found.tracks) - len(fresh.tracks)
    log.info("%d of %d tracks were seen in training or validation and are left out", dropped, len(found.tracks))
    if not fresh.tracks:
        raise Mistake("the run has seen every track of this catalogue; exclude_seen=false evaluates on them anyway")
    return fresh


def classifier_of(saved: checkpoint.Checkpoint, data: MusicData) -> Classifier:
    """The module of a checkpoint, ready to predict."""
    return Classifier(config.trained_network(saved), data.task, torch.optim.SGD, None, "", 0, {})


def copy_curves(run: Path, folder: Path) -> None:
    """Draw the learning curves of a run into another folder."""
    history = read_history(run / "history.csv")
    if history:
        best = min(history, key=lambda row: row.get("val_loss", row["train_loss"]))
        figures.save(figures.curves(history, int(best["epoch"])), folder / "figures" / "curves.png")


def read_history(path: Path) -> list[dict[str, float]]:
    """The epochs of a history.csv; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
