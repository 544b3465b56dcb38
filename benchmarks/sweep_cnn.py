"""The 24 points of grid=small, two epochs each: sweep.py against a process of train.py a point.

What a sweep saves is what a process costs beside its epochs (start, reading, evaluation, figures, files): the longer
the epochs, the less that is. A worker a core also uses the cores better than the threads of one network do.
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
from genre.config import compose
from genre.sweeping.grid import canonical_json, grid_of

MEASURED = 4  # points of train.py that are timed, spread over the grid; multiplied for all 24
EPOCHS = 2


def command(script: str, folder: Path, *overrides: str) -> list[str]:
    """A call of one of the scripts, all in a folder."""
    own = [f"data.cache={folder / 'cache'}", f"trainer.max_epochs={EPOCHS}", "trainer.enable_progress_bar=false"]
    return [sys.executable, script, *archive_or_synthetic(), *own, *overrides]


def seconds_of(arguments: list[str]) -> float:
    """How long a process takes, from its start to its end."""
    begin = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - begin


def trained(folder: Path) -> float:
    """Seconds of all points, a process each, one after the other on all cores."""
    grid = grid_of(compose("grid=small", config_name="sweep"))
    every = len(grid) // MEASURED
    seconds = [
        seconds_of(command("train.py", folder, f"hydra.run.dir={folder / str(place)}", *overrides))
        for place, overrides in enumerate(
            [f"{key}={canonical_json(value)}" for key, value in point.items()]
            for point in islice(grid.points(), every // 2, None, every)
        )
    ]
    return sum(seconds) / MEASURED * len(grid)


def swept(folder: Path, workers: int) -> float:
    """Seconds of all points in a sweep, without finalists."""
    own = ["grid=small", "grid.seeds=[]", f"hydra.run.dir={folder / f'sweep-{workers}'}"]
    several = ["-m", "hydra/launcher=joblib", f"worker=range({workers})"] if workers > 1 else []
    return seconds_of(command("sweep.py", folder, *own, *several))


def measure() -> list[Measurement]:
    """Seconds for all points; the music is there before, pictures too."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        seconds_of(command("train.py", folder, f"hydra.run.dir={folder / 'warm'}"))
        theirs, cores = trained(folder), len(os.sched_getaffinity(0))
        what = "a process of train.py a point"
        return [
            Measurement(f"sweep_cnn, {workers} worker{'s' * (workers > 1)}", what, theirs, swept(folder, workers))
            for workers in dict.fromkeys((cores, 1))
        ]
