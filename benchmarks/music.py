"""Data of the benchmarks: real music in GENRE_GTZAN or ../shared if present, else the synthetic set."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.data.gtzan import genre_folder
from genre.data.synthetic import write_songs


def wav_files(count: int) -> list[Path]:
    """Return ``count`` WAV files of 30 s."""
    for root in (os.environ.get("GENRE_GTZAN"), "../shared/data/gtzan_mini"):
        folder = genre_folder(Path(root)) if root else None
        if folder is not None and len(files := sorted(folder.rglob("*.wav"))) >= count:
            return files[:: len(files) // count][:count]
    return sorted(write_songs(Path("outputs/benchmarks/music"), 10, 0, 30.0, 0).rglob("*.wav"))[:count]


def archive_or_synthetic() -> list[str]:
    """Return the overrides for a collection: the real archive in ../shared if present, else the synthetic set."""
    archive = Path("../shared/data/gtzan_logmel_dev.npz")
    return ["data=logmel", f"data.path={archive}"] if archive.exists() else ["data=synthetic", "data.tracks=70"]


def random_pictures(count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return random pictures (count, 128, 128) and genres (count,); speed does not depend on their content."""
    random = np.random.default_rng(0)
    return random.random((count, 128, 128), dtype=np.float32), random.integers(0, 10, count)
