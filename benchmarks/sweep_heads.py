"""Heads of grid=vgg16 on cached features, all in one pass; baseline: one trial per head, in one process."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.music import archive_or_synthetic
from benchmarks.timing import Measurement
from genre.config.compose import compose
from genre.config.settings import TrainSettings, sweep_settings
from genre.sweeping.grid import apply_point, grid_of
from genre.sweeping.heads import train_family
from genre.sweeping.trial import TrialData, train_point

HEADS = 24  # as many as sweep.py trains in one pass (grid.heads)
MEASURED = 4  # heads trained separately, spread over the grid; extrapolated to all
ROUNDS = 2
FEATURES = ("flattened", "pooled")


def measure() -> list[Measurement]:
    """Seconds for all heads, 50 epochs each, with cached features."""
    with TemporaryDirectory() as folder:
        return [measure_features(kind, points_of(Path(folder), f"model.features={kind}")) for kind in FEATURES]


def measure_features(kind: str, points: Callable[[], list[TrainSettings]]) -> Measurement:
    """Return the fastest of several rounds, both methods in turn."""
    trial_data = TrialData()
    first = points()[0]
    train_point(first.replace(trainer__max_epochs=1), trial_data)
    batched, separate = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        train_family(points(), trial_data)
        batched.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        for settings in islice(points(), 0, None, HEADS // MEASURED):
            train_point(settings, trial_data)
        separate.append((time.perf_counter() - begin) * HEADS / MEASURED)
    return Measurement(f"sweep_heads, {kind}", "one trial per head", min(separate), min(batched))


def points_of(cache: Path, *overrides: str) -> Callable[[], list[TrainSettings]]:
    """Return a function that composes the configurations of HEADS heads of the grid at each call."""
    own = ["model=vgg16", "model.weights=random", "augment=none", "stopping.patience=null", f"data.cache={cache}"]
    base = compose(*archive_or_synthetic(), *own, "folder=x", *overrides)
    points = list(grid_of(sweep_settings(compose("grid=vgg16", "folder=x", config_name="sweep")).grid).points())
    return lambda: [apply_point(base, point) for point in points[:: len(points) // HEADS][:HEADS]]
