"""The faster of float32 and bfloat16 on this machine, measured once per process."""

import logging
import time
from functools import cache

import torch
from torch import nn

log = logging.getLogger(__name__)

MIN_SPEEDUP = 1.3  # below this the machine's noise would decide


@cache
def faster_precision(device: torch.device) -> str:
    """Return 'bf16-mixed' if a training step of two convolutions is clearly faster than in float32, else '32-true'."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "32-true"
    single, half = (seconds_per_step(device, bfloat16) for bfloat16 in (False, True))
    chosen = "bf16-mixed" if single > MIN_SPEEDUP * half else "32-true"
    log.info("bfloat16 is %.1f times as fast as float32 on %s: precision %s", single / half, device, chosen)
    return chosen


def seconds_per_step(device: torch.device, bfloat16: bool) -> float:
    """The shortest of a few forward and backward passes of a small convolutional network, in seconds."""
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
