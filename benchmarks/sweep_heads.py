"""Heads of grid=vgg16 over kept features: all in one pass, against each as a trial of its own, in one process."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.music import archive_or_synthetic
from benchmarks.timing import Measurement
from genre.config import compose
from genre.sweeping.grid import apply_point, grid_of
from genre.sweeping.heads import train_family
from genre.sweeping.trial import TrialData, train_point

HEADS = 24  # as many as sweep.py trains in one pass (grid.heads)
MEASURED = 4  # heads that are trained alone, spread over the grid; multiplied for all
ROUNDS = 2
FEATURES = ("flattened", "pooled")


def measure() -> list[Measurement]:
    """Seconds for all heads, 50 epochs each, the features being there."""
    with TemporaryDirectory() as folder:
        return [measured(kind, points_of(Path(folder), f"model.features={kind}")) for kind in FEATURES]


def measured(kind: str, points: Callable[[], list[dict[str, Any]]]) -> Measurement:
    """The best of a few rounds, the two sides in turn."""
    trial_data = TrialData()
    first = points()[0]
    train_point({**first, "trainer": {**first["trainer"], "max_epochs": 1}}, trial_data)
    together, alone = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        train_family(points(), trial_data)
        together.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        for values in islice(points(), 0, None, HEADS // MEASURED):
            train_point(values, trial_data)
        alone.append((time.perf_counter() - begin) * HEADS / MEASURED)
    return Measurement(f"sweep_heads, {kind}", "each head by itself", min(alone), min(together))


def points_of(cache: Path, *overrides: str) -> Callable[[], list[dict[str, Any]]]:
    """A function that gives the configurations of some heads of the grid, anew at each call."""
    own = ["model=vgg16", "model.weights=random", "augment=none", "trainer.patience=null", f"data.cache={cache}"]
    base = compose(*archive_or_synthetic(), *own, "folder=x", *overrides)
    points = list(grid_of(compose("grid=vgg16", config_name="sweep")).points())
    return lambda: [apply_point(base, point) for point in points[:: len(points) // HEADS][:HEADS]]
