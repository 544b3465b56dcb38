"""Timing of benchmarks: two functions in turn, and the median of each."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """Seconds of this package and of a baseline for the same work."""

    benchmark: str
    baseline: str
    baseline_seconds: float
    seconds: float

    @property
    def ratio(self) -> float:
        """Speed relative to the baseline."""
        return self.baseline_seconds / self.seconds

    def row(self) -> dict[str, str]:
        """Return a row of results.csv: column -> text."""
        return {
            "benchmark": self.benchmark,
            "baseline": self.baseline,
            "baseline_seconds": f"{self.baseline_seconds:.4g}",
            "seconds": f"{self.seconds:.4g}",
            "ratio": f"{self.ratio:.2f}",
        }


def alternate(baseline: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the median seconds of two functions, called in turn so that other load slows both; first a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for function, seconds in zip((baseline, ours), times, strict=True):
            begin = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - begin)
    first, second = (statistics.median(seconds[1:]) for seconds in times)
    return first, second
