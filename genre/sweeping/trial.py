"""Train one point of a sweep in this process: training and validation metrics, no files, no test tracks."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import nn

from genre import config
from genre.data.backbone_features import Backbone
from genre.data.datamodule import MusicData
from genre.errors import UserError
from genre.training.callbacks import History, ResumableEarlyStopping
from genre.training.train import OWN_KEYS, classifier_for, precision_of, quiet_lightning, start_from

SHARED_GROUPS = ("data", "split", "spectrogram", "view", "augment", "task")
SELECTION_SCORES = ("val/accuracy", "val/loss")  # by which points can be selected
HistoryRow = dict[str, float]


@dataclass(frozen=True)
class TrialResult:
    """Result of a trained point.

    Args:
        metrics: loss and accuracy of training (running) and validation, logged in the best epoch.
        epochs: number of epochs trained.
        best_epoch: the epoch with the best ``trainer.monitor``, whose checkpoint train.py would save.
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

    def data_for(self, values: Mapping[str, Any], network: nn.Module | None = None) -> MusicData:
        """Return the prepared data module of a configuration; that of the previous call if its data key is the same.

        Args:
            values: the configuration.
            network: its features are cached if it is a frozen backbone.
        """
        key = data_key(values, network)
        if self.data is None or key != self.key:
            data = config.data_of(values, config.device_of(values["trainer"]))
            data.backbone = network
            data.prepare_data()
            self.key, self.data = key, data
        self.data.batch_size, self.data.seed, self.data.backbone = values["batch_size"], values["seed"], network
        self.data.trainer = None
        return self.data


def data_key(values: Mapping[str, Any], network: nn.Module | None) -> str:
    """Return a key of all that a prepared data module depends on, the seed included for a backbone's cached views."""
    shared = {name: values[name] for name in SHARED_GROUPS}
    settings = values["trainer"]
    rest: Any = [settings["limit_tracks"], settings["accelerator"], settings.get("devices", 1)]
    if isinstance(network, Backbone):
        rest += [settings["precision"], network.cached_views, network.feature_identity, values["seed"]]
    return json.dumps([shared, rest], sort_keys=True)


def train_point(values: dict[str, Any], trial_data: TrialData, callbacks: Sequence[Callback] = ()) -> TrialResult:
    """Train a configuration as ``genre.train`` would, without writing files.

    Args:
        values: the configuration.
        trial_data: of the worker.
        callbacks: additional Lightning callbacks.

    Raises:
        UserError: if the configuration cannot be used.
    """
    begin = time.monotonic()
    settings = resolve_precision(values)
    seed_everything(values["seed"], verbose=False)
    network = network_for(values, trial_data)
    data = trial_data.data_for(values, network)
    classifier = classifier_for(values, network, data)
    history = History(None)
    all_callbacks: list[Callback] = [history, *callbacks]
    if settings["patience"] is not None:
        mode = "min" if classifier.monitor.endswith("loss") else "max"
        all_callbacks.append(ResumableEarlyStopping(classifier.monitor, patience=settings["patience"], mode=mode))
    trial_trainer(settings, all_callbacks).fit(classifier.train(), datamodule=data)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    pruned = any(isinstance(callback, PruningCallback) and callback.pruned for callback in callbacks)
    return trial_result(history.rows, classifier.monitor, parameters, time.monotonic() - begin, pruned)


def resolve_precision(values: dict[str, Any]) -> dict[str, Any]:
    """Return the group trainer, its ``precision=auto`` replaced in place by the measured precision."""
    settings: dict[str, Any] = values["trainer"]
    settings["precision"] = precision_of(settings, config.device_of(settings))
    return settings


def network_for(values: Mapping[str, Any], trial_data: TrialData) -> nn.Module:
    """Build the network of a point as ``genre.train`` would, with the genres of the worker's data."""
    genres = (trial_data.data or trial_data.data_for(values)).genres
    network = config.network_of(values, len(genres))
    if values["init_from"]:
        start_from(values["init_from"], network, genres)
    return network


def trial_trainer(settings: Mapping[str, Any], callbacks: list[Callback]) -> Trainer:
    """Build a Lightning trainer that writes no files.

    Raises:
        UserError: if the group trainer has an unknown key.
    """
    quiet_lightning()
    arguments = {key: value for key, value in settings.items() if key not in (*OWN_KEYS, "enable_progress_bar")}
    try:
        return Trainer(
            **arguments, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
        )  # fmt: skip
    except TypeError as error:
        raise UserError(f"the group trainer has a key that Lightning's Trainer does not know: {error}") from None


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
