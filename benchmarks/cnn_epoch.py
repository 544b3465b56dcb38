"""One epoch of the base CNN over 699 pictures with the document's augmentation, against Keras' ImageDataGenerator."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from benchmarks.music import pictures
from benchmarks.timing import Measurement
from genre import config
from genre.catalogue import Catalogue, Track
from genre.classifier import Classifier
from genre.datamodule import MusicData
from genre.pipeline import Pipeline
from genre.precision import faster_precision
from genre.splits import Split
from genre.store import Key, Store

PICTURES = 699
EPOCHS = 3
ROUNDS = 2


def keras_epochs() -> Callable[[], list[float]]:
    """The same network and augmentation in Keras; each call trains some epochs and gives the seconds of each."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    shown, genres = pictures(PICTURES)
    stages = [
        layer
        for filters in (32, 64, 128)
        for layer in (
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
        )
    ]
    head = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input((128, 128, 1)), *stages, *head])
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    generator = ImageDataGenerator(width_shift_range=0.1, zoom_range=0.1)
    batches = generator.flow(shown[..., None], np.eye(10)[genres], batch_size=32)

    def run() -> list[float]:
        seconds = []
        for _ in range(EPOCHS):
            begin = time.perf_counter()
            model.fit(batches, epochs=1, verbose=0)
            seconds.append(time.perf_counter() - begin)
        return seconds

    return run


class Clock(Callback):
    """Seconds of each training epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds.append(time.perf_counter() - self.begin)


class Pictured(MusicData):
    """A data module over pictures that are there already."""

    def prepare_data(self) -> None:
        shown, _ = pictures(PICTURES)
        names = [track.name for track in self.catalogue.tracks]
        self.first = Store(Key("picture", {}, None), names, 0.0, torch.arange(PICTURES + 1), torch.from_numpy(shown))
        self.divide()
        self.train_store = self.eval_store = self.first


def our_epochs() -> Callable[[], list[float]]:
    """Each call trains some epochs through Lightning and gives the seconds of each."""
    cfg = config.plain(config.compose("data=synthetic", "name=bench", "folder=unused"))
    _, genres = pictures(PICTURES)
    tracks = tuple(Track(f"{n:05d}", (f"genre {genre}",), split="train") for n, genre in enumerate(genres))
    pipeline: Pipeline = config.pipeline_of(cfg)
    data = Pictured(
        Catalogue(tracks), Split("column"), pipeline, config.task_of(cfg), batch_size=32, seed=0, cache=Path("unused")
    )
    data.setup()
    classifier = Classifier(config.network_of(cfg, 10), data.task, torch.optim.Adam, None, "train/loss", 0, {})

    precision: Any = faster_precision(torch.device("cpu"))

    def run() -> list[float]:
        clock = Clock()
        with TemporaryDirectory() as folder:
            Trainer(
                max_epochs=EPOCHS, precision=precision, accelerator="cpu", logger=False,
                enable_checkpointing=False, callbacks=[clock], default_root_dir=folder, enable_progress_bar=False,
                enable_model_summary=False, use_distributed_sampler=False,
            ).fit(classifier, datamodule=data)  # fmt: skip
        return clock.seconds

    return run


def measure() -> Measurement:
    """Median seconds an epoch, the two sides in turn, each side's first epoch left out."""
    keras, ours = keras_epochs(), our_epochs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, seconds in zip((keras, ours), times, strict=True):
            seconds += run()
    baseline, mine = (float(np.median(seconds[1:])) for seconds in times)
    return Measurement("cnn_epoch", "Keras + ImageDataGenerator", baseline, mine)
