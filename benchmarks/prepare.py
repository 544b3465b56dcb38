"""From a WAV file to the network's picture: decode, log-mel, resize; baseline: the paper's method."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import librosa
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import soundfile
import torch
from PIL import Image

from benchmarks.log_mel import log_mel_bound
from benchmarks.music import wav_files
from benchmarks.timing import Bound, Measurement, alternate
from genre.config.build import build_pipeline
from genre.config.compose import compose
from genre.config.settings import train_settings
from genre.data.catalogue import Track, build_catalogue
from genre.data.sources import first_store
from genre.data.store_builder import parallel_map

FILES = 40
ROUNDS = 3


def paper_picture(path: Path, folder: Path) -> npt.NDArray[np.float32]:
    """Compute a picture as the paper describes: librosa, matplotlib without axes, PIL to 128x128 grey."""
    samples, rate = librosa.load(path)
    level = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=rate, n_mels=128, fmax=8000), ref=np.max)
    figure = plt.figure(figsize=(10, 4))
    librosa.display.specshow(level, sr=rate, fmax=8000)
    plt.axis("off")
    plt.savefig(folder / "picture.png", bbox_inches="tight", pad_inches=0)
    plt.close(figure)
    grey = np.asarray(Image.open(folder / "picture.png").convert("L").resize((128, 128)), np.float32)
    return grey / np.float32(255)


def our_pictures(files: list[Path]) -> None:
    """Decode into a store and compute every track's picture, as the first training run does."""
    settings = train_settings(compose("data=gtzan", "name=bench", "folder=unused"))
    catalogue = build_catalogue(Track(path.stem, (path.parent.name,), path) for path in files)
    pipeline = build_pipeline(settings)
    with TemporaryDirectory() as folder:
        pipeline.picture_store(first_store(catalogue, pipeline.spectrogram.sample_rate, Path(folder)), Path(folder))


def decode(files: list[Path]) -> None:
    """Decode all files on all cores, and keep nothing."""
    list(parallel_map(lambda path: len(soundfile.read(path, dtype="float32")[0]), files))


def measure() -> Iterator[Measurement]:
    """Seconds per track."""
    plt.switch_backend("Agg")
    files = wav_files(FILES)
    with TemporaryDirectory() as folder:
        baseline_picture = partial(paper_picture, folder=Path(folder))
        baseline, ours, decoder = alternate(
            [lambda: list(map(baseline_picture, files)), lambda: our_pictures(files), lambda: decode(files)], ROUNDS
        )
    bound = Bound(decoder.median / FILES, "the decoder alone") + log_mel_bound(torch.get_num_threads())
    yield Measurement(
        "a WAV of 30 s to its 128x128 picture", ours * (1 / FILES), "the paper's method: librosa, matplotlib, PIL",
        baseline * (1 / FILES), bound, "float32",
    )  # fmt: skip
