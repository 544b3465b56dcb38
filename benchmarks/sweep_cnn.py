"""The 24 points of grid=small, two epochs each, by sweep.py; baseline: one process of train.py per point.

A sweep saves what a process costs besides its epochs (start, reading, evaluation, figures, files); longer epochs
reduce that share. One worker per core also uses the cores better than the threads of one network.
"""

import os
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.music import archive_or_synthetic
from benchmarks.timing import Measurement
from genre.config.compose import compose
from genre.config.settings import sweep_settings
from genre.sweeping.grid import canonical_json, grid_of

MEASURED = 4  # points timed with train.py, spread over the grid; extrapolated to 24
EPOCHS = 2


def command(script: str, folder: Path, *overrides: str) -> list[str]:
    """Return the command line of a script whose files are in ``folder``."""
    own = [f"data.cache={folder / 'cache'}", f"trainer.max_epochs={EPOCHS}", "trainer.enable_progress_bar=false"]
    return [sys.executable, script, *archive_or_synthetic(), *own, *overrides]


def seconds_of(arguments: list[str]) -> float:
    """Run a process and return its duration in seconds."""
    begin = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - begin


def training_seconds(folder: Path) -> float:
    """Return the seconds of all points in one process each, sequentially on all cores."""
    grid = grid_of(sweep_settings(compose("grid=small", "folder=x", config_name="sweep")).grid)
    every = len(grid) // MEASURED
    seconds = [
        seconds_of(command("train.py", folder, f"hydra.run.dir={folder / str(index)}", *overrides))
        for index, overrides in enumerate(
            [f"{key}={canonical_json(value)}" for key, value in point.items()]
            for point in islice(grid.points(), every // 2, None, every)
        )
    ]
    return sum(seconds) / MEASURED * len(grid)


def sweep_seconds(folder: Path, workers: int) -> float:
    """Return the seconds of all points in a sweep without finalists."""
    own = ["grid=small", "grid.seeds=[]", f"hydra.run.dir={folder / f'sweep-{workers}'}"]
    launcher = ["-m", "hydra/launcher=joblib", f"worker=range({workers})"] if workers > 1 else []
    return seconds_of(command("sweep.py", folder, *own, *launcher))


def measure() -> list[Measurement]:
    """Seconds for all points, with decoded music and pictures cached."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        seconds_of(command("train.py", folder, f"hydra.run.dir={folder / 'warm'}"))
        baseline, cores = training_seconds(folder), len(os.sched_getaffinity(0))
        name_of_baseline = "one process of train.py per point"
        measurements = []
        for workers in dict.fromkeys((cores, 1)):
            title = f"sweep_cnn, {workers} worker{'s' * (workers > 1)}"
            measurements.append(Measurement(title, name_of_baseline, baseline, sweep_seconds(folder, workers)))
        return measurements
