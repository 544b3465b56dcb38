"""The heads of grid=vgg16 over kept features: all in one pass, against each as a trial of its own, in one process."""

import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.timing import Measurement
from genre.config import compose
from genre.sweeping.grid import applied, grid_of
from genre.sweeping.heads import train_family
from genre.sweeping.trial import Workbench, train_point

HEADS = 24
MEASURED = 4  # heads that are trained alone, spread over the grid; multiplied for all
ROUNDS = 2


def measure() -> list[Measurement]:
    """Seconds for all heads, the features being there; the two sides in turn."""
    with TemporaryDirectory() as folder:
        points = points_of(Path(folder))
        bench = Workbench()
        train_point({**points()[0], "trainer": {**points()[0]["trainer"], "max_epochs": 1}}, bench)
        together, alone = [], []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            train_family(points(), bench)
            together.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            for values in islice(points(), 0, None, HEADS // MEASURED):
                train_point(values, bench)
            alone.append((time.perf_counter() - begin) * HEADS / MEASURED)
    return [Measurement("sweep_heads", "each head by itself", min(alone), min(together))]


def points_of(cache: Path) -> Any:
    """A function that gives the configurations of some heads of the grid, anew at each call."""
    own = ("model=vgg16", "model.weights=random", "augment=none", "data=synthetic", f"data.cache={cache}", "name=x")
    cfg = compose(*own, "folder=x", "grid=vgg16", "trainer.patience=null", config_name="sweep")
    grid = list(grid_of(cfg).points())
    base = compose(*own, "folder=x", "trainer.patience=null")
    return lambda: [applied(base, point) for point in grid[:: len(grid) // HEADS][:HEADS]]
