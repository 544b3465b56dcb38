"""explore.py's search for what leaks between training and test: the same recording twice, artists in several genres."""

from collections.abc import Iterator
from itertools import count
from tempfile import TemporaryDirectory

from benchmarks.music import archive_or_synthetic
from benchmarks.start import IMPORT_LIGHTNING, import_bound, importing
from benchmarks.timing import Measurement, Timing, in_turn, process
from genre.config.build import read_catalogue
from genre.config.compose import compose
from genre.config.settings import explore_settings

ROUNDS = 3


def measure() -> Iterator[Measurement]:
    """Seconds of the process, with pictures kept; the search itself is never kept."""
    with TemporaryDirectory() as name:
        numbers = count()
        own = [*archive_or_synthetic(), f"data.cache={name}/cache", "pictures=false"]
        settings = explore_settings(compose(*own, "name=x", "folder=x", config_name="explore"))
        tracks = len(read_catalogue(settings.data).tracks)

        def explore() -> Timing:
            return process("explore.py", *own, f"hydra.run.dir={name}/{next(numbers)}")

        explore()
        alone, ours = in_turn([lambda: importing(IMPORT_LIGHTNING), explore], ROUNDS)
    work = f"`explore.py pictures=false`, {tracks} tracks, every pair compared at every shift"
    yield Measurement(work, ours, bound=import_bound(alone, "PyTorch and Lightning"), precision="float32")
