"""One epoch of the base CNN over 699 pictures with the paper's augmentation; baseline: Keras' ImageDataGenerator."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.keras_runs import keras_epochs
from benchmarks.timing import Measurement
from benchmarks.training import prepare_training

EPOCHS = 4
ROUNDS = 2


def measure() -> list[Measurement]:
    """Median seconds per epoch, both in turn, without the first epoch of each round."""
    keras: list[float] = []
    ours: list[float] = []
    with TemporaryDirectory() as folder:
        train = prepare_training(Path(folder))
        for _ in range(ROUNDS):
            keras += keras_epochs("cnn", EPOCHS)[1:]
            ours += train(EPOCHS)[1:]
    return [Measurement("cnn_epoch", "Keras + ImageDataGenerator", float(np.median(keras)), float(np.median(ours)))]
