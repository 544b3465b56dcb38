"""The points of a sweep as an Optuna study: the queue that all workers share.

Each point is one trial, however often it was started: a trial whose worker was killed returns to WAITING under the same
number. Trial states change under an inter-process lock only, and only the worker that claimed a trial may finish it.
"""

import hashlib
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from genre.errors import UserError
from genre.ranges import Duration, WholeNumber, checked_dataclass
from genre.sweeping.grid import Point, canonical_json, point_identity, value_label
from genre.sweeping.record import SweepRecord

log = logging.getLogger(__name__)

MAX_LOST_WORKERS = 5  # after which a point is assumed to kill its workers
NUMERIC = "numbers"  # as stored in the study
Direction = Literal["minimize", "maximize"]
HEARTBEATS_PER_LEASE = 4


@dataclass(frozen=True)
class QueueEntry:
    """A point and its trial in the study.

    Args:
        trial: number of the trial in the study.
        state: WAITING, RUNNING, COMPLETE, PRUNED or FAIL.
        point: configuration key -> value.
        value: the score that points are selected by; None until the trial is complete.
        attributes: the trial's user attributes: metrics, seconds, traceback of the last failure.
    """

    trial: int
    state: TrialState
    point: Point
    value: float | None
    attributes: dict[str, Any]


def queue_entry(trial: FrozenTrial) -> QueueEntry:
    """Convert an Optuna trial to a queue entry."""
    return QueueEntry(trial.number, trial.state, trial.user_attrs["point"], trial.value, trial.user_attrs)


@checked_dataclass
class QueueRules:
    """Direction of the optimization, lease and retries.

    Args:
        direction: 'maximize' or 'minimize' the score that points are selected by.
        lease: seconds without a heartbeat after which a worker counts as lost.
        retries: how often a failed point is tried again.
    """

    direction: Direction = "maximize"
    lease: Duration = 60.0
    retries: WholeNumber = 1


class Queue:
    """One worker's connection to the queue of a sweep.

    Args:
        record: storage and locks of the sweep.
        name: of the study.
        base: the configuration that all points share, flat: key -> value.
        tracks: counts and digest of the tracks and their split.
        rules: direction, lease and retries.
        pruner: decides which points stop early.

    Raises:
        UserError: if the sweep was started with other tracks.
    """

    def __init__(
        self,
        record: SweepRecord,
        name: str,
        base: Mapping[str, Any],
        tracks: Mapping[str, Any],
        rules: QueueRules,
        pruner: BasePruner | None = None,
    ) -> None:
        self.record, self.name, self.rules, self.storage = record, name, rules, record.storage
        self.worker = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self.last_heartbeats: dict[int, tuple[Any, float]] = {}  # trial -> heartbeat, our clock when it was first read
        with self.lock():
            self.study = optuna.create_study(
                storage=self.storage, study_name=name, direction=rules.direction, load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(), pruner=pruner or NopPruner(),
            )  # fmt: skip
            self.study_id = self.storage.get_study_id_from_name(name)
            recorded = self.study.user_attrs
            for key, value in (("base", dict(base)), ("tracks", dict(tracks))):
                if key not in recorded:
                    self.study.set_user_attr(key, value)
        self.base: dict[str, Any] = self.study.user_attrs["base"]
        refuse_other_tracks(name, self.study.user_attrs["tracks"], tracks)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock under which the queue is changed."""
        with self.record.lock(f"{self.name}.queue", True):
            yield

    def refuse_changes(self, base: Mapping[str, Any], axes: Sequence[str]) -> None:
        """Compare the base configuration with the recorded one, except for the axes.

        Raises:
            UserError: naming the first key that differs.
        """
        for key in sorted(self.base.keys() | base.keys()):
            if any(key == axis or key.startswith(f"{axis}.") for axis in axes):
                continue
            recorded, current = self.base.get(key), base.get(key)
            if canonical_json(recorded) != canonical_json(current):
                raise UserError(
                    f"the sweep {self.name} was started with {key}={value_label(recorded)}, not {value_label(current)};"
                    f" leave {key} as it was, add it to grid.axes, or start another sweep with name=…"
                )

    def agree_on(self, name: str, propose: Callable[[], str]) -> str:
        """Return the value that the first worker proposed under this name."""
        with self.lock():
            if name not in self.study.user_attrs:
                self.study.set_user_attr(name, propose())
            return str(self.study.user_attrs[name])

    def entries(self) -> list[QueueEntry]:
        """Every point once, by trial number; the latest trial of a point that was queued again after it failed."""
        latest = {
            self.identity(entry.point): entry for entry in map(queue_entry, self.study.get_trials(deepcopy=False))
        }
        return sorted(latest.values(), key=lambda entry: entry.trial)

    def identity(self, point: Point) -> str:
        """Key of a point: the values in which it differs from the base."""
        return point_identity(point, self.base)

    def add(self, points: Sequence[Point]) -> int:
        """Queue the points that are not recorded yet, and failed ones whose retries were raised since.

        Returns:
            the number of points queued.
        """
        with self.lock():
            recorded = {self.identity(entry.point): entry for entry in self.entries()}
            requested = {self.identity(point): point for point in points}
            missing = {key: point for key, point in requested.items() if key not in recorded}
            retried = [recorded[key] for key in requested if key in recorded and self.can_retry(recorded[key])]
            distributions = self.distributions([*missing.values()])
            for point in missing.values():
                self.enqueue(point, distributions, {})
            if retried:
                distributions = self.distributions([entry.point for entry in retried])
                for entry in retried:
                    self.enqueue(entry.point, distributions, {"attempts": entry.attributes["attempts"]})
        return len(missing) + len(retried)

    def can_retry(self, entry: QueueEntry) -> bool:
        """Return whether a point failed and has retries left."""
        return (
            entry.state == TrialState.FAIL and entry.attributes.get("attempts", MAX_LOST_WORKERS) <= self.rules.retries
        )

    def enqueue(
        self, point: Point, distributions: Mapping[str, tuple[str, BaseDistribution]], attributes: Mapping[str, Any]
    ) -> None:
        """Add a waiting trial; the caller holds the lock."""
        named = {distributions[key][0]: (distributions[key][1], value) for key, value in point.items()}
        trial = create_trial(
            state=TrialState.WAITING,
            params={name: optuna_value(kind, value) for name, (kind, value) in named.items()},
            distributions={name: kind for name, (kind, _) in named.items()},
            user_attrs={"point": point, **attributes},
        )
        self.study.add_trial(trial)

    def distributions(self, points: Sequence[Point]) -> dict[str, tuple[str, BaseDistribution]]:
        """Map each axis to its parameter name in Optuna and its distribution.

        In Optuna, categories can neither be added nor become numbers: an axis that is extended that way continues under
        a new parameter name.
        """
        distributions: dict[str, tuple[str, BaseDistribution]] = {}
        for key in {key: None for point in points for key in point}:
            values = [point[key] for point in points if key in point]
            history = self.study.user_attrs.get(f"axis {key}", [])
            wanted = axis_kind(values, history[-1] if history else None)
            if not history or history[-1] != wanted:
                history = [*history, wanted]
                self.study.set_user_attr(f"axis {key}", history)
            name = key if len(history) == 1 else f"{key} ({len(history)})"
            distributions[key] = name, axis_distribution(wanted, values)
        return distributions

    def claim(
        self,
        limit: int = 1,
        family: Callable[[Point], str | None] = lambda point: None,
        propose: Callable[[list[QueueEntry]], Point | None] = lambda entries: None,
    ) -> list[QueueEntry]:
        """Claim waiting points for this worker, after requeueing those of lost workers.

        Args:
            limit: largest number of points.
            family: key that points claimed together share; a point with None is claimed alone.
            propose: returns a new point from all entries when none is waiting.

        Returns:
            the claimed points; empty if none is waiting.
        """
        with self.lock():
            self.requeue_expired()
            waiting = self.waiting()
            if not waiting and (point := propose(self.entries())) is not None:
                self.enqueue(point, self.distributions([point]), {})
                waiting = self.waiting()
            if not waiting:
                return []
            claimed = next_claim(waiting, limit, family)
            for entry in claimed:
                self.set_attributes(entry, worker=self.worker)
                self.set_state(entry, TrialState.RUNNING)
        return claimed

    def waiting(self) -> list[QueueEntry]:
        """Waiting points, the next one first."""
        return self.in_claim_order([entry for entry in self.entries() if entry.state == TrialState.WAITING])

    def in_claim_order(self, entries: Sequence[QueueEntry]) -> list[QueueEntry]:
        """Sort points by a hash, so that finished points are a fair sample of the grid at any time."""
        return sorted(entries, key=lambda entry: hashlib.sha256(self.identity(entry.point).encode()).digest())

    def requeue_expired(self) -> None:
        """Requeue running points without a heartbeat for a lease; the caller holds the lock.

        Only this worker's clock is read: a lease starts when this worker first reads a heartbeat.
        """
        time_now = time.monotonic()
        for entry in self.running():
            heartbeat = (entry.attributes.get("worker"), entry.attributes.get("heartbeat"))
            previous, since = self.last_heartbeats.get(entry.trial, (None, time_now))
            if heartbeat != previous:
                self.last_heartbeats[entry.trial] = (heartbeat, time_now)
            elif time_now - since > self.rules.lease:
                log.info("trial %d is requeued: no heartbeat from worker %s", entry.trial, heartbeat[0])
                self.requeue_lost(entry)

    def requeue_lost(self, entry: QueueEntry) -> None:
        """Requeue the point of a lost worker; fail it if it lost ``MAX_LOST_WORKERS``."""
        lost_workers = entry.attributes.get("lost_workers", 0) + 1
        self.set_attributes(entry, lost_workers=lost_workers, worker=None)
        if lost_workers < MAX_LOST_WORKERS:
            self.set_state(entry, TrialState.WAITING)
            return
        self.set_attributes(entry, traceback=f"its worker was lost {lost_workers} times")
        self.set_state(entry, TrialState.FAIL)

    def complete(self, entry: QueueEntry, value: float, attributes: Mapping[str, Any], pruned: bool = False) -> bool:
        """Record the result of a point; return False if the point no longer belongs to this worker."""
        with self.lock():
            if not self.owns(entry):
                return False
            self.set_attributes(entry, **attributes)
            self.set_state(entry, TrialState.PRUNED if pruned else TrialState.COMPLETE, value)
            return True

    def report(self, entries: Sequence[QueueEntry], epochs: int, scores: Sequence[float]) -> list[bool]:
        """Record the scores of points after so many epochs, and then decide which of them continue."""
        for entry, score in zip(entries, scores, strict=True):
            with suppress(UpdateFinishedTrialError):  # this worker counted as lost, and another one finished the point
                self.storage.set_trial_intermediate_value(self.storage_id(entry), epochs, score)
        return [not self.study.pruner.prune(self.study, self.trial_at(entry, epochs)) for entry in entries]

    def trial_at(self, entry: QueueEntry, epochs: int) -> FrozenTrial:
        """Return Optuna's trial without what a lost worker reported of it beyond so many epochs."""
        trial = self.storage.get_trial(self.storage_id(entry))
        trial.intermediate_values = {step: value for step, value in trial.intermediate_values.items() if step <= epochs}
        return trial

    def fail(self, entry: QueueEntry, traceback: str) -> bool:
        """Record a failure; return whether the point is requeued for another attempt."""
        with self.lock():
            if not self.owns(entry):
                return False
            attempts = self.current(entry).attributes.get("attempts", 0) + 1
            self.set_attributes(entry, attempts=attempts, traceback=traceback)
            retry = attempts <= self.rules.retries
            self.set_state(entry, TrialState.WAITING if retry else TrialState.FAIL)
            return retry

    def release(self, lost: bool = False) -> None:
        """Requeue the points that this worker has claimed and not finished; their retries are not used up.

        Args:
            lost: True if the points may be the cause: each counts this as a lost worker.
        """
        with self.lock():
            for entry in self.running():
                if entry.attributes.get("worker") != self.worker:
                    continue
                if lost:
                    self.requeue_lost(entry)
                else:
                    self.set_attributes(entry, worker=None)
                    self.set_state(entry, TrialState.WAITING)

    def owns(self, entry: QueueEntry) -> bool:
        """Return whether a point is running and claimed by this worker."""
        current = self.current(entry)
        return current.state == TrialState.RUNNING and current.attributes.get("worker") == self.worker

    def current(self, entry: QueueEntry) -> QueueEntry:
        """Read a point from the storage again."""
        return queue_entry(self.storage.get_trial(self.storage_id(entry)))

    def running(self) -> list[QueueEntry]:
        """Points that are claimed and not finished, those of lost workers included."""
        return [entry for entry in self.entries() if entry.state == TrialState.RUNNING]

    @contextmanager
    def heartbeat(self, entries: Sequence[QueueEntry]) -> Iterator[None]:
        """Send heartbeats for claimed points from a thread while the context is open."""
        stop = threading.Event()
        thread = threading.Thread(target=self.send_heartbeats, args=(entries, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def send_heartbeats(self, entries: Sequence[QueueEntry], stop: threading.Event) -> None:
        """Send numbered heartbeats until stopped; an unreachable storage is tried again at the next one."""
        count = 0
        while not stop.wait(self.rules.lease / HEARTBEATS_PER_LEASE):
            count += 1
            for entry in entries:
                try:
                    if self.owns(entry):
                        self.set_attributes(entry, heartbeat=f"{self.worker} {count}")
                except UpdateFinishedTrialError:
                    continue
                except Exception as error:  # each database raises its own
                    log.warning("cannot reach the sweep's storage: %s", error)

    def set_attributes(self, entry: QueueEntry, **attributes: Any) -> None:
        """Set user attributes of a trial."""
        for key, value in attributes.items():
            self.storage.set_trial_user_attr(self.storage_id(entry), key, value)

    def set_state(self, entry: QueueEntry, state: TrialState, value: float | None = None) -> None:
        """Set the state of a trial, with its value if it is finished."""
        self.storage.set_trial_state_values(self.storage_id(entry), state, None if value is None else [value])

    def storage_id(self, entry: QueueEntry) -> int:
        """Id of a trial in the storage, which differs from its number in the study."""
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, entry.trial)


def next_claim(waiting: Sequence[QueueEntry], limit: int, family: Callable[[Point], str | None]) -> list[QueueEntry]:
    """Return the first waiting point, and those of its family that are trained with it."""
    shared = family(waiting[0].point)
    relatives = [entry for entry in waiting[1:] if shared is not None and family(entry.point) == shared]
    return [waiting[0], *relatives][:limit]


def axis_kind(values: Sequence[Any], recorded: Any) -> Any:
    """Return NUMERIC, or the list of an axis's categories, which includes those recorded before."""
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric and recorded in (None, NUMERIC):
        return NUMERIC
    older = [] if recorded in (None, NUMERIC) else recorded
    return list(dict.fromkeys([*older, *map(value_label, values)]))


def axis_distribution(kind: Any, values: Sequence[Any]) -> BaseDistribution:
    """Optuna's distribution for a result of ``axis_kind``."""
    return FloatDistribution(min(values), max(values)) if kind == NUMERIC else CategoricalDistribution(kind)


def optuna_value(distribution: BaseDistribution, value: Any) -> Any:
    """Convert a value to what Optuna stores: a float, or the label of a category."""
    return float(value) if isinstance(distribution, FloatDistribution) else value_label(value)


def refuse_other_tracks(name: str, recorded: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Require that the tracks and their split are those that the sweep was started on.

    Raises:
        UserError: with the counts, if they differ.
    """
    if recorded == dict(current):
        return
    before, after = (
        ", ".join(f"{subset} {count}" for subset, count in tracks["counts"].items()) for tracks in (recorded, current)
    )
    difference = f"({before}), not ({after})" if before != after else "that have changed (their number is the same)"
    raise UserError(
        f"the sweep {name} was started on tracks {difference}; restore music and split, or choose another name=…"
    )
