"""One epoch of the base CNN over 699 pictures with the paper's augmentation; baseline: Keras' ImageDataGenerator."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.keras_runs import PICTURES, keras_timing
from benchmarks.machine import LIGHTNING
from benchmarks.timing import Measurement, in_turn
from benchmarks.training import prepare_training

EPOCHS = 4
ROUNDS = 2


def measure() -> Iterator[Measurement]:
    """Seconds per epoch, both in turn, without the first epoch of each round."""
    with TemporaryDirectory() as folder:
        training = prepare_training(Path(folder))
        keras, ours = in_turn(
            [lambda: keras_timing("cnn", EPOCHS).after_first, lambda: training.epochs(EPOCHS).after_first], ROUNDS
        )
    yield Measurement(
        f"an epoch of the base CNN, {PICTURES} pictures, batches of 32, the paper's augmentation", ours,
        "Keras with ImageDataGenerator", keras, training.bound(), LIGHTNING[training.precision],
    )  # fmt: skip
