"""Lightning's Trainer of a run, with its loggers and callbacks."""

from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from genre.config.build import build_trainer
from genre.config.settings import TrainSettings
from genre.evaluation.tensorboard import TensorBoardCallback
from genre.terminal import plain_console
from genre.training.callbacks import (
    EpochLog,
    History,
    NetworkSummary,
    RelocatableCheckpoint,
    ResumableEarlyStopping,
    StopBetweenBatches,
    StopWhenNotFinite,
)
from genre.training.checkpoint_io import AtomicIO
from genre.training.profiling import ProfileSteps
from genre.training.watching import TrainingBar, Watch


def run_trainer(settings: TrainSettings, folder: Path, monitor: str, step: int) -> Trainer:
    """The trainer of a run that writes into its folder.

    Args:
        monitor: the logged metric that stopping and the best checkpoint go by.
        step: global step that the run is resumed from; 0 for a new one. TensorBoard forgets what was logged after it.
    """
    bar = settings.trainer.enable_progress_bar and plain_console().is_terminal
    loggers = build_loggers(settings, folder, step)
    return build_trainer(
        settings.trainer, enable_progress_bar=bar, default_root_dir=folder, logger=loggers or False,
        callbacks=build_callbacks(settings, folder, monitor, bar, bool(loggers)), plugins=AtomicIO(),
    )  # fmt: skip


def build_loggers(settings: TrainSettings, folder: Path, step: int) -> list[Logger]:
    """The configured loggers, in the run's folder wherever they write files."""
    given: dict[Any, dict[str, Any]] = {
        TensorBoardLogger: {"name": "", "version": "", "default_hp_metric": False, "purge_step": step or None},
        CSVLogger: {"name": "csv", "version": f"step_{step}" if step else ""},  # it deletes what an earlier one wrote
    }
    loggers = []
    for component in settings.logger.values():
        own = {"save_dir": folder} if component.accepts("save_dir") else {}
        own |= given.get(component.target, {})
        loggers.append(component.build(**{key: v for key, v in own.items() if key not in component.arguments}))
    return loggers


def build_callbacks(settings: TrainSettings, folder: Path, monitor: str, bar: bool, logged: bool) -> list[Callback]:
    """History, TensorBoard, learning rate, early stopping, two checkpoints, progress, profile; then the configured.

    Args:
        bar: whether there is a progress bar.
        logged: whether there is a logger.
    """
    checkpoints: dict[str, Any] = {
        "dirpath": folder / "checkpoints", "save_on_train_epoch_end": True, "enable_version_counter": False,
    }  # fmt: skip
    mode = settings.stopping.mode
    callbacks: list[Callback] = [StopWhenNotFinite(), History(folder / "history.csv", monitor)]
    callbacks += [TensorBoardCallback(settings), StopBetweenBatches()]
    if logged:
        callbacks += [LearningRateMonitor(logging_interval="epoch"), Watch()]
    if settings.stopping.patience is not None:
        callbacks.append(ResumableEarlyStopping(monitor, patience=settings.stopping.patience, mode=mode))
    callbacks += [
        RelocatableCheckpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True, **checkpoints),
        RelocatableCheckpoint(filename="last", **checkpoints),
        EpochLog(on_console=not bar),
    ]
    callbacks += [NetworkSummary(max_depth=2)] if settings.trainer.enable_model_summary else []
    callbacks += [TrainingBar(settings.batch_size)] if bar else []
    callbacks += [ProfileSteps(folder)] if settings.profile else []
    return callbacks + [component.build() for component in settings.callbacks.values()]
