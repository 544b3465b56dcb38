"""evaluate.py on all tracks of a run: predictions, metrics with bootstrap intervals, report and figures."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.music import archive_or_synthetic
from benchmarks.start import IMPORT_LIGHTNING, import_bound, importing
from benchmarks.timing import Measurement, in_turn, process
from genre.files import read_csv_rows

ROUNDS = 3


def measure() -> Iterator[Measurement]:
    """Seconds of the process, with pictures kept."""
    with TemporaryDirectory() as name:
        run, numbers = Path(name, "run"), count()
        own = (f"data.cache={name}/cache", "trainer.max_epochs=1", "trainer.enable_progress_bar=false")
        process("train.py", *archive_or_synthetic(), *own, f"hydra.run.dir={run}")
        tracks = len(read_csv_rows(run / "splits.csv")) - 1
        alone, ours = in_turn(
            [
                lambda: importing(IMPORT_LIGHTNING),
                lambda: process("evaluate.py", f"run={run}", "subset=all", f"hydra.run.dir={name}/{next(numbers)}"),
            ],
            ROUNDS,
        )
    work = f"`evaluate.py run=… subset=all`, {tracks} tracks, pictures kept"
    yield Measurement(work, ours, bound=import_bound(alone, "PyTorch and Lightning"), precision="float32")
