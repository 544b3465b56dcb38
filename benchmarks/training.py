"""Training on given pictures with the package's data module, classifier and trainer; epochs are timed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from benchmarks.keras_runs import PICTURES
from benchmarks.music import random_pictures
from genre.config.build import build_network, build_pipeline, quiet_lightning
from genre.config.compose import compose
from genre.config.settings import train_settings
from genre.data.catalogue import Catalogue, Track
from genre.data.datamodule import MusicData
from genre.data.duplicates import Pair
from genre.data.splits import Split
from genre.data.store import Key, Store
from genre.models.classifier import Classifier
from genre.training.setup import fused_optimizer, resolve_precision


class EpochTimer(Callback):
    """Records the seconds of each training epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds.append(time.perf_counter() - self.begin)


class RandomPictures(MusicData):
    """A data module of random pictures."""

    def decode(self) -> Store:
        values, _ = random_pictures(PICTURES)
        names = [track.name for track in self.catalogue.tracks]
        key = Key("picture", {"benchmark": PICTURES}, None)
        return Store(key, names, 0.0, torch.arange(PICTURES + 1), torch.from_numpy(values))

    def duplicate_pairs(self, required: bool) -> list[Pair]:
        """Return no pairs: random pictures have no duplicates."""
        return []


def prepare_training(cache: Path, *overrides: str) -> Callable[[int], list[float]]:
    """Prepare a run; each call of the result trains ``epochs`` epochs and returns the seconds of each."""
    settings = train_settings(compose("data=synthetic", "name=bench", "folder=unused", *overrides))
    _, genres = random_pictures(PICTURES)
    tracks = tuple(Track(f"{n:05d}", (f"genre {genre}",), split="train") for n, genre in enumerate(genres))
    precision: Any = resolve_precision(settings, torch.device("cpu"))
    network = build_network(settings, 10)
    data = RandomPictures(
        Catalogue(tracks), Split("column"), build_pipeline(settings), settings.task.build(),
        batch_size=settings.batch_size, seed=0, cache=cache, precision=precision, backbone=network,
    )  # fmt: skip
    optimizer = fused_optimizer(settings.optimizer.component.partial())
    classifier = Classifier(network, data.task, optimizer, None, "train/loss", 0, {"genres": data.genres})

    def train(epochs: int) -> list[float]:
        quiet_lightning()
        timer = EpochTimer()
        Trainer(
            max_epochs=epochs, precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False,
            callbacks=[timer], enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        ).fit(classifier.train(), datamodule=data)  # fmt: skip
        return timer.seconds

    return train
