"""A sweep: every point of a grid trained once, by any number of workers, then selection, finalists and report."""

import hashlib
import json
import logging
import math
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from genre import config
from genre.config import flatten_keys
from genre.data.datamodule import MusicData
from genre.errors import UserError
from genre.files import write_csv
from genre.sweeping.finalists import Finalist, selection_of, train_finalists
from genre.sweeping.grid import MAY_DIFFER, Point, apply_point, grid_of
from genre.sweeping.heads import family_of, train_family
from genre.sweeping.progress import Progress
from genre.sweeping.proposal import Plan, build_plan
from genre.sweeping.queue import Direction, Queue, QueueEntry, Rules
from genre.sweeping.record import open_record
from genre.sweeping.report import write_report, write_trials
from genre.sweeping.trial import Prune, TrialData, TrialResult, train_point
from genre.training.train import precision_of

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds at most between two looks at points that others work on


@dataclass(frozen=True)
class SweepResult:
    """What a worker hands back when nothing is left to do.

    Args:
        folder: of the sweep.
        objective: the best value so far.
        finalists: trained again; none where another worker does that, or none were asked for.
    """

    folder: Path
    objective: float
    finalists: list[Finalist]


def sweep(cfg: DictConfig) -> SweepResult:
    """Work on a sweep until no point is waiting or running anywhere, then conclude it if nobody else does.

    Raises:
        UserError: if the configuration, the data or the record cannot be used, or the sweep was begun otherwise.
    """
    worker = Worker(cfg)
    try:
        with Progress(worker.queue, worker.selection, worker.shows) as progress:
            worker.work(progress)
    finally:
        entries = worker.queue.entries()
        write_trials(worker.folder, entries, worker.queue.base)
    best = worker.selection.ranked(entries)
    if not best:
        raise UserError(f"no point of the sweep could be trained; {worker.folder / 'trials.csv'} has the reasons")
    if failed := sum(entry.state == TrialState.FAIL for entry in entries):
        log.warning("%d of %d points failed; trials.csv has the reasons", failed, len(entries))
    assert best[0].value is not None
    return SweepResult(worker.folder, best[0].value, worker.concluded(entries))


class Worker:
    """One process that works on a sweep.

    Args:
        cfg: as in conf/sweep.yaml.

    Raises:
        UserError: if the configuration, the data or the record cannot be used, or the sweep was begun otherwise.
    """

    def __init__(self, cfg: DictConfig) -> None:
        values = config.plain(cfg)
        self.settings, self.folder = values["grid"], Path(values["folder"]).absolute()
        self.shows = values["worker"] == 0 and values["trainer"].get("enable_progress_bar", True)
        self.devices = devices_of(values["trainer"], values["worker"])
        self.cfg = base_config(cfg)
        grid = grid_of(cfg)
        grid.check(self.cfg)
        self.selection = selection_of(self.settings)
        rules = rules_of(self.settings, self.selection.direction)
        self.plan = planned_by(self.settings, grid, self.selection.direction)
        self.bench = TrialData()
        self.data = self.bench.data_for(self.values_of({}))
        self.selection.check(self.data)
        self.record = open_record(self.folder, self.settings["storage"])
        shared = shared_by_all(config.plain(self.cfg), self.settings)
        self.queue = Queue(self.record, values["name"], shared, tracks_digest(self.data), rules)
        self.queue.refuse_changes(shared, list(grid.axes))
        measured = partial(precision_of, values["trainer"], config.device_of(values["trainer"]))
        self.cfg.trainer.precision = self.queue.agreed("precision", measured)
        self.write_splits()
        if fresh := self.queue.add(self.plan.first()):
            log.info("%d points are queued in %s", fresh, self.folder)

    def write_splits(self) -> None:
        """Which tracks are where: the same for all points."""
        write_csv(self.folder / "splits.csv", ("track", "subset"), sorted(self.data.subsets.items()))

    def work(self, progress: Progress) -> None:
        """Train what waits; then see what others are at, until nothing is left."""
        propose = partial(self.plan.next, identity=self.queue.identity)
        while True:
            taken = self.queue.claim(self.settings["heads"], self.family, propose)
            progress.show()  # with what this worker begins, so that it counts among those who share the rest
            if taken:
                self.train_alive(taken)
                write_trials(self.folder, self.queue.entries(), self.queue.base)
            elif self.queue.running():
                time.sleep(min(PATIENCE, self.queue.rules.lease / 4))
            else:
                return

    def train_alive(self, entries: Sequence[QueueEntry]) -> None:
        """Train points with signs of life; what is interrupted waits for another worker at once."""
        try:
            with self.queue.alive(entries):
                self.train(entries)
        except BaseException:
            self.queue.release(entries)
            log.warning("interrupted; the same command goes on")
            raise

    def values_of(self, point: Point) -> dict[str, Any]:
        """A point's whole configuration, on this worker's device."""
        values = apply_point(self.cfg, point)
        values["trainer"]["devices"] = self.devices
        return values

    def family(self, point: Point) -> str | None:
        """What points have in common that train in one pass."""
        together = self.settings["heads"] > 1 and not self.settings["prune"]
        return family_of(self.values_of(point)) if together else None

    def train(self, entries: Sequence[QueueEntry]) -> None:
        """Train points together, or one; if those together fail, each for itself."""
        if len(entries) > 1:
            try:
                trained = train_family([self.values_of(entry.point) for entry in entries], self.bench)
            except Exception as error:
                log.warning(
                    "%d points could not be trained in one pass (%s); each is trained alone", len(entries), error
                )
            else:
                for entry, result in zip(entries, trained, strict=True):
                    self.finish(entry, result)
                return
        for entry in entries:
            self.train_alone(entry)

    def train_alone(self, entry: QueueEntry) -> None:
        """Train one point; whatever goes wrong is recorded with it, and does not stop the rest."""
        try:
            self.finish(entry, train_point(self.values_of(entry.point), self.bench, self.pruning(entry)))
        except Exception as error:
            again = self.queue.fail(entry, traceback.format_exc())
            log.warning("trial %d failed (%s)%s", entry.trial, error, "; it is tried again" if again else "")

    def pruning(self, entry: QueueEntry) -> list[Callback]:
        """What stops a point that is worse than others."""
        if not self.settings["prune"]:
            return []
        return [Prune(self.selection.score, partial(self.queue.report, entry))]

    def finish(self, entry: QueueEntry, result: TrialResult) -> None:
        """Record a trained point."""
        known = {key: value for key, value in asdict(result).items() if key not in ("metrics", "pruned")}
        value = result.metrics[self.selection.score]
        attributes = {**result.metrics, **known, "seconds": round(result.seconds, 3)}
        if not self.queue.complete(entry, nan_as_infinite(value), attributes, result.pruned):
            log.warning("trial %d was taken back meanwhile: this worker gave no sign of life", entry.trial)

    def concluded(self, entries: Sequence[QueueEntry]) -> list[Finalist]:
        """Train the best points again and write the report, if no other worker is at it."""
        with self.record.lock(f"{self.queue.name}.conclusion", False) as ours:
            if not ours:
                log.info("another worker concludes the sweep")
                return []
            write_report(self.folder, entries, self.queue.base, self.selection, self.data)
            return train_finalists(self.folder, entries, self.cfg, self.selection, self.data)


def devices_of(trainer: Mapping[str, Any], worker: Any) -> int | list[int]:
    """What the group trainer calls the one device of a worker: those of one machine take its GPUs in turn.

    Raises:
        UserError: if the trainer asks for several devices, or a worker has no number.
    """
    if trainer.get("strategy") or trainer.get("devices", 1) != 1:
        raise UserError(
            "a point of a sweep trains on one device; leave out trainer=ddp, and start several workers with "
            "-m hydra/launcher=joblib worker='range(4)'"
        )
    if not isinstance(worker, int) or worker < 0:
        raise UserError(f"worker={worker} must be a number from 0 up; start several with -m worker='range(4)'")
    gpus = torch.cuda.device_count() if config.device_of(trainer).type == "cuda" else 0
    return [worker % gpus] if gpus > 1 else 1


def base_config(cfg: DictConfig) -> DictConfig:
    """What train.py would get of a sweep's configuration."""
    base = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in ("grid", "worker")])
    OmegaConf.set_struct(base, True)
    return base


def rules_of(settings: Mapping[str, Any], direction: Direction) -> Rules:
    """How points are handled, from configured values.

    Raises:
        UserError: naming the key whose value cannot be.
    """
    if settings["heads"] < 1:
        raise UserError(f"grid.heads={settings['heads']} must be at least 1")
    try:
        return Rules(direction, settings["lease"], settings["retries"])
    except ValueError as error:
        raise UserError(str(error)) from None


def planned_by(settings: Mapping[str, Any], grid: Any, direction: Direction) -> Plan:
    """Which points are tried.

    Raises:
        UserError: naming the key whose value cannot be.
    """
    if settings["prune"] and settings["sampler"] == "grid":
        raise UserError("grid.prune=true goes with grid.sampler=random or tpe; the exhaustive grid trains every point")
    return build_plan(grid, settings["sampler"], settings["trials"], settings["seed"], direction)


def shared_by_all(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What all points of a sweep share, flat."""
    kept = {key: value for key, value in flatten_keys(values) if key not in MAY_DIFFER}
    if "weights" in values["model"]:  # wherever they lie
        kept["model.weights"] = Path(str(values["model"]["weights"])).name
    return kept | {"grid.select_by": settings["select_by"]}


def tracks_digest(data: MusicData) -> dict[str, Any]:
    """What tells the music and its split from any other: subsets, and how long each track is."""
    what = [sorted(data.subsets.items()), data.first.names, data.first.offsets.tolist()]
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()
    return {"counts": data.subset_sizes(), "sha256": digest}


def nan_as_infinite(value: float) -> float:
    """A value that can be recorded: a loss that is not a number is the worst."""
    return math.inf if math.isnan(value) else value
