"""What happens around the epochs of a run: history, early stopping, checkpoints, the progress bar."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from genre.evaluation.tensorboard import TensorBoardCallback
from genre.files import write_csv

HISTORY = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


class History(Callback):
    """Writes history.csv after each epoch; travels in checkpoints, so that a resumed run goes on with it.

    Args:
        path: of the file; None writes none.

    Attributes:
        rows: the epochs so far.
        seconds: that the run had taken in earlier processes, up to its last checkpoint.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.begin, self.seconds = time.monotonic(), 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = {"epoch": float(trainer.current_epoch), "learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        for subset in ("train", "val"):
            for name in ("loss", "accuracy"):
                if (value := trainer.callback_metrics.get(f"{subset}/{name}")) is not None:
                    row[f"{subset}_{name}"] = float(value)
        self.rows.append(row)
        if trainer.is_global_zero and self.path:
            write_csv(self.path, HISTORY, ([format_value(row.get(name)) for name in HISTORY] for row in self.rows))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds + time.monotonic() - self.begin}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.seconds = list(state_dict["rows"]), float(state_dict["seconds"])


def format_value(value: float | None) -> str:
    """A number of history.csv: whole numbers plain, the rest to the last digit, what is missing empty."""
    return "" if value is None else f"{value:.0f}" if float(value).is_integer() and value >= 0 else repr(float(value))


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that a resumed run remembers: Lightning would train one more epoch first."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = self.stopping_reason is not EarlyStoppingReason.NOT_STOPPED


def callbacks_of(values: Mapping[str, Any], folder: Path, monitor: str) -> list[Callback]:
    """History, TensorBoard, learning rate, early stopping, the two checkpoints and the progress bar."""
    mode = "min" if monitor.endswith("loss") else "max"
    to: dict[str, Any] = {
        "dirpath": folder / "checkpoints",
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    callbacks: list[Callback] = [
        History(folder / "history.csv"),
        TensorBoardCallback(values),
        LearningRateMonitor(logging_interval="epoch"),
        ModelCheckpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True, **to),
        ModelCheckpoint(filename="last", **to),
    ]
    if values["trainer"]["patience"] is not None:
        callbacks.insert(3, ResumableEarlyStopping(monitor, patience=values["trainer"]["patience"], mode=mode))
    if values["trainer"].get("enable_progress_bar", True):
        callbacks.append(RichProgressBar(leave=True))
    return callbacks
