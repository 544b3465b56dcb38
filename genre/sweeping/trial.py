"""One point of a sweep, trained in this process: metrics of training and validation, no files, no test tracks."""

import json
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
SCORES = ("val/accuracy", "val/loss")  # what points can be selected by
Row = dict[str, float]


@dataclass(frozen=True)
class TrialResult:
    """What is known of a trained point.

    Args:
        metrics: losses and accuracies of training (running) and validation at the best epoch, as logged there.
        epochs: that it trained.
        best_epoch: the one with the best ``trainer.monitor``, whose checkpoint train.py would have kept.
        parameters: of the network.
        seconds: that it took.
        pruned: whether it was stopped because others were better.
    """

    metrics: dict[str, float]
    epochs: int
    best_epoch: int
    parameters: int
    seconds: float
    pruned: bool = False


def trial_result(
    rows: Sequence[Row], monitor: str, parameters: int, seconds: float, pruned: bool = False
) -> TrialResult:
    """What the epochs of a history say."""
    watched = [nan_as_worst(row[monitor.replace("/", "_")]) for row in rows]
    best = watched.index((min if monitor.endswith("loss") else max)(watched))
    metrics = {key.replace("_", "/", 1): value for key, value in rows[best].items() if key.startswith(("train", "val"))}
    return TrialResult(metrics, len(rows), best, parameters, seconds, pruned)


def nan_as_worst(value: float) -> float:
    """A loss or accuracy that can be compared: what is not a number is the worst loss."""
    return float("inf") if value != value else value


class TrialData:
    """What a worker keeps from one trial to the next: the music, unless the point changes what is seen of it."""

    def __init__(self) -> None:
        self.key = ""
        self.data: MusicData | None = None

    def data_for(self, values: Mapping[str, Any], network: nn.Module | None = None) -> MusicData:
        """The data of a configuration, prepared; that of the call before where it is the same.

        Args:
            network: whose features are kept, if it is frozen.
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
    """All that a prepared data module depends on; kept views of a frozen backbone are drawn by the seed."""
    shared = {name: values[name] for name in SHARED_GROUPS}
    settings = values["trainer"]
    own: Any = [settings["limit_tracks"], settings["accelerator"], settings.get("devices", 1)]
    if isinstance(network, Backbone):
        own += [settings["precision"], network.cached_views, network.feature_identity, values["seed"]]
    return json.dumps([shared, own], sort_keys=True)


def train_point(values: dict[str, Any], bench: TrialData, callbacks: Sequence[Callback] = ()) -> TrialResult:
    """Train a configuration as ``genre.train`` would, and keep nothing but its metrics.

    Args:
        values: the configuration, as plain values.
        callbacks: further ones of Lightning's.

    Raises:
        UserError: if the configuration cannot be used.
    """
    begin = time.monotonic()
    settings = resolve_precision(values)
    seed_everything(values["seed"], verbose=False)
    network = network_for(values, bench)
    data = bench.data_for(values, network)
    classifier = classifier_for(values, network, data)
    history = History(None)
    around: list[Callback] = [history, *callbacks]
    if settings["patience"] is not None:
        mode = "min" if classifier.monitor.endswith("loss") else "max"
        around.append(ResumableEarlyStopping(classifier.monitor, patience=settings["patience"], mode=mode))
    quick_trainer(settings, around).fit(classifier.train(), datamodule=data)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    pruned = any(isinstance(part, Prune) and part.pruned for part in callbacks)
    return trial_result(history.rows, classifier.monitor, parameters, time.monotonic() - begin, pruned)


def resolve_precision(values: dict[str, Any]) -> dict[str, Any]:
    """The group trainer with its precision measured, in place."""
    settings: dict[str, Any] = values["trainer"]
    settings["precision"] = precision_of(settings, config.device_of(settings))
    return settings


def network_for(values: Mapping[str, Any], bench: TrialData) -> nn.Module:
    """The network of a point, as ``genre.train`` would begin with it; the genres are those of the worker's music."""
    genres = (bench.data or bench.data_for(values)).genres
    network = config.network_of(values, len(genres))
    if values["init_from"]:
        start_from(values["init_from"], network, genres)
    return network


def quick_trainer(settings: Mapping[str, Any], callbacks: list[Callback]) -> Trainer:
    """Lightning's trainer without files and pictures.

    Raises:
        UserError: if the group trainer has a key that it does not know.
    """
    quiet_lightning()
    given = {key: value for key, value in settings.items() if key not in (*OWN_KEYS, "enable_progress_bar")}
    try:
        return Trainer(
            **given, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
        )  # fmt: skip
    except TypeError as error:
        raise UserError(f"the group trainer has a key that Lightning's Trainer does not know: {error}") from None


class Prune(Callback):
    """Stops a point that is worse than others were at the same epoch.

    Args:
        score: of SCORES.
        report: takes epoch and score; whether to go on.
    """

    def __init__(self, score: str, report: Callable[[int, float], bool]) -> None:
        self.score, self.report, self.pruned = score, report, False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = float(torch.as_tensor(trainer.callback_metrics[self.score]))
        if not self.report(trainer.current_epoch, value):
            self.pruned = trainer.should_stop = True
