"""Heads of grid=vgg16 on cached features, all in one pass; baseline: one trial per head, in one process."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import nn

from benchmarks.machine import LIGHTNING, arithmetic_bound, cache_size, traffic_bound
from benchmarks.music import archive_or_synthetic
from benchmarks.timing import Bound, Measurement, Timing, in_turn, timed
from genre.config.build import build_network
from genre.config.compose import compose
from genre.config.settings import TrainSettings, sweep_settings
from genre.sweeping.grid import apply_point, grid_of
from genre.sweeping.heads import train_family
from genre.sweeping.trial import TrialData, train_point
from genre.training.setup import resolve_precision

HEADS = 24  # as many as sweep.py trains in one pass (grid.heads)
MEASURED = 4  # heads trained separately, spread over the grid; extrapolated to all
ROUNDS = 2
FEATURES = ("flattened", "pooled")
STORED = 4 * 4  # bytes per weight: itself, its gradient, Adam's two moments
MOVED = 9 * 4  # bytes per weight and step: read forward, gradient written; Adam reads all four and writes three


def measure() -> Iterator[Measurement]:
    """Seconds for all heads with cached features."""
    with TemporaryDirectory() as folder:
        for kind in FEATURES:
            yield measure_features(kind, points_of(Path(folder), f"model.features={kind}"))


def measure_features(kind: str, points: Callable[[], list[TrainSettings]]) -> Measurement:
    """Both methods in turn."""
    trial_data = TrialData()
    first = points()[0]
    train_point(first.replace(trainer__max_epochs=1), trial_data)
    assert trial_data.data is not None
    rows = len(trial_data.data.rows("train"))

    def separate() -> Timing:
        some = islice(points(), 0, None, HEADS // MEASURED)
        return timed(lambda: [train_point(settings, trial_data) for settings in some]) * (HEADS / MEASURED)

    alone, batched = in_turn([separate, lambda: timed(lambda: train_family(points(), trial_data))], ROUNDS)
    precision = LIGHTNING[resolve_precision(first, torch.device("cpu"))]
    work = (
        f"{HEADS} heads of `grid=vgg16`, {kind}, {first.trainer.max_epochs} epochs each, {rows} training tracks, cached"
    )
    return Measurement(work, batched, "one trial per head, in one process", alone, bound(points(), rows), precision)


def bound(points: Sequence[TrainSettings], rows: int) -> Bound:
    """The arithmetic of all heads, or their weights' way through memory if that is longer and no cache holds them."""
    heads = [build_network(settings, 10).head for settings in points]
    weights = sum(value.numel() for head in heads for value in cast(nn.Module, head).parameters())
    epochs = points[0].trainer.max_epochs
    assert epochs
    arithmetic = arithmetic_bound(6 * weights * rows * epochs, "float32")
    if STORED * weights < cache_size():
        return arithmetic
    traffic = traffic_bound(MOVED * weights * epochs * math.ceil(rows / points[0].batch_size))
    return max(arithmetic, traffic, key=lambda part: part.seconds)


def points_of(cache: Path, *overrides: str) -> Callable[[], list[TrainSettings]]:
    """Return a function that composes the configurations of HEADS heads of the grid at each call."""
    own = ["model=vgg16", "model.weights=random", "augment=none", "stopping.patience=null", f"data.cache={cache}"]
    base = compose(*archive_or_synthetic(), *own, "folder=x", *overrides)
    points = list(grid_of(sweep_settings(compose("grid=vgg16", "folder=x", config_name="sweep")).grid).points())
    return lambda: [apply_point(base, point) for point in points[:: len(points) // HEADS][:HEADS]]
