"""Train one point of a sweep in this process: training and validation metrics, no files, no test tracks."""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
Judge = Callable[[int, Mapping[int, HistoryRow]], Collection[int]]
"""Takes the number of epochs trained and, for each point that trains on, its metrics so far, by its index; returns the
indices of those that stop."""


@dataclass(frozen=True)
class TrialResult:
    """Result of a trained point.

    Args:
        metrics: loss and accuracy of training (running) and validation, logged in the best epoch.
        epochs: number of epochs trained.
        best_epoch: the epoch with the best ``stopping.monitor``, whose checkpoint train.py would save.
        parameters: number of the network's parameters.
        seconds: training time.
        monitor: the metric that the best epoch has the best value of.
        history: validation loss and accuracy and ``monitor``, one value per epoch.
        pruned: True if it was stopped before its own end.
    """

    metrics: dict[str, float]
    epochs: int
    best_epoch: int
    parameters: int
    seconds: float
    monitor: str
    history: dict[str, list[float]]
    pruned: bool = False


def trial_result(
    rows: Sequence[HistoryRow], monitor: str, parameters: int, seconds: float, pruned: bool = False
) -> TrialResult:
    """Build the result of a point from its history, one row per epoch."""
    names = [name for name in dict.fromkeys((*SELECTION_SCORES, monitor)) if column_of(name) in rows[0]]
    history = {name: [history_value(row[column_of(name)]) for row in rows] for name in names}
    best = best_epoch([row[column_of(monitor)] for row in rows], monitor)
    return TrialResult(metrics_so_far(rows, monitor), len(rows), best, parameters, seconds, monitor, history, pruned)


def metrics_so_far(rows: Sequence[HistoryRow], monitor: str) -> HistoryRow:
    """Return the metrics of the best epoch until now: name -> value."""
    row = rows[best_epoch([row[column_of(monitor)] for row in rows], monitor)]
    return {key.replace("_", "/", 1): value for key, value in row.items() if key.startswith(("train", "val"))}


def scores_so_far(history: Mapping[str, Sequence[float]], monitor: str, score: str) -> list[float]:
    """Return the score that a point would have if it had stopped after each epoch, (epochs,)."""
    best = [best_epoch(history[monitor][: epoch + 1], monitor) for epoch in range(len(history[monitor]))]
    return [history[score][epoch] for epoch in best]


def best_epoch(monitored: Sequence[float], monitor: str) -> int:
    """Return the first epoch with the best value of the monitored metric."""
    values = [nan_as_infinite(value) for value in monitored]
    return values.index((min if monitor.endswith("loss") else max)(values))


def column_of(metric: str) -> str:
    """Return the column of a history that has a metric."""
    return metric.replace("/", "_")


def history_value(value: float) -> float:
    """Return a value of a history with the six digits that are recorded."""
    return float(f"{nan_as_infinite(value):.6g}")


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


def train_point(settings: TrainSettings, trial_data: TrialData, judge: Judge | None = None) -> TrialResult:
    """Train a configuration as ``genre.train`` would, without writing files.

    Args:
        trial_data: of the worker.
        judge: of the point, whose index is 0; None never stops it.

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
    callbacks: list[Callback] = [history]
    if stopping.patience is not None:
        callbacks.append(ResumableEarlyStopping(classifier.monitor, patience=stopping.patience, mode=stopping.mode))
    callbacks += [component.build() for component in settings.callbacks.values()]
    pruning = PruningCallback(judge, history, classifier.monitor)
    trainer = build_trainer(settings.trainer, callbacks=[*callbacks, pruning], logger=False, enable_checkpointing=False)
    trainer.fit(classifier.train(), datamodule=data)
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    return trial_result(history.rows, classifier.monitor, parameters, time.monotonic() - begin, pruning.pruned)


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
    """Stops training when the judge says so; not after the last epoch, and not if training stops anyway.

    Args:
        judge: of the point, whose index is 0; None never stops it.
        history: of the point; its callback comes before this one, as early stopping does.
        monitor: the metric that the best epoch has the best value of.
    """

    def __init__(self, judge: Judge | None, history: History, monitor: str) -> None:
        self.judge, self.history, self.monitor, self.pruned = judge, history, monitor, False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = trainer.current_epoch + 1
        if self.judge is None or trainer.should_stop or epochs == trainer.max_epochs:
            return
        metrics = {0: metrics_so_far(self.history.rows, self.monitor)}
        self.pruned = trainer.should_stop = 0 in self.judge(epochs, metrics)
