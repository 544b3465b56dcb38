"""Fifty epochs of a head on frozen VGG16 over 699 pictures with cached features; baseline: convolutions in every epoch.

Cached training is measured completely, including the computation of features; the baselines are extrapolated from a
few epochs.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.keras_runs import PICTURES, keras_timing
from benchmarks.machine import LIGHTNING, arithmetic_bound, operations, training_operations
from benchmarks.timing import Bound, Measurement, Timing, in_turn, timed
from benchmarks.training import Training, prepare_training
from genre.models.frozen import FrozenBackbone

EPOCHS = 50
MEASURED = 3  # of the baselines, the first to warm up
ROUNDS = 2
MODEL = ("model=vgg16", "model.weights=random")
WORK = f"{EPOCHS} epochs of the head on frozen VGG16, {PICTURES} pictures, features included"


def prepared(folder: str, *overrides: str) -> Training:
    """Prepare a run of the head."""
    return prepare_training(Path(folder), *MODEL, *overrides)


def cached_timing(*overrides: str) -> Timing:
    """Time all epochs with cached features, from pictures to the trained head."""
    with TemporaryDirectory() as folder:
        training = prepared(folder, *overrides)
        return timed(lambda: training.epochs(EPOCHS))


def live_timing(*overrides: str) -> Timing:
    """Time all epochs with convolutions in each, extrapolated."""
    with TemporaryDirectory() as folder:
        return prepared(folder, *overrides, "model.cached_views=0").epochs(MEASURED).after_first * EPOCHS


def features_bound(training: Training, views: int) -> Bound:
    """The arithmetic of the features of so many views, and of a head's epochs."""
    network = training.network
    assert isinstance(network, FrozenBackbone)
    picture = torch.rand(1, 1, training.size, training.size)
    features = views * operations(lambda: network.embed(picture))
    head = EPOCHS * training_operations(network.head, network.width)
    return arithmetic_bound(PICTURES * (features + head), LIGHTNING[training.precision])


def against_live(work: str, views: int, *overrides: str) -> Measurement:
    """Compare cached with uncached training in the same precision."""
    live, cached = in_turn([lambda: live_timing(*overrides), lambda: cached_timing(*overrides)], ROUNDS)
    with TemporaryDirectory() as folder:
        training = prepared(folder, *overrides)
    bound, precision = features_bound(training, views), LIGHTNING[training.precision]
    return Measurement(work, cached, "uncached, same precision", live, bound, precision)


def measure() -> Iterator[Measurement]:
    """Without augmentation: against uncached training and Keras; with it: 8 cached views against uncached training."""
    plain = against_live(WORK, 1, "augment=none")
    yield plain
    yield against_live(f"{WORK}, augmented, 8 cached views", 8, "augment=document")
    keras = keras_timing("vgg16", MEASURED).after_first * EPOCHS
    yield replace(plain, baseline="Keras, convolutions in every epoch", theirs=keras)
