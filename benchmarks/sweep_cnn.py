"""The 24 points of grid=small, two epochs on 100 tracks: one worker of sweep.py against a process of train.py a point.

What a sweep saves is what a process costs beside its epochs (start, reading, evaluation, files): the longer the epochs,
the less that is.
"""

import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.timing import Measurement
from genre.config import compose
from genre.sweeping.grid import canonical, grid_of

MEASURED = 4  # points of train.py that are timed, spread over the grid; multiplied for all 24
MUSIC = ("data=synthetic", "data.tracks=10", "data.seconds=30", "trainer.max_epochs=2")


def command(script: str, folder: Path, *overrides: str) -> list[str]:
    """A call of one of the scripts on the synthetic set, all in a folder."""
    own = [f"data.cache={folder / 'cache'}", "trainer.enable_progress_bar=false"]
    return [sys.executable, script, *MUSIC, *own, *overrides]


def seconds_of(arguments: list[str]) -> float:
    """How long a process takes, from its start to its end."""
    begin = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - begin


def measure() -> list[Measurement]:
    """Seconds for all points; the music is there before, pictures too."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        grid = grid_of(compose("grid=small", "data=synthetic", "name=x", "folder=x", config_name="sweep"))
        seconds_of(command("train.py", folder, f"hydra.run.dir={folder / 'warm'}", "trainer.max_epochs=1"))
        every = len(grid) // MEASURED
        theirs = [
            seconds_of(command("train.py", folder, f"hydra.run.dir={folder / str(place)}", *overrides))
            for place, overrides in enumerate(
                [f"{key}={canonical(value)}" for key, value in point.items()]
                for point in islice(grid.points(), every // 2, None, every)
            )
        ]
        ours = seconds_of(
            command("sweep.py", folder, "grid=small", "grid.seeds=[]", f"hydra.run.dir={folder / 'sweep'}")
        )
    return [Measurement("sweep_cnn", "a process of train.py a point", sum(theirs) / MEASURED * len(grid), ours)]
