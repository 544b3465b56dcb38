"""A sweep: every point of a grid trained once, by any number of workers, then selection, finalists and report."""

import hashlib
import json
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from optuna.pruners import MedianPruner
from optuna.trial import TrialState

from genre.config.build import root_device
from genre.config.records import flatten
from genre.config.settings import SweepSettings, TrainerSettings, TrainSettings, sweep_settings
from genre.data.datamodule import MusicData
from genre.data.metadata import check_columns
from genre.errors import UserError
from genre.files import write_csv
from genre.redaction import redacted
from genre.sweeping.failures import (
    MAX_FAILURES_IN_A_ROW,
    DeviceFailure,
    device_failure,
    first_line,
    is_device_failure,
    raise_interruption,
)
from genre.sweeping.finalists import Finalist, Selection, train_finalists
from genre.sweeping.grid import MAY_DIFFER, Point, apply_point, grid_of
from genre.sweeping.halving import Halving, Replay, replay
from genre.sweeping.heads import family_of, seed_groups, train_family
from genre.sweeping.progress import SweepProgress
from genre.sweeping.proposal import Plan
from genre.sweeping.queue import Queue, QueueEntry, QueueRules, next_claim
from genre.sweeping.record import open_record
from genre.sweeping.report import write_summary, write_sweep_report, write_trials
from genre.sweeping.trial import HistoryRow, Judge, TrialData, TrialResult, nan_as_infinite, train_point
from genre.training.setup import resolve_precision

log = logging.getLogger(__name__)

POLL_INTERVAL = 5.0  # longest time in seconds between two checks of the points that other workers train


@dataclass(frozen=True)
class SweepResult:
    """Result of a finished sweep.

    Args:
        folder: of the sweep.
        objective: score of the best point.
        finalists: the best points, trained again; empty if another worker trains them or none are configured.
    """

    folder: Path
    objective: float
    finalists: list[Finalist]


def sweep(cfg: DictConfig | SweepSettings) -> SweepResult:
    """Work on a sweep until no point is waiting or running on any worker, then finish it unless another worker does.

    Raises:
        UserError: if the configuration, the data or the storage cannot be used, the sweep was started with another
            configuration, the device fails, several points in a row fail, or no point could be trained.
    """
    worker = Worker(sweep_settings(cfg))
    try:
        with SweepProgress(worker.queue, worker.selection, worker.shows_progress) as progress:
            worker.train_waiting(progress)
    finally:
        entries = worker.queue.entries()
        write_trials(worker.folder, entries, worker.queue.base)
    best = worker.selection.rank(entries)
    if not best:
        raise UserError(f"no point of the sweep could be trained; {worker.folder / 'trials.csv'} lists the reasons")
    if failed := sum(entry.state == TrialState.FAIL for entry in entries):
        log.warning("%d of %d points failed; trials.csv lists the reasons", failed, len(entries))
    assert best[0].value is not None
    return SweepResult(worker.folder, best[0].value, worker.finish_sweep(entries))


class Worker:
    """One process that works on a sweep.

    Args:
        settings: of the sweep.

    Raises:
        UserError: if the configuration, the data or the storage cannot be used, or the sweep was started with another
            configuration.
    """

    def __init__(self, settings: SweepSettings) -> None:
        self.settings, self.folder, self.template = settings.grid, settings.folder.absolute(), settings.template
        self.shows_progress = settings.worker == 0 and settings.base.trainer.enable_progress_bar
        self.devices = devices_of(settings.base.trainer, settings.worker)
        grid = grid_of(self.settings)
        grid.check(self.template)
        own = self.settings
        self.selection = Selection(own.select_by, own.finalists, tuple(own.seeds), own.experiment, own.publish)
        self.plan = Plan(grid, own.sampler, own.trials, own.seed, self.selection.direction)
        self.failed_in_a_row: dict[int, str] = {}  # trial -> reason, since the last point that could be trained
        self.trial_data = TrialData()
        self.data = self.trial_data.data_for(self.settings_of({}))
        self.selection.check(self.data)
        for columns in grid.axes.get("model.metadata", ()):
            check_columns(columns, self.data.catalogue)
        self.record = open_record(self.folder, self.settings.storage)
        shared, rules = shared_record(settings), QueueRules(self.selection.direction, own.lease, own.retries)
        self.halving = Halving(own.first_epochs, own.eta, self.selection.direction)
        pruner = {"halving": self.halving, "median": MedianPruner(), None: None}[own.prune]
        self.queue = Queue(self.record, settings.name, shared, tracks_digest(self.data), rules, pruner)
        self.queue.refuse_changes(shared, list(grid.axes))
        measured = partial(resolve_precision, settings.base, root_device(settings.base.trainer))
        self.template.trainer.precision = self.queue.agree_on("precision", measured)
        self.write_splits()
        if queued := self.queue.add(self.plan.initial_points()):
            log.info("%d points were queued in %s", queued, self.folder)

    def write_splits(self) -> None:
        """Write the split that all points share."""
        write_csv(self.folder / "splits.csv", ("track", "subset"), sorted(self.data.subsets.items()))

    def train_waiting(self, progress: SweepProgress) -> None:
        """Train waiting points until none is waiting or running on any worker; release claimed ones if interrupted.

        Raises:
            UserError: if the device fails, or several points in a row.
        """
        try:
            while claimed := self.claim_next(progress):
                with self.queue.heartbeat(claimed):
                    self.train_entries(claimed)
                write_trials(self.folder, self.queue.entries(), self.queue.base)
        except BaseException as error:
            self.queue.release(lost=isinstance(error, DeviceFailure))
            if not isinstance(error, UserError):
                log.warning("interrupted; run the same command again to continue")
            raise

    def claim_next(self, progress: SweepProgress) -> list[QueueEntry]:
        """Claim points, waiting for one while other workers train; empty if none is waiting or running."""
        propose = partial(self.plan.propose, identity=self.queue.identity)
        while True:
            claimed = self.queue.claim(self.settings.heads, self.family, propose)
            progress.show()  # after claiming, so that the estimate of the time left counts this worker
            if claimed or not self.queue.running():
                return claimed
            time.sleep(min(POLL_INTERVAL, self.queue.rules.lease / 4))

    def settings_of(self, point: Point) -> TrainSettings:
        """Return the settings of a point on this worker's device."""
        return apply_point(self.template, point).replace(trainer__devices=self.devices)

    def family(self, point: Point) -> str | None:
        """Return the key that points trained in one pass share; None for a point that trains alone."""
        in_one_pass = self.settings.heads > 1 and self.settings.prune != "median"
        return family_of(self.settings_of(point)) if in_one_pass else None

    def train_entries(self, entries: Sequence[QueueEntry]) -> None:
        """Train points in one pass, or one by one if there is only one or the pass fails."""
        if len(entries) > 1 and self.train_in_one_pass(entries):
            return
        for entry in entries:
            self.train_one(entry)

    def train_in_one_pass(self, entries: Sequence[QueueEntry]) -> bool:
        """Train points of one family in one pass; return False if that fails.

        Raises:
            DeviceFailure: if the device is the cause.
        """
        try:
            points = [self.settings_of(entry.point) for entry in entries]
            results = train_family(points, self.trial_data, self.judge_of(entries))
        except Exception as error:
            raise_interruption(error)
            if is_device_failure(error):
                raise device_failure(error, [entry.trial for entry in entries]) from error
            log.warning("%d points could not be trained in one pass (%s); each is trained alone", len(entries), error)
            return False
        for entry, result in zip(entries, results, strict=True):
            self.record_result(entry, result)
        return True

    def train_one(self, entry: QueueEntry) -> None:
        """Train one point; an exception is recorded with the point.

        Raises:
            DeviceFailure: if the device is the cause.
            UserError: if it is the last of too many points in a row that failed.
        """
        try:
            result = train_point(self.settings_of(entry.point), self.trial_data, self.judge_of([entry]))
            self.record_result(entry, result)
            self.failed_in_a_row.clear()
        except Exception as error:
            raise_interruption(error)
            if is_device_failure(error):
                raise device_failure(error, [entry.trial]) from error
            retry = self.queue.fail(entry, traceback.format_exc())
            log.warning("trial %d failed (%s)%s", entry.trial, error, "; it is tried again" if retry else "")
            self.failed_in_a_row[entry.trial] = first_line(error)
            self.check_failures()

    def check_failures(self) -> None:
        """End the worker if too many points in a row failed while others are left.

        Raises:
            UserError: with the last failure, and how to continue.
        """
        unfinished = any(not entry.state.is_finished() for entry in self.queue.entries())
        if len(self.failed_in_a_row) < MAX_FAILURES_IN_A_ROW or not unfinished:
            return
        *_, last = self.failed_in_a_row.values()
        raise UserError(
            f"this worker ends, since {len(self.failed_in_a_row)} points in a row failed (the last with: {last}); if "
            f"the machine is the cause, correct it and continue with grid.retries={self.queue.rules.retries + 1}, "
            "which tries them again; otherwise run the same command again"
        )

    def judge_of(self, entries: Sequence[QueueEntry]) -> Judge | None:
        """Return what stops points early, if pruning is enabled."""
        return partial(self.judge, entries) if self.settings.prune else None

    def judge(self, entries: Sequence[QueueEntry], epochs: int, metrics: Mapping[int, HistoryRow]) -> list[int]:
        """Report the scores of points that train together; return the indices of those that stop."""
        if self.settings.prune == "halving" and epochs not in self.halving.rungs(epochs + 1):
            return []
        scores = [nan_as_infinite(values[self.selection.score]) for values in metrics.values()]
        continuing = self.queue.report([entries[index] for index in metrics], epochs, scores)
        return [index for index, continues in zip(metrics, continuing, strict=True) if not continues]

    def record_result(self, entry: QueueEntry, result: TrialResult) -> None:
        """Record the result of a trained point; a NaN loss is recorded as infinite."""
        numbers = {key: value for key, value in asdict(result).items() if key not in ("metrics", "pruned")}
        value = result.metrics[self.selection.score]
        attributes = {**result.metrics, **numbers, "seconds": round(result.seconds, 3)}
        if not self.queue.complete(entry, nan_as_infinite(value), attributes, result.pruned):
            log.warning("the result of trial %d is discarded: it was requeued for lack of a heartbeat", entry.trial)

    def finish_sweep(self, entries: Sequence[QueueEntry]) -> list[Finalist]:
        """Write the report and train the finalists, unless another worker does."""
        with self.record.lock(f"{self.queue.name}.finish", False) as acquired:
            if not acquired:
                log.info("another worker writes the report and trains the finalists")
                return []
            write_summary(self.folder, entries, self.selection, self.halving, self.replay(entries))
            write_sweep_report(self.folder, entries, self.queue.base, self.selection, self.data)
            return train_finalists(self.folder, entries, self.template, self.selection, self.data)

    def replay(self, entries: Sequence[QueueEntry]) -> Replay | None:
        """Return what successive halving would have done; None if points were stopped early or have no history."""
        done = self.selection.rank(entries)
        pruned = any(entry.state == TrialState.PRUNED for entry in entries)
        if pruned or not all(entry.attributes.get("history") for entry in done):
            return None
        return replay(self.passes(done), self.halving, self.selection)

    def passes(self, entries: Sequence[QueueEntry]) -> list[list[QueueEntry]]:
        """Return the points that train together, in the order in which a single worker claims them."""
        passes, waiting = [], self.queue.in_claim_order(entries)
        while waiting:
            claimed = next_claim(waiting, self.settings.heads, self.family)
            points = [self.settings_of(entry.point) for entry in claimed]
            passes += [[claimed[index] for index in indices] for indices in seed_groups(points)]
            waiting = [entry for entry in waiting if entry not in claimed]
        return passes


def devices_of(trainer: TrainerSettings, worker: int) -> int | list[int]:
    """Return ``trainer.devices`` of a worker: worker N uses GPU N modulo the machine's number of GPUs.

    Raises:
        UserError: if the trainer is configured for several devices.
    """
    if trainer.strategy != "auto" or trainer.devices != 1:
        raise UserError(
            "a point of a sweep trains on one device; remove trainer=ddp, and start several workers with "
            "-m hydra/launcher=joblib worker='range(4)'"
        )
    gpus = torch.cuda.device_count() if root_device(trainer).type == "cuda" else 0
    return [worker % gpus] if gpus > 1 else 1


def shared_record(settings: SweepSettings) -> dict[str, Any]:
    """Return the flat configuration that all points of a sweep share."""
    shared = {key: value for key, value in flatten(redacted(settings.base.record)) if key not in MAY_DIFFER}
    if "model.weights" in shared:  # the path may differ between machines
        shared["model.weights"] = Path(str(shared["model.weights"])).name
    halving = {"grid.prune": "halving", "grid.first_epochs": settings.grid.first_epochs, "grid.eta": settings.grid.eta}
    return shared | {"grid.select_by": settings.grid.select_by} | (halving if settings.grid.prune == "halving" else {})


def tracks_digest(data: MusicData) -> dict[str, Any]:
    """Return the counts per subset, and a digest of the split and of each track's name and length."""
    content = [sorted(data.subsets.items()), data.first.names, data.first.offsets.tolist()]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return {"counts": data.subset_sizes(), "sha256": digest}
