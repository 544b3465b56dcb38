"""The 24 points of grid=small, two epochs each, by sweep.py; baseline: one process of train.py per point.

A sweep saves what a process costs besides its epochs (start, reading, evaluation, figures, files); longer epochs
reduce that share. One worker per core also uses the cores better than the threads of one network.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch

from benchmarks.machine import LIGHTNING, arithmetic_bound, training_operations
from benchmarks.music import TRAINED, archive_or_synthetic
from benchmarks.timing import Bound, Measurement, Timing, process
from genre.config.build import build_network, read_catalogue
from genre.config.compose import compose
from genre.config.settings import sweep_settings
from genre.sweeping.grid import Point, apply_point, canonical_json, grid_of
from genre.training.setup import resolve_precision

MEASURED = 4  # points timed with train.py, spread over the grid; extrapolated to 24
EPOCHS = 2


def command(script: str, folder: Path, *overrides: str) -> list[str]:
    """Return the arguments of a process of a script whose files are in ``folder``."""
    own = [f"data.cache={folder / 'cache'}", f"trainer.max_epochs={EPOCHS}", "trainer.enable_progress_bar=false"]
    return [script, *archive_or_synthetic(), *own, *overrides]


def small_grid() -> list[Point]:
    """The points of grid=small."""
    return list(grid_of(sweep_settings(compose("grid=small", "folder=x", config_name="sweep")).grid).points())


def training_timing(folder: Path, points: list[Point]) -> Timing:
    """Time all points in one process each, sequentially on all cores; a repeat is the mean of some."""
    every = len(points) // MEASURED
    timings = [
        process(*command("train.py", folder, f"hydra.run.dir={folder / str(index)}", *overrides))
        for index, overrides in enumerate(
            [f"{key}={canonical_json(value)}" for key, value in point.items()] for point in points[every // 2 :: every]
        )
    ]
    return Timing((len(points) * mean(timing.median for timing in timings),))


def sweep_timing(folder: Path, workers: int) -> Timing:
    """Time all points in a sweep without finalists."""
    own = ["grid=small", "grid.seeds=[]", f"hydra.run.dir={folder / f'sweep-{workers}'}"]
    launcher = ["-m", "hydra/launcher=joblib", f"worker=range({workers})"] if workers > 1 else []
    return process(*command("sweep.py", folder, *own, *launcher))


def arithmetic(points: list[Point]) -> tuple[Bound, str, int]:
    """The training of all points, their precision, and the number of tracks, of which not all are trained on."""
    base = compose(*archive_or_synthetic(), "folder=x")
    every = [apply_point(base, point) for point in points]
    tracks = len(read_catalogue(every[0].data).tracks)
    size = every[0].spectrogram.build().size
    steps = sum(training_operations(build_network(settings, 10), 1, size, size) for settings in every)
    precision = LIGHTNING[resolve_precision(every[0], torch.device("cpu"))]
    return arithmetic_bound(EPOCHS * TRAINED * tracks * steps, precision), precision, tracks


def measure() -> Iterator[Measurement]:
    """Seconds for all points, with decoded music and pictures cached."""
    points, cores = small_grid(), len(os.sched_getaffinity(0))
    bound, precision, tracks = arithmetic(points)
    with TemporaryDirectory() as name:
        folder = Path(name)
        process(*command("train.py", folder, f"hydra.run.dir={folder / 'warm'}"))
        baseline = training_timing(folder, points)
        for workers in dict.fromkeys((cores, 1)):
            work = (
                f"the {len(points)} points of `grid=small`, {EPOCHS} epochs each, {tracks} tracks, workers: {workers}"
            )
            ours = sweep_timing(folder, workers)
            yield Measurement(work, ours, "a process of `train.py` per point", baseline, bound, precision)
