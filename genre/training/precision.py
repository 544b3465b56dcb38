"""Whether this machine computes convolutions faster in bfloat16: measured once a process, not guessed."""

import logging
import time
from functools import cache

import torch
from torch import nn

log = logging.getLogger(__name__)

WORTHWHILE = 1.3  # times faster: below this the machine's noise would decide
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@cache
def faster_precision(device: torch.device) -> str:
    """'bf16-mixed' where a step through two convolutions is clearly faster than in float32, else '32-true'."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "32-true"
    single, half = (seconds_a_step(device, bfloat16) for bfloat16 in (False, True))
    chosen = "bf16-mixed" if single > WORTHWHILE * half else "32-true"
    log.info("bfloat16 is %.1f times as fast as float32 on %s: precision %s", single / half, device, chosen)
    return chosen


def seconds_a_step(device: torch.device, bfloat16: bool) -> float:
    """The best of a few forward and backward passes of a small convolutional network."""
    layers = nn.Sequential(nn.Conv2d(1, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2))
    layers = layers.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = torch.rand(16, 1, 128, 128, device=device)
    best = float("inf")
    for _ in range(4):
        begin = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = layers(pictures).float().mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return best
