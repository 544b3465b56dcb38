"""Fifty epochs of a head on frozen VGG16 over 699 pictures: features kept, against convolutions in every epoch.

Ours is measured whole, the features' computation included. The others run a few epochs, which are multiplied.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.music import pictures
from benchmarks.timing import Measurement
from benchmarks.training import PICTURES, fitting

EPOCHS = 50
MEASURED = 2


def keras_epoch() -> Callable[[], float]:
    """The document's VGG16 in Keras; each call trains an epoch and gives its seconds."""
    import keras
    from keras import layers

    grey, genres = pictures(PICTURES)
    shown, targets = np.repeat(grey[..., None], 3, axis=-1), np.eye(10)[genres]
    backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(128, 128, 3))
    backbone.trainable = False
    head = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5)]
    model = keras.Sequential([backbone, *head, layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    model.fit(shown[:64], targets[:64], batch_size=32, epochs=1, verbose=0)

    def run() -> float:
        begin = time.perf_counter()
        model.fit(shown, targets, batch_size=32, epochs=1, verbose=0)
        return time.perf_counter() - begin

    return run


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
    keras = keras_epoch()
    live, kept, theirs = live_seconds(*plain), kept_seconds(*plain), EPOCHS * keras()
    live_varied, kept_varied = live_seconds(*augmented), kept_seconds(*augmented)
    return [
        Measurement("vgg16_50_epochs", "live, same precision", live, kept),
        Measurement("vgg16_50_epochs", "Keras", theirs, kept),
        Measurement("vgg16_50_epochs_augmented", "live, same precision", live_varied, kept_varied),
    ]
