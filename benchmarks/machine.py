"""What this machine can do at most, measured when it is first asked for: matrix products and copies.

python -m benchmarks.machine
"""

import os
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Bound, threads

SIZES = (1024, 2048, 4096)  # rows of the square matrices; the fastest counts
COPIED = 2**28  # float32 numbers, 1 GB: more than any cache
LEAST = 2.0  # seconds of each measurement, and
CALLS = 20  # calls, of which one should meet no other load
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LIGHTNING = {"32-true": "float32", "bf16-mixed": "bfloat16"}  # Lightning's name of a precision -> ours


@cache
def peak(precision: str, count: int) -> float:
    """Operations per second of a matrix product on so many threads; a product and a sum count as two operations."""
    return max(product_speed(size, PRECISIONS[precision], count) for size in SIZES)


def product_speed(size: int, dtype: torch.dtype, count: int) -> float:
    """Operations per second of a product of square matrices."""
    left, right = torch.rand(2, size, size, dtype=torch.float32).to(dtype)
    out = torch.empty_like(left)
    with threads(count):
        return 2 * size**3 / fastest(lambda: torch.mm(left, right, out=out))


@cache
def bandwidth(count: int) -> float:
    """Bytes per second, read and written, of copying a large tensor on so many threads."""
    source, target = torch.ones(2, COPIED)
    with threads(count):
        return 2 * source.nbytes / fastest(lambda: target.copy_(source))


def fastest(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls after one to warm up."""
    function()
    seconds: list[float] = []
    while sum(seconds) < LEAST or len(seconds) < CALLS:
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def cache_size() -> int:
    """Bytes of the largest cache; 0 if the system does not tell."""
    return max(os.sysconf("SC_LEVEL3_CACHE_SIZE"), 0) if "SC_LEVEL3_CACHE_SIZE" in os.sysconf_names else 0


def arithmetic_bound(operations: float, precision: str, count: int | None = None) -> Bound:
    """The seconds of so many operations at the peak of a matrix product, on all threads or so many."""
    speed = peak(precision, count or torch.get_num_threads())
    return Bound(operations / speed, f"{short(operations / 1e9)} GFLOP at {speed / 1e9:,.0f} GFLOP/s ({precision})")


def traffic_bound(size: float, count: int | None = None) -> Bound:
    """The seconds of reading or writing so many bytes at the bandwidth of memory, on all threads or so many."""
    speed = bandwidth(count or torch.get_num_threads())
    return Bound(size / speed, f"{short(size / 1e9)} GB at {speed / 1e9:,.0f} GB/s")


def short(value: float) -> str:
    """A number with three digits or, from 100 on, without decimals."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def operations(function: Callable[[], object]) -> float:
    """Operations of the products and convolutions in a call; Fourier transforms are not counted."""
    with FlopCounterMode(display=False) as counter:
        function()
    return float(counter.get_total_flops())


def training_operations(network: nn.Module, *shape: int) -> float:
    """Operations of a training step per input of this shape, (channels, height, width) or (features,)."""
    example = torch.rand(2, *shape)  # two: a batch of one has no statistics to normalise by
    return operations(lambda: network(example).sum().backward()) / len(example)


def main() -> None:
    """Print peaks and bandwidth, on one thread and on all."""
    for count in dict.fromkeys((1, torch.get_num_threads())):
        peaks = ", ".join(f"{name} {peak(name, count) / 1e9:,.0f} GFLOP/s" for name in PRECISIONS)
        print(f"{count} thread(s): {peaks}, copy {bandwidth(count) / 1e9:.1f} GB/s")


if __name__ == "__main__":
    main()
