"""Progress bars: the number per second, the time left, and the memory of this process."""

import resource
import sys
from pathlib import Path

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

STATM = Path("/proc/self/statm")  # Linux: sizes in pages, the second is that of the memory in use


class PerSecond(ProgressColumn):
    """The speed of a bar.

    Args:
        unit: what is counted: 'tracks'.
        each: number of units per step of the bar.
    """

    def __init__(self, unit: str, each: float = 1.0) -> None:
        super().__init__()
        self.unit, self.each = unit, each

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed * self.each:,.1f} {self.unit}/s")


class MemoryInUse(ProgressColumn):
    """The memory of this process."""

    max_refresh = 1.0  # seconds

    def render(self, task: Task) -> Text:
        return Text(f"{memory_in_use() / 1e9:.1f} GB")


def memory_in_use() -> int:
    """The memory of this process, in bytes; where the system does not tell, the most that it was."""
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def track_bar() -> Progress:
    """A bar of tracks."""
    time_left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = BarColumn(), TaskProgressColumn(), PerSecond("tracks"), time_left, MemoryInUse()
    return Progress(TextColumn("{task.description}", markup=False), *columns)
