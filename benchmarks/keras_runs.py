"""The paper's networks in Keras, timed in a separate process because TensorFlow's threads slow down the others.

python -m benchmarks.keras_runs cnn 3
"""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.music import random_pictures
from benchmarks.timing import Timing

PICTURES = 699


def keras_timing(network: str, epochs: int) -> Timing:
    """Time 'cnn' or 'vgg16' in a new process; one repeat per epoch.

    Raises:
        RuntimeError: if Keras is not installed.
    """
    if find_spec("keras") is None:
        raise RuntimeError("Keras is not installed here; make bench sets up .venv-bench, which has it")
    command = [sys.executable, "-m", "benchmarks.keras_runs", network, str(epochs)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    completed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Timing(tuple(json.loads(completed.stdout.splitlines()[-1])))


def cnn(epochs: int) -> list[float]:
    """Train the base CNN with ImageDataGenerator's shifts and zooms; return seconds per epoch."""
    import keras
    from keras import layers
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    grey, genres = random_pictures(PICTURES)
    stages: list[Any] = []
    for filters in (32, 64, 128):
        convolution = layers.Conv2D(filters, 3, padding="same", activation="relu")
        stages += [convolution, layers.MaxPooling2D(), layers.Dropout(0.25)]
    head = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input((128, 128, 1)), *stages, *head])
    generator = ImageDataGenerator(width_shift_range=0.1, zoom_range=0.1)
    return timed_epochs(model, epochs, generator.flow(grey[..., None], np.eye(10)[genres], batch_size=32))


def vgg16(epochs: int) -> list[float]:
    """Train a head on frozen VGG16, whose convolutions run in every epoch; return seconds per epoch."""
    import keras
    from keras import layers

    grey, genres = random_pictures(PICTURES)
    backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(128, 128, 3))
    backbone.trainable = False
    head = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5)]
    model = keras.Sequential([backbone, *head, layers.Dense(10, activation="softmax")])
    return timed_epochs(model, epochs, np.repeat(grey[..., None], 3, axis=-1), np.eye(10)[genres], batch_size=32)


def timed_epochs(model: Any, epochs: int, *data: Any, **options: Any) -> list[float]:
    """Train and return the seconds of each epoch."""
    import keras

    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        model.fit(*data, epochs=1, verbose=0, **options)
        seconds.append(time.perf_counter() - begin)
    return seconds


if __name__ == "__main__":
    print(json.dumps({"cnn": cnn, "vgg16": vgg16}[sys.argv[1]](int(sys.argv[2]))))
