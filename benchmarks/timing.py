"""How the benchmarks time: alternating rounds, and the median of each side."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One row of the results: seconds of ours and of the baseline, for the same work."""

    benchmark: str
    baseline: str
    baseline_seconds: float
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the baseline."""
        return self.baseline_seconds / self.seconds

    def row(self) -> tuple[str, ...]:
        """As in results.csv."""
        seconds = (f"{value:.4g}" for value in (self.baseline_seconds, self.seconds))
        return (self.benchmark, self.baseline, *seconds, f"{self.ratio:.2f}")


def alternate(baseline: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of two functions, called in turn so that a busy machine slows both; a first round warms up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for function, seconds in zip((baseline, ours), times, strict=True):
            begin = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - begin)
    first, second = (statistics.median(seconds[1:]) for seconds in times)
    return first, second
