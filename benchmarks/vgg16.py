"""Fifty epochs of a head on frozen VGG16 over 699 pictures: features kept, against convolutions in every epoch.

Ours is measured whole, the features' computation included. The others run a few epochs, which are multiplied.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.keras_runs import seconds_of
from benchmarks.timing import Measurement
from benchmarks.training import fitting

EPOCHS = 50
MEASURED = 2


def kept_seconds(*overrides: str) -> float:
    """Seconds of fifty epochs on kept features, from pictures to the trained head."""
    with TemporaryDirectory() as folder:
        run = fitting(Path(folder), *overrides)
        begin = time.perf_counter()
        run(EPOCHS)
        return time.perf_counter() - begin


def live_seconds(*overrides: str) -> float:
    """Seconds of fifty epochs with the convolutions in each, from a few."""
    with TemporaryDirectory() as folder:
        return EPOCHS * float(np.median(fitting(Path(folder), *overrides, "model.cached_views=0")(MEASURED)))


def measure() -> list[Measurement]:
    """Without augmentation against our own live run and Keras; with it, 8 kept views against our own live run."""
    plain = ("model=vgg16", "model.weights=random", "augment=none")
    augmented = ("model=vgg16", "model.weights=random", "augment=document")
    live, kept, theirs = live_seconds(*plain), kept_seconds(*plain), EPOCHS * min(seconds_of("vgg16", MEASURED))
    live_varied, kept_varied = live_seconds(*augmented), kept_seconds(*augmented)
    return [
        Measurement("vgg16_50_epochs", "live, same precision", live, kept),
        Measurement("vgg16_50_epochs", "Keras", theirs, kept),
        Measurement("vgg16_50_epochs_augmented", "live, same precision", live_varied, kept_varied),
    ]
