"""The points of a sweep as an Optuna study: what is waiting, running elsewhere, lost, failed, and done.

Each point is one trial, however often it was begun: what a killed worker leaves goes back to waiting in its place. Only
the lock's holder changes what a trial is, and only the worker that a trial belongs to may finish it.
"""

import hashlib
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from genre.errors import UserError
from genre.sweeping.grid import Point, canonical_json, point_identity, value_label
from genre.sweeping.record import Record

log = logging.getLogger(__name__)

LOSSES = 5  # how often a point's worker may be lost before the point is suspected of killing it
NUMBERS = "numbers"
Direction = Literal["minimize", "maximize"]
BEATS = 4  # signs of life within a lease


@dataclass(frozen=True)
class QueueEntry:
    """A point as it is recorded.

    Args:
        trial: its number in the study.
        state: of Optuna's: WAITING, RUNNING, COMPLETE, PRUNED or FAIL.
        value: what it was selected by; None until it is complete.
        attributes: what else is known: metrics, seconds, the traceback of its last failure.
    """

    trial: int
    state: TrialState
    point: Point
    value: float | None
    attributes: dict[str, Any]


def queue_entry(trial: FrozenTrial) -> QueueEntry:
    """What Optuna keeps of a point."""
    return QueueEntry(trial.number, trial.state, trial.user_attrs["point"], trial.value, trial.user_attrs)


@dataclass(frozen=True)
class Rules:
    """How points are handled.

    Args:
        direction: 'maximize' or 'minimize' what points are selected by.
        lease: seconds without a sign of life after which a worker is taken for lost.
        retries: how often a point that failed is tried again.
    """

    direction: Direction = "maximize"
    lease: float = 60.0
    retries: int = 1

    def __post_init__(self) -> None:
        if self.lease <= 0:
            raise ValueError(f"grid.lease={self.lease} must be more than 0 seconds")
        if self.retries < 0:
            raise ValueError(f"grid.retries={self.retries} must be 0 or more")


class Queue:
    """One worker's view of a sweep.

    Args:
        record: where it is kept.
        name: of the study.
        base: configuration key -> value, flat: what all points share.
        tracks: what tells the music and its split from any other.
        rules: how points are handled.

    Raises:
        UserError: if the sweep was begun with another base or other tracks.
    """

    def __init__(
        self, record: Record, name: str, base: Mapping[str, Any], tracks: Mapping[str, Any], rules: Rules
    ) -> None:
        self.record, self.name, self.rules, self.storage = record, name, rules, record.storage
        self.worker = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self.seen: dict[int, tuple[Any, float]] = {}  # trial -> its last sign of life, and when we first saw it
        with self.locked():
            self.study = optuna.create_study(
                storage=self.storage, study_name=name, direction=rules.direction, load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(), pruner=optuna.pruners.MedianPruner(),
            )  # fmt: skip
            self.study_id = self.storage.get_study_id_from_name(name)
            known = self.study.user_attrs
            for key, value in (("base", dict(base)), ("tracks", dict(tracks))):
                if key not in known:
                    self.study.set_user_attr(key, value)
        self.base: dict[str, Any] = self.study.user_attrs["base"]
        refuse_other_tracks(name, self.study.user_attrs["tracks"], tracks)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the sweep meanwhile."""
        with self.record.lock(f"{self.name}.queue", True):
            yield

    def refuse_changes(self, base: Mapping[str, Any], axes: Sequence[str]) -> None:
        """All points share one base configuration, in all but the axes.

        Raises:
            UserError: naming the first key that differs.
        """
        for key in sorted(self.base.keys() | base.keys()):
            if any(key == axis or key.startswith(f"{axis}.") for axis in axes):
                continue
            before, now = self.base.get(key), base.get(key)
            if canonical_json(before) != canonical_json(now):
                raise UserError(
                    f"the sweep {self.name} was begun with {key}={value_label(before)}, not {value_label(now)};"
                    f" leave {key} as it was, add it to grid.axes, or start another sweep with name=…"
                )

    def agreed(self, name: str, propose: Callable[[], str]) -> str:
        """What the first worker that asks proposes, whoever asks later."""
        with self.locked():
            if name not in self.study.user_attrs:
                self.study.set_user_attr(name, propose())
            return str(self.study.user_attrs[name])

    def entries(self) -> list[QueueEntry]:
        """Every point, in the order in which they were queued; a point that was queued again after it failed counts
        as it is now."""
        latest = {
            self.identity(entry.point): entry for entry in map(queue_entry, self.study.get_trials(deepcopy=False))
        }
        return sorted(latest.values(), key=lambda entry: entry.trial)

    def identity(self, point: Point) -> str:
        """What tells a point from all others of the sweep."""
        return point_identity(point, self.base)

    def add(self, points: Sequence[Point]) -> int:
        """Queue the points that are not recorded yet, or whose retries were raised since they failed.

        Returns:
            how many those are.
        """
        with self.locked():
            known = {self.identity(entry.point): entry for entry in self.entries()}
            fresh = {self.identity(point): point for point in points}
            missing = {key: point for key, point in fresh.items() if key not in known}
            again = [known[key] for key in fresh if key in known and self.may_retry(known[key])]
            distributions = self.distributions([*missing.values()])
            for point in missing.values():
                self.enqueue(point, distributions, {})
            if again:
                distributions = self.distributions([entry.point for entry in again])
                for entry in again:
                    self.enqueue(entry.point, distributions, {"attempts": entry.attributes["attempts"]})
        return len(missing) + len(again)

    def may_retry(self, entry: QueueEntry) -> bool:
        """Whether a point that failed may be tried again."""
        return entry.state == TrialState.FAIL and entry.attributes.get("attempts", LOSSES) <= self.rules.retries

    def enqueue(self, point: Point, distributions: Mapping[str, tuple[str, BaseDistribution]], more: Any) -> None:
        """Add a waiting trial, in the lock."""
        named = {distributions[key][0]: (distributions[key][1], value) for key, value in point.items()}
        trial = create_trial(
            state=TrialState.WAITING,
            params={name: optuna_value(kind, value) for name, (kind, value) in named.items()},
            distributions={name: kind for name, (kind, _) in named.items()},
            user_attrs={"point": point, **more},
        )
        self.study.add_trial(trial)

    def distributions(self, points: Sequence[Point]) -> dict[str, tuple[str, BaseDistribution]]:
        """Axis -> its name in Optuna and what values it has.

        Optuna lets categories neither grow nor become numbers: an axis that is extended so goes on under a new name.
        """
        kinds: dict[str, tuple[str, BaseDistribution]] = {}
        for key in {key: None for point in points for key in point}:
            values = [point[key] for point in points if key in point]
            history = self.study.user_attrs.get(f"axis {key}", [])
            wanted = axis_kind(values, history[-1] if history else None)
            if not history or history[-1] != wanted:
                history = [*history, wanted]
                self.study.set_user_attr(f"axis {key}", history)
            name = key if len(history) == 1 else f"{key} ({len(history)})"
            kinds[key] = name, distribution(wanted, values)
        return kinds

    def claim(
        self,
        limit: int = 1,
        family: Callable[[Point], str | None] = lambda point: None,
        propose: Callable[[list[QueueEntry]], Point | None] = lambda entries: None,
    ) -> list[QueueEntry]:
        """Take what waits, after points of lost workers went back to waiting.

        Args:
            limit: how many points at most.
            family: what points must have in common to be taken together; None keeps a point alone.
            propose: a further point where none is waiting.

        Returns:
            the points, which are this worker's now; none where none waits.
        """
        with self.locked():
            self.take_back()
            waiting = self.waiting()
            if not waiting and (point := propose(self.entries())) is not None:
                self.enqueue(point, self.distributions([point]), {})
                waiting = self.waiting()
            if not waiting:
                return []
            own = family(waiting[0].point)
            alike = [entry for entry in waiting[1:] if own is not None and family(entry.point) == own]
            taken = [waiting[0], *alike][:limit]
            for entry in taken:
                self.set(entry, worker=self.worker)
                self.storage.set_trial_state_values(self.id_of(entry), TrialState.RUNNING)
        return taken

    def waiting(self) -> list[QueueEntry]:
        """What waits, shuffled: points that are done are then a fair sample of the grid, in values and in seconds."""
        some = [entry for entry in self.entries() if entry.state == TrialState.WAITING]
        return sorted(some, key=lambda entry: hashlib.sha256(self.identity(entry.point).encode()).digest())

    def take_back(self) -> None:
        """Let points of workers without a sign of life wait again, in the lock."""
        now = time.monotonic()
        for entry in self.entries():
            if entry.state != TrialState.RUNNING:
                continue
            sign = (entry.attributes.get("worker"), entry.attributes.get("beat"))
            before, since = self.seen.get(entry.trial, (None, now))
            if sign != before:
                self.seen[entry.trial] = (sign, now)
            elif now - since > self.rules.lease:
                self.lost(entry)

    def lost(self, entry: QueueEntry) -> None:
        """A point whose worker is gone waits again, unless it seems to be what kills its workers."""
        losses = entry.attributes.get("losses", 0) + 1
        log.info("trial %d is taken back: no sign of life of %s", entry.trial, entry.attributes.get("worker"))
        self.set(entry, losses=losses, worker=None)
        if losses < LOSSES:
            self.storage.set_trial_state_values(self.id_of(entry), TrialState.WAITING)
            return
        self.set(entry, traceback=f"its worker was lost {losses} times")
        self.storage.set_trial_state_values(self.id_of(entry), TrialState.FAIL)

    def complete(self, entry: QueueEntry, value: float, attributes: Mapping[str, Any], pruned: bool = False) -> bool:
        """Record what a point is worth; False where it was taken back meanwhile, and is another worker's."""
        with self.locked():
            if not self.owns(entry):
                return False
            self.set(entry, **attributes)
            state = TrialState.PRUNED if pruned else TrialState.COMPLETE
            self.storage.set_trial_state_values(self.id_of(entry), state, [value])
            return True

    def report(self, entry: QueueEntry, epoch: int, value: float) -> bool:
        """Tell a point's value at an epoch; whether it is worth going on, beside what others had there."""
        trial = optuna.trial.Trial(self.study, self.id_of(entry))
        trial.report(value, epoch)
        return not trial.should_prune()

    def fail(self, entry: QueueEntry, traceback: str) -> bool:
        """Record why a point failed, and let it wait again while it has retries; whether it does."""
        with self.locked():
            if not self.owns(entry):
                return False
            attempts = self.now(entry).attributes.get("attempts", 0) + 1
            self.set(entry, attempts=attempts, traceback=traceback)
            again = attempts <= self.rules.retries
            state = TrialState.WAITING if again else TrialState.FAIL
            self.storage.set_trial_state_values(self.id_of(entry), state)
            return again

    def release(self, entries: Sequence[QueueEntry]) -> None:
        """Let points wait again that this worker will not finish."""
        with self.locked():
            for entry in entries:
                if self.owns(entry):
                    self.set(entry, worker=None)
                    self.storage.set_trial_state_values(self.id_of(entry), TrialState.WAITING)

    def owns(self, entry: QueueEntry) -> bool:
        """Whether a point is still this worker's."""
        now = self.now(entry)
        return now.state == TrialState.RUNNING and now.attributes.get("worker") == self.worker

    def now(self, entry: QueueEntry) -> QueueEntry:
        """A point as it is recorded at this moment."""
        return queue_entry(self.storage.get_trial(self.id_of(entry)))

    def running(self) -> list[QueueEntry]:
        """What some worker works on, or was lost with."""
        return [entry for entry in self.entries() if entry.state == TrialState.RUNNING]

    @contextmanager
    def alive(self, entries: Sequence[QueueEntry]) -> Iterator[None]:
        """Give signs of life for points while they are worked on."""
        over = threading.Event()
        thread = threading.Thread(target=self.beat, args=(entries, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def beat(self, entries: Sequence[QueueEntry], over: threading.Event) -> None:
        """One sign of life a point, again and again; an unreachable storage is tried again."""
        count = 0
        while not over.wait(self.rules.lease / BEATS):
            count += 1
            for entry in entries:
                try:
                    if self.owns(entry):
                        self.set(entry, beat=f"{self.worker} {count}")
                except UpdateFinishedTrialError:
                    continue
                except Exception as error:  # of whichever database
                    log.warning("cannot reach the sweep's record: %s", error)

    def set(self, entry: QueueEntry, **attributes: Any) -> None:
        """Attributes of a point."""
        for key, value in attributes.items():
            self.storage.set_trial_user_attr(self.id_of(entry), key, value)

    def id_of(self, entry: QueueEntry) -> int:
        """A point's number in the storage."""
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, entry.trial)


def axis_kind(values: Sequence[Any], before: Any) -> Any:
    """What an axis' values are for Optuna: numbers, or a list of categories that holds those of before."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and before in (None, NUMBERS):
        return NUMBERS
    older = [] if before in (None, NUMBERS) else before
    return list(dict.fromkeys([*older, *map(value_label, values)]))


def distribution(kind: Any, values: Sequence[Any]) -> BaseDistribution:
    """An axis as Optuna has it, from ``kind_of``."""
    return FloatDistribution(min(values), max(values)) if kind == NUMBERS else CategoricalDistribution(kind)


def optuna_value(kind: BaseDistribution, value: Any) -> Any:
    """A value as Optuna keeps it."""
    return float(value) if isinstance(kind, FloatDistribution) else value_label(value)


def refuse_other_tracks(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """A sweep compares on the same tracks.

    Raises:
        UserError: saying what differs.
    """
    if before == dict(now):
        return
    counts = [", ".join(f"{subset} {count}" for subset, count in t["counts"].items()) for t in (before, now)]
    what = f"({counts[0]}), not ({counts[1]})" if counts[0] != counts[1] else "of the same number, which are others now"
    raise UserError(f"the sweep {name} was begun on tracks {what}; restore music and split, or choose another name=…")
