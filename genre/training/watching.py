"""What long training shows: tracks per second, the time left, memory, and the use of a GPU."""

import time
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.progress import ProgressColumn, Task
from rich.text import Text

from genre.data.datamodule import MusicData
from genre.progress import MemoryInUse, PerSecond, memory_in_use

HOUR, MINUTE = 3600.0, 60.0  # seconds


class Watch(Callback):
    """Logs after each epoch how fast training was and what it used: ``speed/…`` and ``memory/…`` in TensorBoard."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, MusicData)
        speed = len(data.rows("train")) / (time.monotonic() - self.begin)
        used = {"speed/tracks_per_second": speed, "memory/process_gb": memory_in_use() / 1e9}
        pl_module.log_dict(used | gpu_use(pl_module.device), rank_zero_only=True)


def gpu_use(device: torch.device) -> dict[str, float]:
    """The memory that this process holds on a GPU, and for how much of the last second it computed; empty on a CPU."""
    if device.type != "cuda":
        return {}
    use = {"memory/gpu_gb": torch.cuda.memory_reserved(device) / 1e9}
    try:
        return use | {"speed/gpu_percent": float(torch.cuda.utilization(device))}
    except (ImportError, RuntimeError):  # NVIDIA's library is not installed, or does not tell
        return use


class GpuInUse(ProgressColumn):
    """Memory and use of a GPU; nothing on a CPU."""

    max_refresh = 1.0  # seconds

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def render(self, task: Task) -> Text:
        use = gpu_use(self.device)
        percent = f" {use['speed/gpu_percent']:.0f} %" if "speed/gpu_percent" in use else ""
        return Text(f"GPU {use['memory/gpu_gb']:.1f} GB{percent}" if use else "")


class TrainingBar(RichProgressBar):
    """A bar per epoch, in tracks per second, with memory, use of the GPU, and the time that training takes at most.

    Args:
        batch_size: tracks per step of the bar.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__(leave=True)
        self.batch_size = batch_size
        self.begin, self.first_epoch = 0.0, 0

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        *columns, _ = super().configure_columns(trainer)
        speed = PerSecond("tracks", self.batch_size)
        return [*columns, speed, MemoryInUse(), GpuInUse(trainer.strategy.root_device)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.begin, self.first_epoch = time.monotonic(), trainer.current_epoch

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        done = trainer.current_epoch - self.first_epoch
        if done and trainer.max_epochs and trainer.max_epochs > 0:
            left = (time.monotonic() - self.begin) / done * (trainer.max_epochs - trainer.current_epoch)
            metrics["at most"] = f"{show_seconds(left)} left"
        return metrics


def show_seconds(seconds: float) -> str:
    """'50 s', '12 min', '3.5 h'."""
    if seconds < 1.5 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 1.5 * HOUR else f"{seconds / HOUR:.1f} h"
