"""Data of the benchmarks: real music in GENRE_GTZAN or ../shared if present, else the synthetic set."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.data.gtzan import genre_folder
from genre.data.synthetic import write_songs

MOST = 100  # files that a benchmark reads
TRAINED = 0.7  # share of the tracks that split=random trains on


def real_music() -> Path | None:
    """The folder of at least MOST real WAVs whose folders are genres; None without one."""
    roots = (os.environ.get("GENRE_GTZAN"), "../shared/data/gtzan_mini")
    folders = [folder for root in roots if root and (folder := genre_folder(Path(root)))]
    return next((folder for folder in folders if len(list(folder.rglob("*.wav"))) >= MOST), None)


def music_folder() -> Path:
    """A folder of genres with 30-s WAVs in each: real ones, or MOST synthetic ones."""
    return real_music() or write_songs(Path("outputs/benchmarks/music"), MOST // 10, 0, 30.0, 0)


def wav_files(count: int) -> list[Path]:
    """Return ``count`` WAV files of 30 s, MOST at most, spread over the genres."""
    files = sorted(music_folder().rglob("*.wav"))
    return files[:: len(files) // count][:count]


def archive_or_synthetic() -> list[str]:
    """Return the overrides for a collection: the real archive in ../shared if present, else the synthetic set."""
    archive = Path("../shared/data/gtzan_logmel_dev.npz")
    return ["data=logmel", f"data.path={archive}"] if archive.exists() else ["data=synthetic", "data.tracks=70"]


def random_pictures(count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return random pictures (count, 128, 128) and genres (count,); speed does not depend on their content."""
    random = np.random.default_rng(0)
    return random.random((count, 128, 128), dtype=np.float32), random.integers(0, 10, count)
