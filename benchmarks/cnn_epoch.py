"""One epoch of the base CNN over 699 pictures with the document's augmentation, against Keras' ImageDataGenerator."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.keras_runs import seconds_of
from benchmarks.timing import Measurement
from benchmarks.training import fitting

EPOCHS = 4
ROUNDS = 2


def measure() -> list[Measurement]:
    """Median seconds an epoch, the two sides in turn, each round's first epoch left out."""
    theirs: list[float] = []
    ours: list[float] = []
    with TemporaryDirectory() as folder:
        run = fitting(Path(folder))
        for _ in range(ROUNDS):
            theirs += seconds_of("cnn", EPOCHS)[1:]
            ours += run(EPOCHS)[1:]
    return [Measurement("cnn_epoch", "Keras + ImageDataGenerator", float(np.median(theirs)), float(np.median(ours)))]
