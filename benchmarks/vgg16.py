"""Fifty epochs of a head on frozen VGG16 over 699 pictures with cached features; baseline: convolutions in every epoch.

Cached training is measured completely, including the computation of features; the baselines are extrapolated from a
few epochs.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.keras_runs import keras_epochs
from benchmarks.timing import Measurement
from benchmarks.training import prepare_training

EPOCHS = 50
MEASURED = 2


def cached_seconds(*overrides: str) -> float:
    """Return the seconds of fifty epochs with cached features, from pictures to the trained head."""
    with TemporaryDirectory() as folder:
        train = prepare_training(Path(folder), *overrides)
        begin = time.perf_counter()
        train(EPOCHS)
        return time.perf_counter() - begin


def live_seconds(*overrides: str) -> float:
    """Return the seconds of fifty epochs with convolutions in each, extrapolated."""
    with TemporaryDirectory() as folder:
        return EPOCHS * float(np.median(prepare_training(Path(folder), *overrides, "model.cached_views=0")(MEASURED)))


def measure() -> list[Measurement]:
    """Without augmentation: against uncached training and Keras; with it: 8 cached views against uncached training."""
    plain = ("model=vgg16", "model.weights=random", "augment=none")
    augmented = ("model=vgg16", "model.weights=random", "augment=document")
    live, cached, keras = live_seconds(*plain), cached_seconds(*plain), EPOCHS * min(keras_epochs("vgg16", MEASURED))
    live_augmented, cached_augmented = live_seconds(*augmented), cached_seconds(*augmented)
    return [
        Measurement("vgg16_50_epochs", "uncached, same precision", live, cached),
        Measurement("vgg16_50_epochs", "Keras", keras, cached),
        Measurement("vgg16_50_epochs_augmented", "uncached, same precision", live_augmented, cached_augmented),
    ]
