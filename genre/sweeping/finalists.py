"""The end of a sweep: the best points by validation, trained again under several seeds, and only then tested."""

import json
import logging
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from genre import config, paths
from genre.config import flatten_keys
from genre.data.datamodule import MusicData
from genre.errors import UserError
from genre.files import write_csv, write_text
from genre.paths import RECORD
from genre.sweeping.grid import FIXED, MAY_DIFFER, Point, apply_point, value_label
from genre.sweeping.queue import Direction, QueueEntry
from genre.sweeping.trial import SCORES
from genre.training.run_folder import escaped
from genre.training.train import train

log = logging.getLogger(__name__)

GROUPS = ("model", "task", "view", "augment")  # of which tuned.yaml names the options
LEFT_OUT = ("spectrogram", "trainer")  # of which it does not: the music and the machine decide


@dataclass(frozen=True)
class Selection:
    """How the best points are found.

    Args:
        score: what points are selected by, of SCORES.
        finalists: how many of the best are trained again.
        seeds: under which.
        experiment: of train.py that the winner becomes, such as 'document/tuned'; None for none.

    Raises:
        ValueError: naming the key whose value cannot be.
    """

    score: str
    finalists: int
    seeds: tuple[int, ...]
    experiment: str | None = None

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"grid.select_by={self.score} is not one of {', '.join(SCORES)}")
        if self.finalists < 0:
            raise ValueError(f"grid.finalists={self.finalists} must be 0 or more")
        if self.experiment is not None and not re.fullmatch(r"[\w-]+(/[\w-]+)*", self.experiment):
            raise ValueError(f"grid.experiment={self.experiment} is no name such as document/tuned")

    @property
    def direction(self) -> Direction:
        """As Optuna has it."""
        return "minimize" if self.score.endswith("loss") else "maximize"

    def check(self, data: MusicData) -> None:
        """Refuse to select without tracks to select on.

        Raises:
            UserError: if nothing validates.
        """
        if not data.track_names("val"):
            raise UserError(f"grid.select_by={self.score} needs a validation subset, and this split has none; choose "
                          "another split")  # fmt: skip

    def ranked(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """The points that are done, the best first; of equal ones that with the lower loss, then the smaller one."""
        done = [entry for entry in entries if entry.state == TrialState.COMPLETE and entry.value is not None]
        return sorted(done, key=self.place)

    def place(self, entry: QueueEntry) -> tuple[float, ...]:
        """What points are sorted by: the lower the better."""
        known = entry.attributes
        value = entry.value if self.direction == "minimize" else -(entry.value or 0.0)
        return (value or 0.0, known["val/loss"], -known["val/accuracy"], known["parameters"], entry.trial)

    def noise(self, value: float, tracks: int) -> float:
        """The standard error of an accuracy on so many tracks; that of a loss is not known, so 0."""
        return math.sqrt(value * (1 - value) / tracks) if self.score.endswith("accuracy") else 0.0


def selection_of(settings: Mapping[str, Any]) -> Selection:
    """How the best points are found, from configured values.

    Raises:
        UserError: naming the key whose value cannot be.
    """
    try:
        return Selection(settings["select_by"], settings["finalists"], tuple(settings["seeds"]), settings["experiment"])
    except ValueError as error:
        raise UserError(str(error)) from None


@dataclass(frozen=True)
class Finalist:
    """One of the best points, trained again.

    Args:
        entry: as it was in the sweep.
        runs: seed -> folder.
        metrics: seed -> metrics.json.
        score: what points are selected by.
    """

    entry: QueueEntry
    runs: dict[int, Path]
    metrics: dict[int, dict[str, Any]]
    score: str

    def mean(self, name: str) -> float | None:
        """A metric's mean over the seeds; None where it is missing."""
        values = self.values(name)
        return statistics.mean(values) if values else None

    def spread(self, name: str) -> float | None:
        """A metric's standard deviation over the seeds; None below two."""
        values = self.values(name)
        return statistics.stdev(values) if len(values) > 1 else None

    def values(self, name: str) -> list[float]:
        """A metric under each seed."""
        return [metrics[name] for metrics in self.metrics.values() if name in metrics]


def train_finalists(
    folder: Path, entries: Sequence[QueueEntry], cfg: DictConfig, selection: Selection, data: MusicData
) -> list[Finalist]:
    """Train the best points under every seed, into run folders; write finalists.csv and the winner's experiment.

    Runs that are finished are not repeated, interrupted ones go on.

    Returns:
        the finalists, the one with the best mean validation score first.
    """
    chosen = selection.ranked(entries)[: selection.finalists] if selection.seeds else []
    finalists = []
    for entry in chosen:
        runs = {seed: folder / "finalists" / f"trial-{entry.trial:04d}" / f"seed-{seed}" for seed in selection.seeds}
        metrics = {seed: metrics_of_run(run, cfg, entry.point, seed) for seed, run in runs.items()}
        finalists.append(Finalist(entry, runs, metrics, selection.score))
    sign = 1 if selection.direction == "minimize" else -1
    finalists.sort(key=lambda finalist: sign * (finalist.mean(selection.score) or 0.0))
    if finalists:
        write_finalists(folder, finalists, entries, selection, len(data.track_names("val")))
        write_experiment(
            folder, tuned_experiment(folder, finalists[0], len(entries), selection, cfg, data), selection.experiment
        )
        log.info("the winner is trial %d: %s", finalists[0].entry.trial, finalists[0].runs[selection.seeds[0]])
    return finalists


def metrics_of_run(run: Path, cfg: DictConfig, point: Point, seed: int) -> dict[str, Any]:
    """The metrics of a finalist's run, trained first where it is not finished."""
    if (run / "metrics.json").exists():
        found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        return found
    if (run / RECORD).exists():
        begun = OmegaConf.load(run / RECORD)
        assert isinstance(begun, DictConfig)
        begun.resume = str(run).replace("${", "\\${")
        return train(begun).metrics
    values = apply_point(cfg, point) | {"seed": seed, "folder": str(run), "name": f"{cfg.name}-finalist"}
    return train(OmegaConf.create(escaped(values))).metrics


def write_finalists(
    folder: Path, finalists: Sequence[Finalist], entries: Sequence[QueueEntry], selection: Selection, tracks: int
) -> None:
    """Write finalists.csv: a row each, ties named.

    Args:
        tracks: that validate.
    """
    score, axes = selection.score, list(dict.fromkeys(key for part in finalists for key in part.entry.point))
    test = score.replace("val/", "test/")
    header = (
        "rank", "trial", *axes, "value", "tied", "within_noise", "seeds", f"{score} mean", f"{score} sd",
        f"{test} mean", f"{test} sd", "run",
    )  # fmt: skip
    rows = []
    for rank, part in enumerate(finalists, start=1):
        entry = part.entry
        equal, close = tie_note(entry, entries, selection, tracks)
        rows.append((
            rank, entry.trial, *(value_label(entry.point[key]) if key in entry.point else "" for key in axes),
            format_number(entry.value), ";".join(map(str, equal)), close, ";".join(map(str, part.runs)),
            *(format_number(value) for name in (score, test) for value in (part.mean(name), part.spread(name))),
            next(iter(part.runs.values())).relative_to(folder).as_posix(),
        ))  # fmt: skip
    write_csv(folder / "finalists.csv", header, rows)


def tie_note(
    entry: QueueEntry, entries: Sequence[QueueEntry], selection: Selection, tracks: int
) -> tuple[list[int], int]:
    """Other trials with the same value, and how many other points lie within one standard error of it."""
    assert entry.value is not None
    noise = selection.noise(entry.value, tracks)
    others = [other for other in selection.ranked(entries) if other.trial != entry.trial]
    equal = sorted(other.trial for other in others if other.value == entry.value)
    return equal, sum(abs((other.value or 0.0) - entry.value) <= noise for other in others)


def format_number(value: float | None) -> str:
    """A number of a table; empty where there is none."""
    return "" if value is None else f"{value:.6g}"


def write_experiment(folder: Path, content: str, experiment: str | None) -> None:
    """Write the winner as an experiment of train.py: into the sweep's folder, and into conf/experiment if named."""
    write_text(folder / "tuned.yaml", content)
    if experiment is None:
        return
    path = paths.CONF / "experiment" / f"{experiment}.yaml"
    try:
        write_text(path, content)
    except OSError as error:
        log.warning("%s could not be written (%s); %s holds the same", path, error.strerror, folder / "tuned.yaml")
    else:
        log.info("python train.py experiment=%s now trains the winner", experiment)


def tuned_experiment(
    folder: Path, winner: Finalist, points: int, selection: Selection, cfg: DictConfig, data: MusicData
) -> str:
    """The winner's values as an experiment of train.py, and where they are from."""
    mean, name = winner.mean(selection.score), selection.experiment or f"{folder.name}/tuned"
    tracks = ", ".join(f"{count} {subset}" for subset, count in data.subset_sizes().items())
    lines = [
        "# @package _global_",
        f"# The winner of the sweep {folder.name}: of {points} points the best {selection.score} (mean of "
        f"{len(winner.runs)} seeds: {format_number(mean)}),",
        f"# data={cfg.data.kind}, split={cfg.split.kind} with split.seed={cfg.split.seed} ({tracks}).",
        f"#   python train.py experiment={name}"
        + ("" if selection.experiment else f"  # once this file is conf/experiment/{name}.yaml"),
    ]
    if HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
        lines += ["defaults:", *(f"  - override /{group}: {choices[group]}" for group in GROUPS), ""]
    nested = OmegaConf.create({})
    for key, value in {**changed_keys(cfg), **winner.entry.point}.items():
        OmegaConf.update(nested, key, value)
    values = OmegaConf.to_container(nested)
    assert isinstance(values, dict)
    values["name"] = name.replace("/", "-")
    return "\n".join(lines) + "\n" + yaml.safe_dump(values, sort_keys=False, default_flow_style=None)


def changed_keys(cfg: DictConfig) -> dict[str, Any]:
    """In what the base of all points differs from the options it was composed of: by the command line, an experiment.

    What belongs to the machine, the music or the split is left out.
    """
    if not HydraConfig.initialized():
        return {}
    choices = HydraConfig.get().runtime.choices
    options = config.compose(*(f"{group}={choices[group]}" for group in (*GROUPS, *LEFT_OUT)), "folder=x", "name=x")
    before, after = (dict(flatten_keys(config.plain(values))) for values in (options, cfg))
    return {
        key: value
        for key, value in after.items()
        if key not in (*MAY_DIFFER, "trainer.precision") and key.split(".")[0] not in FIXED and value != before.get(key)
    }
