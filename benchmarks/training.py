"""Training on given pictures with the package's data module, classifier and trainer; epochs are timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from benchmarks.keras_runs import PICTURES
from benchmarks.machine import LIGHTNING, arithmetic_bound, training_operations
from benchmarks.music import random_pictures
from benchmarks.timing import Bound, Timing, forget_peak_memory, peak_memory
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


@dataclass(frozen=True)
class Training:
    """A run on random pictures.

    Args:
        network: with the weights of its last epoch.
        data: as the network reads it.
        optimizer: parameters -> optimiser.
        precision: as Lightning names it.
        size: height and width of the pictures, in pixels.
    """

    network: nn.Module
    data: RandomPictures
    optimizer: Callable[..., torch.optim.Optimizer]
    precision: str
    size: int

    def epochs(self, count: int) -> Timing:
        """Train a new run of so many epochs; one repeat per epoch."""
        quiet_lightning()
        timer, precision = EpochTimer(), cast(Any, self.precision)
        about = {"genres": self.data.genres}
        classifier = Classifier(self.network, self.data.task, self.optimizer, None, "train/loss", 0, about)
        forget_peak_memory()
        Trainer(
            max_epochs=count, precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False,
            callbacks=[timer], enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        ).fit(classifier.train(), datamodule=self.data)  # fmt: skip
        return Timing(tuple(timer.seconds), peak_memory())

    def bound(self) -> Bound:
        """The arithmetic of an epoch in which all layers learn, or whose frozen layers run in every epoch."""
        return arithmetic_bound(
            PICTURES * training_operations(self.network, 1, self.size, self.size), LIGHTNING[self.precision]
        )


def prepare_training(cache: Path, *overrides: str) -> Training:
    """Prepare a run on PICTURES random pictures."""
    settings = train_settings(compose("data=synthetic", "name=bench", "folder=unused", *overrides))
    _, genres = random_pictures(PICTURES)
    tracks = tuple(Track(f"{n:05d}", (f"genre {genre}",), split="train") for n, genre in enumerate(genres))
    precision: Any = resolve_precision(settings, torch.device("cpu"))
    network, pipeline = build_network(settings, 10), build_pipeline(settings)
    data = RandomPictures(
        Catalogue(tracks), Split("column"), pipeline, settings.task.build(),
        batch_size=settings.batch_size, seed=0, cache=cache, precision=precision, backbone=network,
    )  # fmt: skip
    optimizer = fused_optimizer(settings.optimizer.component.partial())
    return Training(network, data, optimizer, precision, pipeline.spectrogram.size)
