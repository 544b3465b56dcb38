"""Progress of a sweep: points done, the best so far, time left."""

import logging
import math
import statistics
import time
from types import TracebackType

from optuna.trial import TrialState
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from genre.sweeping.finalists import Selection
from genre.sweeping.grid import value_label
from genre.sweeping.queue import Queue, QueueEntry
from genre.terminal import plain_console

log = logging.getLogger(__name__)

LOG_INTERVAL = 60.0  # seconds between two lines in a log


class SweepProgress:
    """Progress bar for the points of all workers; where standard error is no terminal, one log line per minute.

    Args:
        queue: of the sweep.
        selection: ranks the points.
        enabled: whether this worker shows the bar.
    """

    def __init__(self, queue: Queue, selection: Selection, enabled: bool) -> None:
        self.queue, self.selection = queue, selection
        self.last_logged = -math.inf
        summary, left = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[left]}"))
        console = plain_console(stderr=True)
        self.bar = Bar(
            summary,
            BarColumn(),
            MofNCompleteColumn(),
            left,
            console=console,
            disable=not (enabled and console.is_terminal),
        )
        self.task = self.bar.add_task("points", left="")

    def __enter__(self) -> "SweepProgress":
        self.bar.start()
        self.show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def show(self) -> None:
        """Read the queue and update the bar or the log."""
        entries = self.queue.entries()
        done = sum(entry.state.is_finished() for entry in entries)
        summary, left = describe_progress(entries, self.selection), time_left(entries)
        self.bar.update(self.task, description=summary, completed=done, total=len(entries), left=left)
        if not self.bar.console.is_terminal and time.monotonic() > self.last_logged + LOG_INTERVAL:
            self.last_logged = time.monotonic()
            log.info("%s", "; ".join(part for part in (f"{done} of {len(entries)} points", summary, left) if part))


def describe_progress(entries: list[QueueEntry], selection: Selection) -> str:
    """Describe the best point and the failures: 'best val/accuracy 0.613, trial 7 (model.kernel_size=5); 1 failed'."""
    failed = sum(entry.state == TrialState.FAIL for entry in entries)
    ranked = selection.rank(entries)
    best = ""
    if ranked:
        values = ", ".join(f"{key}={value_label(value)}" for key, value in ranked[0].point.items())
        best = f"best {selection.score} {ranked[0].value:.4g}, trial {ranked[0].trial} ({values})"
    return "; ".join(
        part for part in (best or "no point is complete yet", f"{failed} failed" if failed else "") if part
    )


def time_left(entries: list[QueueEntry]) -> str:
    """Estimate the time left, 'about 12 min left': mean seconds per point times unfinished points, over the workers."""
    seconds = [entry.attributes["seconds"] for entry in entries if "seconds" in entry.attributes]
    workers = {entry.attributes.get("worker") for entry in entries if entry.state == TrialState.RUNNING}
    unfinished = sum(not entry.state.is_finished() for entry in entries)
    if not seconds or not unfinished:
        return ""
    left = statistics.mean(seconds) * unfinished / max(len(workers), 1)
    return f"about {left / 60:.0f} min left" if left < 5400 else f"about {left / 3600:.1f} h left"
