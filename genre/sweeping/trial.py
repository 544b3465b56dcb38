"""Train one point of a sweep in this process: training and validation metrics, no files, no test tracks."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import nn

from genre.config.build import build_data, build_network, build_trainer, read_training_catalogue, root_device
from genre.config.settings import TrainSettings
from genre.data.backbone_features import Backbone
from genre.data.datamodule import MusicData
from genre.training.callbacks import History, ResumableEarlyStopping
from genre.training.setup import build_classifier, load_initial_weights, resolve_precision

SHARED_GROUPS = ("data", "split", "spectrogram", "view", "augment", "task")
SELECTION_SCORES = ("val/accuracy", "val/loss")  # by which points can be selected
HistoryRow = dict[str, float]


@dataclass(frozen=True)
class TrialResult:
    """Result of a trained point.

    Args:
        metrics: loss and accuracy of training (running) and validation, logged in the best epoch.
        epochs: number of epochs trained.
        best_epoch: the epoch with the best ``stopping.monitor``, whose checkpoint train.py would save.
        parameters: number of the network's parameters.
        seconds: training time.
        pruned: True if the pruner stopped it.
    """

    metrics: dict[str, float]
    epochs: int
    best_epoch: int
    parameters: int
    seconds: float
    pruned: bool = False


def trial_result(
    rows: Sequence[HistoryRow], monitor: str, parameters: int, seconds: float, pruned: bool = False
) -> TrialResult:
    """Build the result of a point from its history, one row per epoch."""
    monitored = [nan_as_infinite(row[monitor.replace("/", "_")]) for row in rows]
    best = monitored.index((min if monitor.endswith("loss") else max)(monitored))
    metrics = {key.replace("_", "/", 1): value for key, value in rows[best].items() if key.startswith(("train", "val"))}
    return TrialResult(metrics, len(rows), best, parameters, seconds, pruned)


def nan_as_infinite(value: float) -> float:
    """Return infinity for NaN, so that losses can be compared and stored."""
    return math.inf if math.isnan(value) else value


class TrialData:
    """The data module that a worker reuses from trial to trial, as long as points need the same data."""

    def __init__(self) -> None:
        self.key = ""
        self.data: MusicData | None = None

    def data_for(self, settings: TrainSettings, network: nn.Module | None = None) -> MusicData:
        """Return the opened data module of a configuration; its stores are opened anew only if they differ.

        Args:
            network: its features are cached if it is a frozen backbone.
        """
        key = data_key(settings, network)
        if self.data is None or key != self.key:
            catalogue = read_training_catalogue(settings)
            data = build_data(settings, catalogue, settings.split, root_device(settings.trainer), network)
            data.setup()
            self.key, self.data = key, data
        return self.data.reconfigured(settings.batch_size, settings.seed)


def data_key(settings: TrainSettings, network: nn.Module | None) -> str:
    """Return a key of all that an opened data module depends on, the seed included for a backbone's cached views."""
    shared = {name: settings.record[name] for name in SHARED_GROUPS}
    rest: Any = [settings.trainer.accelerator, settings.trainer.devices, settings.metadata.model_dump()]
    if isinstance(network, Backbone):
        rest += [settings.trainer.precision, network.cached_views, network.feature_identity, settings.seed]
    return json.dumps([shared, rest], sort_keys=True)


def train_point(settings: TrainSettings, trial_data: TrialData, callbacks: Sequence[Callback] = ()) -> TrialResult:
    """Train a configuration as ``genre.train`` would, without writing files.

    Args:
        trial_data: of the worker.
        callbacks: additional Lightning callbacks.

    Raises:
        UserError: if the configuration cannot be used.
    """
    begin = time.monotonic()
    settings = with_precision(settings).replace(trainer__enable_model_summary=False)
    seed_everything(settings.seed, verbose=False)
    network = initial_network(settings, trial_data)
    data = trial_data.data_for(settings, network)
    classifier = build_classifier(settings, network, data)
    history, stopping = History(None, classifier.monitor), settings.stopping
    all_callbacks: list[Callback] = [history, *callbacks]
    if stopping.patience is not None:
        all_callbacks.append(ResumableEarlyStopping(classifier.monitor, patience=stopping.patience, mode=stopping.mode))
    all_callbacks += [component.build() for component in settings.callbacks.values()]
    trainer = build_trainer(settings.trainer, callbacks=all_callbacks, logger=False, enable_checkpointing=False)
    trainer.fit(classifier.train(), datamodule=data)
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    pruned = any(isinstance(callback, PruningCallback) and callback.pruned for callback in callbacks)
    return trial_result(history.rows, classifier.monitor, parameters, time.monotonic() - begin, pruned)


def with_precision(settings: TrainSettings) -> TrainSettings:
    """Return the settings with ``precision=auto`` replaced by the measured precision."""
    precision = resolve_precision(settings, root_device(settings.trainer))
    return settings.replace(trainer__precision=precision)


def initial_network(settings: TrainSettings, trial_data: TrialData) -> nn.Module:
    """Build the network of a point as ``genre.train`` would, with the genres of the worker's data."""
    genres = (trial_data.data or trial_data.data_for(settings)).genres
    network = build_network(settings, len(genres))
    if settings.init_from:
        load_initial_weights(str(settings.init_from), network, genres)
    return network


class PruningCallback(Callback):
    """Stops training when a report of the epoch's score returns False.

    Args:
        score: one of SELECTION_SCORES.
        report: takes epoch and score; returns whether to continue.
    """

    def __init__(self, score: str, report: Callable[[int, float], bool]) -> None:
        self.score, self.report, self.pruned = score, report, False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = float(torch.as_tensor(trainer.callback_metrics[self.score]))
        if not self.report(trainer.current_epoch, value):
            self.pruned = trainer.should_stop = True
