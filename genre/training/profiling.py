"""What training spends its time on: a trace of a few steps for Perfetto, and a table of the largest shares."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile, schedule

from genre.terminal import plain_console

log = logging.getLogger(__name__)

SKIPPED, WARMUP, PROFILED = 2, 1, 5  # training steps: not looked at, profiled in vain, profiled
TRACE = "profile.json"
ROWS = 10


class ProfileSteps(Callback):
    """Profiles a few training steps; validation and what lies between epochs is in the trace where it falls among them.

    Args:
        folder: of the run, which gets the trace in Chrome's format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.profiler: profile | None = None
        self.written = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        activities = [ProfilerActivity.CPU]
        activities += [ProfilerActivity.CUDA] if pl_module.device.type == "cuda" else []
        plan = schedule(wait=SKIPPED, warmup=WARMUP, active=PROFILED, repeat=1)
        self.profiler = profile(activities=activities, schedule=plan, on_trace_ready=self.write)
        self.profiler.start()

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        if self.profiler and not self.written:
            self.profiler.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.profiler:
            self.profiler.stop()
            if not self.written:
                needed = SKIPPED + WARMUP + 1
                log.warning("profile=true needs %d training steps or more; there is no %s", needed, TRACE)

    def write(self, profiler: profile) -> None:
        """Write the trace and print the table."""
        self.written = True
        profiler.export_chrome_trace(str(self.folder / TRACE))
        plain_console().print(largest_shares(profiler.key_averages()), highlight=False)
        log.info("%s opens in https://ui.perfetto.dev", self.folder / TRACE)


def largest_shares(events: Iterable[Any]) -> str:
    """A table of the operations that took most time, on the GPU if one was used.

    Args:
        events: of torch.profiler, one per operation: name, calls and microseconds without those of its parts.
    """
    events = list(events)
    device, clock = "GPU", "self_device_time_total"
    if not any(getattr(event, clock) for event in events):
        device, clock = "CPU", "self_cpu_time_total"
    total = sum(getattr(event, clock) for event in events) or 1
    largest = sorted(events, key=lambda event: -getattr(event, clock))[:ROWS]
    rows = [("operation", "calls", f"{device} ms", "share")]
    rows += [
        (event.key, f"{event.count}", f"{getattr(event, clock) / 1000:.1f}", f"{getattr(event, clock) / total:.1%}")
        for event in largest
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        for name, *cells in rows
    )
