"""From a WAV file to the network's picture: decode, log-mel, resize; a track, against the document's script."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import librosa
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.music import wav_files
from benchmarks.timing import Measurement, alternate
from genre import config
from genre.catalogue import Track, catalogue_of
from genre.store import first_store

FILES = 40
ROUNDS = 3


def document_picture(path: Path) -> npt.NDArray[np.float32]:
    """What the document's script does: librosa, a PNG by matplotlib without axes, 128x128 grey by PIL."""
    samples, rate = librosa.load(path)
    level = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=rate, n_mels=128, fmax=8000), ref=np.max)
    figure = Figure(figsize=(4, 4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    librosa.display.specshow(level, sr=rate, fmax=8000, ax=axes)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    grey = np.asarray(Image.open(png).convert("L").resize((128, 128)), np.float32)
    return grey / np.float32(255)


def our_pictures(files: list[Path]) -> None:
    """What a first training run does: decode into a store, and keep every track's picture."""
    cfg = config.plain(config.compose("data=gtzan", "name=bench", "folder=unused"))
    catalogue = catalogue_of(Track(path.stem, (path.parent.name,), path) for path in files)
    line = config.pipeline_of(cfg)
    with TemporaryDirectory() as folder:
        line.keep_pictures(first_store(catalogue, line.spectrogram.sample_rate, Path(folder)), Path(folder))


def measure() -> list[Measurement]:
    """Seconds a track."""
    files = wav_files(FILES)
    baseline, seconds = alternate(
        lambda: [document_picture(path) for path in files], lambda: our_pictures(files), ROUNDS
    )
    return [Measurement("prepare", "librosa + matplotlib + PIL", baseline / len(files), seconds / len(files))]
