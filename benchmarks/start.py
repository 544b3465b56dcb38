"""How long a user waits for the first sign of life, and for a small result: whole processes."""

import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import genre
from benchmarks.machine import arithmetic_bound
from benchmarks.music import wav_files
from benchmarks.predict import file_operations
from benchmarks.timing import Bound, Measurement, Timing, in_turn, process

ROUNDS = 3
FEW = 10  # files
IMPORT_LIGHTNING = "import genre, lightning"  # genre spares torchmetrics the import of transformers
NUMBERS = count()  # of new folders


def new_folder(folder: Path) -> Path:
    """A folder that no process has used yet."""
    return folder / str(next(NUMBERS))


def importing(code: str) -> Timing:
    """Time an interpreter that imports something."""
    return process("-c", code)


def import_bound(timing: Timing, what: str) -> Bound:
    """What a process needs at least that imports the same packages."""
    return Bound(timing.median, f"{what} imported alone")


def train(folder: Path) -> Timing:
    """Train one epoch on 100 synthetic tracks."""
    own = (f"data.cache={folder / 'cache'}", f"hydra.run.dir={new_folder(folder)}", "trainer.enable_progress_bar=false")
    noted = ("+callbacks.first._target_=benchmarks.first_batch.FirstBatch", f"+callbacks.first.path={folder / 'first'}")
    return process("train.py", "data=synthetic", f"data.tracks={FEW}", "trainer.max_epochs=1", *own, *noted)


def train_to_first_batch(folder: Path) -> tuple[Timing, Timing]:
    """Train; the seconds to the first batch, and those to the end."""
    noted = folder / "first"
    noted.unlink(missing_ok=True)
    begin = time.time()
    whole = train(folder)
    return Timing((float(noted.read_text()) - begin,), whole.peak_mb), whole


def predict(music: Path, folder: Path) -> Timing:
    """Predict a file or folder with the model that comes along."""
    return process("predict.py", f"input={music}", f"hydra.run.dir={new_folder(folder)}")


def measure_help() -> Measurement:
    """The help of train.py."""
    hydra, ours = in_turn([lambda: importing("import hydra"), lambda: process("train.py", "--help")], ROUNDS)
    return Measurement("`train.py --help`", ours, bound=import_bound(hydra, "Hydra"))


def measure_training(folder: Path) -> Iterator[Measurement]:
    """The first batch, and a result, with decoded music and pictures kept."""
    train(folder)
    (first, whole), alone = train_to_first_batch(folder), importing(IMPORT_LIGHTNING)
    for _ in range(ROUNDS - 1):
        next_first, next_whole = train_to_first_batch(folder)
        first, whole, alone = first + next_first, whole + next_whole, alone + importing(IMPORT_LIGHTNING)
    bound, what = import_bound(alone, "PyTorch and Lightning"), f"`train.py data=synthetic data.tracks={FEW}`, kept"
    yield Measurement(f"{what}, to the first batch", first, bound=bound)
    yield Measurement(f"{what}, one epoch, to its results", whole, bound=bound)


def measure_prediction(folder: Path) -> Iterator[Measurement]:
    """A file, and a few, to their genres."""
    files = wav_files(FEW)
    music = folder / "music"
    music.mkdir()
    for number, file in enumerate(files):
        shutil.copy(file, music / f"{number}.wav")
    network = file_operations(genre.load(), files[0])
    measures = [lambda: importing("import torch"), lambda: predict(files[0], folder), lambda: predict(music, folder)]
    alone, one, few = in_turn(measures, ROUNDS)
    for what, timing, number in (("a file of 30 s", one, 1), (f"{FEW} files of 30 s", few, FEW)):
        bound = import_bound(alone, "PyTorch") + arithmetic_bound(number * network, "float32")
        yield Measurement(f"`predict.py` on {what}", timing, bound=bound, precision="float32")


def measure() -> Iterator[Measurement]:
    """Seconds of processes; files have been read before, so that the disk does not count."""
    yield measure_help()
    with TemporaryDirectory() as name:
        yield from measure_training(Path(name))
        yield from measure_prediction(Path(name))
