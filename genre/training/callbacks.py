"""Callbacks around the epochs of a run: history, early stopping, and one line per epoch."""

import logging
import math
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichModelSummary
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from torch import Tensor, nn

from genre.errors import UserError
from genre.files import write_csv
from genre.models.classifier import Classifier
from genre.signals import STOP_SIGNALS

log = logging.getLogger(__name__)

HISTORY = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


class History(Callback):
    """Writes history.csv after each epoch; its state is part of checkpoints, so that a resumed run continues it.

    Args:
        path: of the file; None writes none.
        monitor: a logged metric that gets a column of its own, if it is none of the standard ones.

    Attributes:
        rows: column -> value, per epoch.
        seconds: duration of the run in earlier processes, up to its last checkpoint.
    """

    def __init__(self, path: Path | None, monitor: str) -> None:
        self.path = path
        self.columns = tuple(dict.fromkeys([*HISTORY, monitor.replace("/", "_")]))
        self.rows: list[dict[str, float]] = []
        self.begin, self.seconds = time.monotonic(), 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file as a resumed run knows it: a kill may have left it behind, or ahead."""
        if self.rows:
            self.write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        logged = {name.replace("/", "_"): value for name, value in fresh_metrics(trainer, pl_module).items()}
        row = {"epoch": float(trainer.current_epoch), "learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        row |= {name: float(logged[name]) for name in self.columns if name in logged}
        self.rows.append(row)
        self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Write the file, in one process."""
        if trainer.is_global_zero and self.path:
            write_csv(
                self.path,
                self.columns,
                ([format_value(row.get(name)) for name in self.columns] for row in self.rows),
                durable=False,  # a resumed run writes it again from its checkpoint
            )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds + time.monotonic() - self.begin}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.seconds = list(state_dict["rows"]), float(state_dict["seconds"])


def fresh_metrics(trainer: Trainer, classifier: Classifier) -> dict[str, Tensor]:
    """The metrics of this epoch alone: Lightning keeps those of the last validation if an epoch has none."""
    stale = classifier.validated_epoch != trainer.current_epoch
    return {name: v for name, v in trainer.callback_metrics.items() if not (stale and name.startswith("val/"))}


def format_value(value: float | None) -> str:
    """A number for history.csv: whole numbers plain, others to the last digit, a missing one empty."""
    return "" if value is None else f"{value:.0f}" if float(value).is_integer() and value >= 0 else repr(float(value))


class StopWhenNotFinite(Callback):
    """Ends a run in which a loss or a weight is not a number, before its epoch reaches a checkpoint.

    It looks once per epoch, at the epoch's losses, which are read then anyway, and at the weights: one more value that
    the device must hand over. A look at each batch would make a GPU wait as often.

    Raises:
        UserError: at the end of an epoch, with the epoch, the learning rate and what to try.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        metrics = fresh_metrics(trainer, pl_module)
        losses = {name: float(metrics[name]) for name in ("train/loss", "val/loss") if name in metrics}
        wrong = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
        finite = trainer.strategy.reduce_boolean_decision(weights_are_finite(pl_module))
        if not wrong and finite:
            return
        epoch, rate = trainer.current_epoch, trainer.optimizers[0].param_groups[0]["lr"]
        kept = f"the checkpoint of epoch {epoch - 1} stays" if epoch else "there is no checkpoint yet"
        raise UserError(
            f"{wrong[0] if wrong else 'a weight is not a number'} in epoch {epoch}, at learning rate {rate:g}; {kept}; "
            f"train again with a lower optimizer.lr, with +trainer.gradient_clip_val=1 or trainer.precision=32-true"
        )


def weights_are_finite(network: nn.Module) -> bool:
    """Whether all that changes in training is finite: weights that learn, and running statistics."""
    changing = [weight.detach() for weight in network.parameters() if weight.requires_grad]
    changing += [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return not changing or bool(torch.stack([values.isfinite().all() for values in changing]).all())


class EpochLog(Callback):
    """Logs one line per epoch: into the log file always, on the console where no progress bar shows the same.

    Args:
        on_console: whether the console gets the line, too.
    """

    def __init__(self, on_console: bool) -> None:
        self.on_console = on_console

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Classifier)
        metrics = fresh_metrics(trainer, pl_module)
        parts = [
            f"{subset} loss {float(metrics[f'{subset}/loss']):.4f}, accuracy {float(metrics[f'{subset}/accuracy']):.1%}"
            for subset in ("train", "val")
            if f"{subset}/loss" in metrics
        ]
        line = f"epoch {trainer.current_epoch}: {'; '.join(parts)}"
        if self.on_console:
            log.info(line)
            return
        record = log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)


class NetworkSummary(RichModelSummary):
    """A table of the network's layers with their numbers of parameters, without the metrics beside it."""

    @staticmethod
    def summarize(summary_data: list[tuple[str, list[str]]], *totals: Any, **options: Any) -> None:
        names = dict(summary_data)["Name"]
        rows = [index for index, name in enumerate(names) if name.startswith(("network", "branch"))]
        layers = [(heading, [column[index] for index in rows]) for heading, column in summary_data]
        RichModelSummary.summarize(layers, *totals, **options)


class RelocatableCheckpoint(ModelCheckpoint):
    """Checkpoints of a run whose folder may be moved: Lightning then forgets the best score, and the best is lost."""

    @property
    def state_key(self) -> str:
        """Lightning's own key, under which checkpoints hold the state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(moved(state_dict, str(state_dict["dirpath"]), str(self.dirpath)))


def moved(value: Any, before: str, now: str) -> Any:
    """A state whose paths below one folder lead below another."""
    if isinstance(value, dict):
        return {moved(key, before, now): moved(inner, before, now) for key, inner in value.items()}
    if isinstance(value, str) and (value == before or value.startswith(before + os.sep)):
        return now + value.removeprefix(before)
    return value


class StopBetweenBatches(Callback):
    """Lets a signal that stops the run take effect between two batches, where nothing is being written.

    An exception inside TensorBoard's queue would make closing it wait for ever. Lightning's own handlers, which these
    replace, end an interrupted run with exit code 0, and wait inside the handler for the other processes of a run.
    """

    def __init__(self) -> None:
        self.handlers: dict[int, Any] = {}
        self.pending: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            self.handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler if handler == signal.SIG_IGN else self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Wait for the end of the batch; a second signal does not wait."""
        if self.pending is not None:
            self.stop(number)
        self.pending = number

    def stop(self, number: int) -> None:
        """Do what was to be done at the signal."""
        signal.signal(number, self.handlers[number])
        signal.raise_signal(number)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.pending is not None:
            self.stop(self.pending)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        if self.pending is not None:
            self.stop(self.pending)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if self.pending is not None:
            self.stop(self.pending)


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that a resumed run remembers: Lightning would train one more epoch first."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = self.stopping_reason is not EarlyStoppingReason.NOT_STOPPED
