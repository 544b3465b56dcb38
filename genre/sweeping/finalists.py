"""The finalists of a sweep: the best points by validation, trained again under several seeds and only then tested."""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from genre import paths
from genre.config.components import TARGET
from genre.config.compose import compose
from genre.config.records import flatten, plain
from genre.data.datamodule import MusicData
from genre.errors import UserError
from genre.files import write_csv, write_text
from genre.redaction import redacted
from genre.sweeping.grid import FIXED_GROUPS, MAY_DIFFER, apply_point, value_label
from genre.sweeping.queue import Direction, QueueEntry
from genre.training.train import metrics_of_run

log = logging.getLogger(__name__)

EXPERIMENT_GROUPS = ("model", "task", "view", "augment")  # whose chosen options tuned.yaml lists
MACHINE_GROUPS = ("spectrogram", "trainer")  # whose options it omits: they depend on the music and the machine


@dataclass(frozen=True)
class Selection:
    """How the best points are selected and trained again.

    Args:
        score: one of SELECTION_SCORES.
        finalists: number of the best points that are trained again.
        seeds: each finalist is trained once per seed.
        experiment: name of the winner's experiment, such as 'document/tuned'; None for one after the sweep.
        publish: write the experiment to conf/experiment, too.
    """

    score: str
    finalists: int
    seeds: tuple[int, ...]
    experiment: str | None = None
    publish: bool = False

    @property
    def direction(self) -> Direction:
        """Optimization direction, in Optuna's words."""
        return "minimize" if self.score.endswith("loss") else "maximize"

    def experiment_name(self, folder: Path) -> str:
        """Name of the winner's experiment in conf/experiment."""
        return self.experiment or f"{folder.name}/tuned"

    def check(self, data: MusicData) -> None:
        """Require validation tracks.

        Raises:
            UserError: if the validation subset is empty.
        """
        if not data.track_names("val"):
            raise UserError(
                f"grid.select_by={self.score} needs a validation subset, and this split has none; choose another split"
            )

    def rank(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """Complete points, the best first; equal ones by validation loss, then by number of parameters."""
        done = [entry for entry in entries if entry.state == TrialState.COMPLETE and entry.value is not None]
        return sorted(done, key=self.sort_key)

    def sort_key(self, entry: QueueEntry) -> tuple[float, ...]:
        """Key by which points are sorted, the best first."""
        results = entry.attributes
        value = entry.value if self.direction == "minimize" else -(entry.value or 0.0)
        return (value or 0.0, results["val/loss"], -results["val/accuracy"], results["parameters"], entry.trial)

    def standard_error(self, value: float, tracks: int) -> float:
        """Standard error of an accuracy measured on so many tracks; 0 for a loss, whose error is unknown."""
        return math.sqrt(value * (1 - value) / tracks) if self.score.endswith("accuracy") else 0.0


@dataclass(frozen=True)
class Finalist:
    """One of the best points, trained again under each seed.

    Args:
        entry: the point in the sweep.
        runs: seed -> run folder.
        metrics: seed -> content of metrics.json.
    """

    entry: QueueEntry
    runs: dict[int, Path]
    metrics: dict[int, dict[str, Any]]

    def mean(self, name: str) -> float | None:
        """Mean of a metric over the seeds; None if the metric is missing."""
        values = self.values(name)
        return statistics.mean(values) if values else None

    def standard_deviation(self, name: str) -> float | None:
        """Sample standard deviation of a metric over the seeds; None for fewer than two values."""
        values = self.values(name)
        return statistics.stdev(values) if len(values) > 1 else None

    def values(self, name: str) -> list[float]:
        """Values of a metric, one per seed that has it."""
        return [metrics[name] for metrics in self.metrics.values() if name in metrics]


def train_finalists(
    folder: Path, entries: Sequence[QueueEntry], cfg: DictConfig, selection: Selection, data: MusicData
) -> list[Finalist]:
    """Train the best points under every seed, into run folders; write finalists.csv and the winner's experiment.

    Finished runs are not repeated, interrupted ones are resumed.

    Returns:
        the finalists, the best mean validation score first.
    """
    chosen = selection.rank(entries)[: selection.finalists] if selection.seeds else []
    finalists = []
    for entry in chosen:
        runs = {seed: folder / "finalists" / f"trial-{entry.trial:04d}" / f"seed-{seed}" for seed in selection.seeds}
        settings = apply_point(cfg, entry.point)
        named = settings.replace(name=f"{settings.name}-finalist")
        metrics = {seed: metrics_of_run(named.replace(seed=seed, folder=str(run))) for seed, run in runs.items()}
        finalists.append(Finalist(entry, runs, metrics))
    sign = 1 if selection.direction == "minimize" else -1
    finalists.sort(key=lambda finalist: sign * (finalist.mean(selection.score) or 0.0))
    if finalists:
        write_finalists(folder, finalists, entries, selection, len(data.track_names("val")))
        content = tuned_experiment(folder, finalists[0], len(entries), selection, cfg, data)
        write_text(folder / "tuned.yaml", content)
        log.info("the winner is trial %d: %s", finalists[0].entry.trial, finalists[0].runs[selection.seeds[0]])
        publish_experiment(folder / "tuned.yaml", selection.experiment_name(folder), selection.publish)
    return finalists


def write_finalists(
    folder: Path, finalists: Sequence[Finalist], entries: Sequence[QueueEntry], selection: Selection, tracks: int
) -> None:
    """Write finalists.csv: one row per finalist, the best first.

    Args:
        folder: of the sweep.
        finalists: the best first.
        entries: every point of the sweep.
        selection: how the finalists were selected.
        tracks: number of validation tracks.
    """
    axes = list(dict.fromkeys(key for finalist in finalists for key in finalist.entry.point))
    rows = [
        {
            "rank": rank,
            "trial": finalist.entry.trial,
            **{key: value_label(finalist.entry.point[key]) if key in finalist.entry.point else "" for key in axes},
            "value": format_number(finalist.entry.value),
            "tied": ";".join(map(str, tied_trials(finalist.entry, entries, selection))),
            "within_noise": count_within_noise(finalist.entry, entries, selection, tracks),
            "seeds": ";".join(map(str, finalist.runs)),
            **seed_statistics(finalist, selection.score),
            "run": next(iter(finalist.runs.values())).relative_to(folder).as_posix(),
        }
        for rank, finalist in enumerate(finalists, start=1)
    ]
    write_csv(folder / "finalists.csv", list(rows[0]), [list(row.values()) for row in rows])


def seed_statistics(finalist: Finalist, score: str) -> dict[str, str]:
    """Mean and standard deviation over the seeds of the validation score and the same test score: column -> cell."""
    cells = {}
    for name in (score, score.replace("val/", "test/")):
        cells[f"{name} mean"] = format_number(finalist.mean(name))
        cells[f"{name} sd"] = format_number(finalist.standard_deviation(name))
    return cells


def tied_trials(entry: QueueEntry, entries: Sequence[QueueEntry], selection: Selection) -> list[int]:
    """Return the numbers of the other trials with the same score."""
    return sorted(
        other.trial for other in selection.rank(entries) if other.trial != entry.trial and other.value == entry.value
    )


def count_within_noise(entry: QueueEntry, entries: Sequence[QueueEntry], selection: Selection, tracks: int) -> int:
    """Count the other points whose score lies within one standard error of a point's score."""
    assert entry.value is not None
    noise = selection.standard_error(entry.value, tracks)
    others = (other for other in selection.rank(entries) if other.trial != entry.trial)
    return sum(abs((other.value or 0.0) - entry.value) <= noise for other in others)


def format_number(value: float | None) -> str:
    """Format a number for a table; empty for None."""
    return "" if value is None else f"{value:.6g}"


def publish_experiment(tuned: Path, name: str, publish: bool) -> None:
    """Copy the winner's experiment file to conf/experiment, or log the command that does."""
    path = paths.CONF / "experiment" / f"{name}.yaml"
    copying = f"mkdir -p {quote(str(path.parent))} && cp {quote(str(tuned))} {quote(str(path))}"
    if not publish:
        log.info("to train the winner by experiment=%s: %s", name, copying)
        return
    try:
        write_text(path, tuned.read_text(encoding="utf-8"))
    except OSError as error:
        log.warning("%s could not be written (%s); when that is corrected: %s", path, error.strerror, copying)
    else:
        log.info("python train.py experiment=%s now trains the winner", name)


def tuned_experiment(
    folder: Path, winner: Finalist, points: int, selection: Selection, cfg: DictConfig, data: MusicData
) -> str:
    """Return the experiment file of the winner: its values, and a comment on where they come from."""
    reader = str(cfg.data[TARGET]).rpartition("read_")[2]
    mean, name = winner.mean(selection.score), selection.experiment_name(folder)
    tracks = ", ".join(f"{count} {subset}" for subset, count in data.subset_sizes().items())
    lines = [
        "# @package _global_",
        f"# Winner of the sweep {folder.name}: the best {selection.score} of {points} points (mean of "
        f"{len(winner.runs)} seeds: {format_number(mean)}),",
        f"# data={reader}, split={cfg.split.kind} with split.seed={cfg.split.seed} ({tracks}).",
        f"#   python train.py experiment={name}  # as conf/experiment/{name}.yaml",
    ]
    if HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
        lines += ["defaults:", *(f"  - override /{group}: {choices[group]}" for group in EXPERIMENT_GROUPS), ""]
    nested = OmegaConf.create({})
    for key, value in {**changed_keys(cfg), **winner.entry.point}.items():
        OmegaConf.update(nested, key, value)
    values = OmegaConf.to_container(nested)
    assert isinstance(values, dict)
    values["name"] = name.replace("/", "-")
    return "\n".join(lines) + "\n" + yaml.safe_dump(redacted(values), sort_keys=False, default_flow_style=None)


def changed_keys(cfg: DictConfig) -> dict[str, Any]:
    """Return the keys that the command line or an experiment changed in the chosen options: key -> value.

    Keys of the machine, the music and the split are omitted.
    """
    if not HydraConfig.initialized():
        return {}
    choices = HydraConfig.get().runtime.choices
    options = compose(
        *(f"{group}={choices[group]}" for group in (*EXPERIMENT_GROUPS, *MACHINE_GROUPS)), "folder=x", "name=x"
    )
    before, after = (dict(flatten(plain(values))) for values in (options, cfg))
    return {
        key: value
        for key, value in after.items()
        if key not in (*MAY_DIFFER, "trainer.precision")
        and key.split(".")[0] not in FIXED_GROUPS
        and value != before.get(key)
    }
