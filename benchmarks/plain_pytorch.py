"""An epoch of the base CNN; baseline: what PyTorch's tutorials do, a DataLoader over PNGs and a loop in float32."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.keras_runs import PICTURES
from benchmarks.machine import LIGHTNING
from benchmarks.music import random_pictures
from benchmarks.timing import Measurement, Timing, in_turn
from benchmarks.training import prepare_training

EPOCHS = 3
ROUNDS = 2


class Pictures(Dataset[tuple[Tensor, int]]):
    """PNGs with shifts and zooms of a tenth.

    Args:
        folder: where the PNGs are written.
    """

    def __init__(self, folder: Path) -> None:
        values, self.genres = random_pictures(PICTURES)
        self.files = [folder / f"{number:05d}.png" for number in range(PICTURES)]
        for file, picture in zip(self.files, (255 * values).astype(np.uint8), strict=True):
            Image.fromarray(picture).save(file)
        to_float = v2.ToDtype(torch.float32, scale=True)
        self.transform = v2.Compose([v2.ToImage(), to_float, v2.RandomAffine(0, (0.1, 0), (0.9, 1.1))])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """A picture (1, 128, 128) and its genre."""
        return self.transform(Image.open(self.files[index])), int(self.genres[index])


def plain_network() -> nn.Module:
    """The base CNN of PyTorch's own layers."""
    stages = [
        nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25))
        for before, after in ((1, 32), (32, 64), (64, 128))
    ]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * 16 * 16, 128), nn.ReLU(), nn.Linear(128, 10))


def plain_epochs(pictures: Pictures, epochs: int) -> Timing:
    """Train; one repeat per epoch."""
    network, loss_of, seconds = plain_network().train(), nn.CrossEntropyLoss(), []
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    workers = len(os.sched_getaffinity(0))
    batches = DataLoader(pictures, 32, shuffle=True, num_workers=workers, persistent_workers=True)
    for _ in range(epochs):
        begin = time.perf_counter()
        for inputs, genres in batches:
            optimizer.zero_grad()
            loss_of(network(inputs), genres).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return Timing(tuple(seconds))


def measure() -> Iterator[Measurement]:
    """Seconds per epoch, both in turn, without the first epoch of each round."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures, training = Pictures(folder), prepare_training(folder)
        plain, ours = in_turn(
            [lambda: plain_epochs(pictures, EPOCHS).after_first, lambda: training.epochs(EPOCHS).after_first], ROUNDS
        )
    yield Measurement(
        f"an epoch of the base CNN, {PICTURES} pictures, batches of 32, shifts and zooms", ours,
        "a loop in PyTorch, DataLoader over PNGs", plain, training.bound(), LIGHTNING[training.precision],
    )  # fmt: skip
