"""The faster of float32 and bfloat16 for a kind of network on this machine: measured once, and kept."""

import hashlib
import json
import logging
import platform
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from genre.files import exclusive_lock, write_json

log = logging.getLogger(__name__)

MARGIN = 1.3  # a busy machine measures within 15 % of one value, and less gain is not worth bfloat16's rounding
PAIRS, PICTURES = 3, 16  # measured steps in either precision; pictures per step: of fewer, bfloat16 saves less
CLIPS = 2  # waveforms per step, which are long
PRECISIONS = ("32-true", "bf16-mixed")


def faster_precision(
    kind: str, build: Callable[[], nn.Module], inputs: Callable[[int], Tensor], device: torch.device, cache: Path
) -> str:
    """Return 'bf16-mixed' if a training step is ``MARGIN`` times as fast as in float32, else '32-true'.

    Args:
        kind: of network, its class; all of one kind have one answer.
        build: the network to measure, unless the answer is known.
        inputs: makes so many random inputs, (count, 1, ...).
        cache: folder in which the answer is kept, per machine, PyTorch and kind of network.
    """
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "32-true"
    about = machine(device) | {"torch": torch.__version__, "network": kind, "pictures": PICTURES}
    path = cache / "precision" / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}.json"
    lock, keep = locked(path)
    with lock:
        if kept := kept_precision(path):
            return kept
        network = build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        gain = speedup(network, random_batch(inputs, device))
        precision = PRECISIONS[gain >= MARGIN]
        log.info(
            "bfloat16 is %.2f times as fast as float32 for %s on %s (%.2f is needed): precision %s",
            gain, kind, about["device"], MARGIN, precision,
        )  # fmt: skip
        if keep:
            write_json(path, about | {"speedup": round(gain, 2), "precision": precision})
        return precision


def locked(path: Path) -> tuple[AbstractContextManager[object], bool]:
    """A lock under which one process at a time measures, and whether the answer can be kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return exclusive_lock(path.with_suffix(".lock"), "measuring precision"), True
    except OSError as error:
        log.warning("the measured precision cannot be kept in %s (%s); set data.cache", path.parent, error.strerror)
        return nullcontext(), False


def machine(device: torch.device) -> dict[str, Any]:
    """What a measurement depends on besides software and network: the GPU, or processor and threads."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device)}
    return {"device": f"{device.type} {processor()}", "threads": torch.get_num_threads()}


def processor() -> str:
    """The model of the processor."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
    except OSError:  # not on Linux
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def kept_precision(path: Path) -> str | None:
    """What an earlier measurement gave; None if there is none, or its file is damaged."""
    try:
        precision = json.loads(path.read_text(encoding="utf-8"))["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return precision if precision in PRECISIONS else None


def random_batch(inputs: Callable[[int], Tensor], device: torch.device) -> Tensor:
    """Random inputs in the layout in which networks get them: PICTURES pictures, or CLIPS waveforms."""
    batch = inputs(PICTURES)
    return batch.to(device, memory_format=torch.channels_last) if batch.ndim == 4 else batch[:CLIPS].to(device)


def speedup(network: nn.Module, pictures: Tensor) -> float:
    """How much faster a step is in bfloat16 than in float32: the median of pairs, each measured under the same load."""
    ratios = []
    for _ in range(1 + PAIRS):
        single, half = (seconds_per_step(network, pictures, bfloat16) for bfloat16 in (False, True))
        ratios.append(single / half)
    return median(ratios[1:])  # the first pair includes what is compiled or allocated once


def seconds_per_step(network: nn.Module, pictures: Tensor, bfloat16: bool) -> float:
    """The duration of a forward and backward pass, in seconds."""
    begin = time.perf_counter()
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=bfloat16):
        loss = network(pictures).float().mean()
    loss.backward()
    if pictures.device.type == "cuda":
        torch.cuda.synchronize(pictures.device)
    return time.perf_counter() - begin
