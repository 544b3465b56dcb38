"""How far a sweep is: points done, the best so far, and when it will end."""

import logging
import math
import statistics
import time
from types import TracebackType

from optuna.trial import TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from genre.sweeping.finalists import Selection
from genre.sweeping.grid import value_label
from genre.sweeping.queue import Queue, QueueEntry

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds between two lines of a log


class Progress:
    """A line that tells how far a sweep is, of all its workers; in a log, where none can be redrawn, one a minute.

    Args:
        queue: of the sweep.
        selection: says which point is the best.
        shown: whether this worker shows it.
    """

    def __init__(self, queue: Queue, selection: Selection, shown: bool) -> None:
        self.queue, self.selection = queue, selection
        self.told = -math.inf
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        console = Console(stderr=True)
        self.bar = Bar(*columns, console=console, disable=not (shown and console.is_terminal))
        self.task = self.bar.add_task("points", left="")

    def __enter__(self) -> "Progress":
        self.bar.start()
        self.show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def show(self) -> None:
        """Read the record, and show it."""
        entries = self.queue.entries()
        done = sum(entry.state.is_finished() for entry in entries)
        about, rest = describe_progress(entries, self.selection), time_left(entries)
        self.bar.update(self.task, description=about, completed=done, total=len(entries), left=rest)
        if not self.bar.console.is_terminal and time.monotonic() > self.told + EVERY:
            self.told = time.monotonic()
            log.info("%s", "; ".join(part for part in (f"{done} of {len(entries)} points", about, rest) if part))


def describe_progress(entries: list[QueueEntry], selection: Selection) -> str:
    """'best 0.613 of trial 7 (model.kernel_size=5); 1 failed'."""
    failed = sum(entry.state == TrialState.FAIL for entry in entries)
    ranked = selection.ranked(entries)
    best = ""
    if ranked:
        values = ", ".join(f"{key}={value_label(value)}" for key, value in ranked[0].point.items())
        best = f"best {selection.score} {ranked[0].value:.4g} of trial {ranked[0].trial} ({values})"
    return "; ".join(part for part in (best or "no point is done yet", f"{failed} failed" if failed else "") if part)


def time_left(entries: list[QueueEntry]) -> str:
    """'about 12 min left': the time of the points so far, shared by those who work now."""
    seconds = [entry.attributes["seconds"] for entry in entries if "seconds" in entry.attributes]
    workers = {entry.attributes.get("worker") for entry in entries if entry.state == TrialState.RUNNING}
    unfinished = sum(not entry.state.is_finished() for entry in entries)
    if not seconds or not unfinished:
        return ""
    rest = statistics.mean(seconds) * unfinished / max(len(workers), 1)
    return f"about {rest / 60:.0f} min left" if rest < 5400 else f"about {rest / 3600:.1f} h left"
