"""What benchmarks share: timing of functions and processes with their peak memory, and a row of results.csv."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import torch
from threadpoolctl import threadpool_limits

from benchmarks.results import COLUMNS, Row

FORGET_PEAK = "5"  # written to clear_refs: VmHWM becomes the present use
POLL = 0.02  # seconds between two looks at the memory of a process


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat of the same work.

    Args:
        seconds: one per repeat.
        peak_mb: the most memory of the process meanwhile, in MB, mapped files included; None: not measured.
    """

    seconds: tuple[float, ...]
    peak_mb: float | None = None

    def __add__(self, other: "Timing") -> "Timing":
        """The repeats of both."""
        peaks = [timing.peak_mb for timing in (self, other) if timing.peak_mb is not None]
        return Timing(self.seconds + other.seconds, max(peaks, default=None))

    def __mul__(self, factor: float) -> "Timing":
        """The seconds of so many times the work."""
        return Timing(tuple(factor * value for value in self.seconds), self.peak_mb)

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def after_first(self) -> "Timing":
        """All repeats but the first, which warmed up."""
        return Timing(self.seconds[1:], self.peak_mb)


@dataclass(frozen=True)
class Bound:
    """What the work takes at least on this machine, as measured in the same run.

    Args:
        seconds: for the same work as the row's.
        what: the quantity and the rate, or the part of the work, that it comes from.
    """

    seconds: float
    what: str

    def __mul__(self, factor: float) -> "Bound":
        """The bound of so many times the work."""
        return Bound(factor * self.seconds, f"{factor:g} × {self.what}")

    def __add__(self, other: "Bound") -> "Bound":
        """The bound of two works, one after the other."""
        return Bound(self.seconds + other.seconds, f"{self.what} + {other.what}")


@dataclass(frozen=True)
class Measurement:
    """A row of results.csv: this package's seconds, beside those of a baseline and a bound where there is one.

    Args:
        work: what was done.
        ours: repeats of this package.
        baseline: whose work ``theirs`` is; empty: none.
        theirs: repeats of the baseline, for the same work.
        bound: the least seconds for this work.
        precision: of the network or transform; empty: it does not matter.
        threads: how many may compute; None: PyTorch's present number.
    """

    work: str
    ours: Timing
    baseline: str = ""
    theirs: Timing | None = None
    bound: Bound | None = None
    precision: str = ""
    threads: int | None = None

    @property
    def ratio(self) -> float | None:
        """Speed relative to the baseline; None without one."""
        return self.theirs.median / self.ours.median if self.theirs else None

    @property
    def share_of_bound(self) -> float | None:
        """The bound's seconds over ours, at most 1 on a quiet machine; None without a bound."""
        return self.bound.seconds / self.ours.median if self.bound else None

    def row(self, benchmark: str) -> Row:
        """Return the row: column -> text; empty where nothing was measured."""
        bound = (number(self.bound.seconds, ".4g"), self.bound.what) if self.bound else ("", "")
        values = (
            benchmark, self.work, self.baseline, *spread(self.theirs), *spread(self.ours), str(len(self.ours.seconds)),
            number(self.ratio, ".2f"), *bound, number(self.share_of_bound, ".2f"), number(self.ours.peak_mb, ".0f"),
            self.precision, str(self.threads or torch.get_num_threads()),
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    def summary(self) -> str:
        """The result in a line."""
        baseline = f", {self.ratio:.1f} times as fast as {self.baseline}" if self.ratio else ""
        bound = f", {self.share_of_bound:.0%} of the bound" if self.share_of_bound else ""
        if (self.share_of_bound or 0) > 1:
            bound += ", which was measured beside other load: run this again, alone"
        return f"{self.work}: {self.ours.median:.3g} s{baseline}{bound}"


def number(value: float | None, form: str) -> str:
    """A number as text; empty for None."""
    return "" if value is None else format(value, form)


def spread(timing: Timing | None) -> tuple[str, str, str]:
    """Median, fastest and slowest repeat in seconds, as text; empty without repeats."""
    if timing is None:
        return "", "", ""
    return f"{timing.median:.4g}", f"{min(timing.seconds):.4g}", f"{max(timing.seconds):.4g}"


def timed(function: Callable[[], object]) -> Timing:
    """Time one call."""
    forget_peak_memory()
    begin = time.perf_counter()
    function()
    return Timing((time.perf_counter() - begin,), peak_memory())


def in_turn(measures: Sequence[Callable[[], Timing]], rounds: int) -> list[Timing]:
    """Measure several things in turn, so that other load slows all of them; join the rounds of each."""
    timings = [measure() for measure in measures]
    for _ in range(rounds - 1):
        timings = [timing + measure() for timing, measure in zip(timings, measures, strict=True)]
    return timings


def alternate(functions: Sequence[Callable[[], object]], rounds: int) -> list[Timing]:
    """Time functions in turn, each called once before to warm up."""
    for function in functions:
        function()
    return in_turn([partial(timed, function) for function in functions], rounds)


def process(*arguments: str) -> Timing:
    """Time a process of this interpreter: process("train.py", "--help").

    Raises:
        RuntimeError: if it fails; the message has the end of its output.
    """
    peak = 0.0
    with TemporaryFile("w+") as output:
        begin = time.perf_counter()
        with subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=subprocess.STDOUT) as child:
            while child.poll() is None:
                peak = max(peak, peak_memory(child.pid))
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL)
        seconds = time.perf_counter() - begin
        output.seek(0)
        if child.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{output.read()[-2000:]}")
    return Timing((seconds,), peak)


def forget_peak_memory() -> None:
    """Have ``peak_memory`` of this process begin anew, where the system lets it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(FORGET_PEAK)


def peak_memory(pid: int | str = "self") -> float:
    """The most memory of a process so far, mapped files included, in MB; 0 if it has ended, or without /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads: PyTorch's, and those of NumPy's products."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
