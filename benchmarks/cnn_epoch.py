"""One epoch of the base CNN over 699 pictures with the document's augmentation, against Keras' ImageDataGenerator."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.music import pictures
from benchmarks.timing import Measurement
from benchmarks.training import PICTURES, fitting

EPOCHS = 3
ROUNDS = 2


def keras_fitting() -> Callable[[int], list[float]]:
    """The same network and augmentation in Keras; each call trains some epochs and gives the seconds of each."""
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

    def run(epochs: int) -> list[float]:
        seconds = []
        for _ in range(epochs):
            begin = time.perf_counter()
            model.fit(batches, epochs=1, verbose=0)
            seconds.append(time.perf_counter() - begin)
        return seconds

    return run


def measure() -> list[Measurement]:
    """Median seconds an epoch, the two sides in turn, each side's first epoch left out."""
    times: tuple[list[float], list[float]] = ([], [])
    with TemporaryDirectory() as folder:
        runs = keras_fitting(), fitting(Path(folder))
        for _ in range(ROUNDS):
            for run, seconds in zip(runs, times, strict=True):
                seconds += run(EPOCHS)
    baseline, ours = (float(np.median(seconds[1:])) for seconds in times)
    return [Measurement("cnn_epoch", "Keras + ImageDataGenerator", baseline, ours)]
