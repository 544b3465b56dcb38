"""A catalogue larger than memory: time to open it and to read a track, from 1,000 to 100,000 rows of a sparse store."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import torch

from benchmarks.log_mel import SECONDS, log_mel_bound
from benchmarks.timing import Measurement, Timing
from genre.config.build import build_data, read_catalogue
from genre.config.compose import compose
from genre.config.settings import TrainSettings, train_settings
from genre.data.datamodule import MusicData
from genre.data.sources import waveform_key
from genre.evaluation.figures import save_figure
from genre.files import write_csv

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
ROUNDS = 3
BATCHES = 20  # measured per round
SAMPLES = 30 * 22_050  # per track
CROP = 5.0  # seconds
OUT = Path("outputs/benchmarks")


def measure() -> Iterator[Measurement]:
    """Compare the seconds per track at 1,000 and 100,000 rows; write a table and a figure of all sizes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # one thread is disturbed least by other load
    rows, timings = [], []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.large_catalogue", str(size)]
        completed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        row = json.loads(completed.stdout.splitlines()[-1])
        timings.append(Timing(tuple(row.pop("rounds")), row["memory_mb"]))
        rows.append(row)
    write_csv(OUT / "large_catalogue.csv", list(rows[0]), ([f"{value:.4g}" for value in row.values()] for row in rows))
    draw(rows)
    yield Measurement(
        f"reading a track in a training batch (crops of {CROP:g} s, log-mel), among {SIZES[-1]:,} rows", timings[-1],
        f"the same among {SIZES[0]:,}", timings[0], log_mel_bound(1) * (CROP / SECONDS), "float32", 1,
    )  # fmt: skip


def measure_size(size: int) -> dict[str, Any]:
    """Open a catalogue of ``size`` rows over a sparse store, and read batches of random crops as in training."""
    with TemporaryDirectory() as folder:
        table = catalogue(Path(folder), size)
        overrides = ["data=csv", f"data.path={table}", f"data.cache={folder}/cache", f"folder={folder}/run", "name=x"]
        settings = train_settings(compose(*overrides, "view=segments", f"view.seconds={CROP}", "data.keep=false"))
        sparse_store(settings, size)
        begin = time.perf_counter()
        with patch("genre.data.duplicates.cached_duplicates", return_value=[]):  # a second start, which knows them
            data = build_data(settings, read_catalogue(settings.data), settings.split, torch.device("cpu"))
            data.setup()
        opened, before = time.perf_counter() - begin, anonymous_memory()
        seconds = [seconds_per_track(data) for _ in range(ROUNDS + 1)][1:]
        after = anonymous_memory()
    return {
        "rows": size, "store_gb": 2 * SAMPLES * size / 1e9, "seconds_to_open": opened,
        "seconds_per_track": float(np.median(seconds)), "memory_mb": after, "growth_mb": after - before,
        "rounds": seconds,
    }  # fmt: skip


def catalogue(folder: Path, size: int) -> Path:
    """Write a CSV of tracks without files; their store exists already."""
    path = folder / "songs.csv"
    write_csv(path, ("path", "genres"), ((f"{number:06d}.wav", f"genre{number % 10}") for number in range(size)))
    return path


def sparse_store(settings: TrainSettings, size: int) -> None:
    """Write a sparse store of silence, which uses no disk space, as the catalogue's decoded music."""
    key = waveform_key(read_catalogue(settings.data), settings.spectrogram.build().sample_rate)
    folder = settings.data.cache / key.name
    folder.mkdir(parents=True)
    with (folder / "data.bin").open("wb") as file:
        file.truncate(2 * SAMPLES * size)
    np.save(folder / "offsets.npy", np.arange(size + 1, dtype=np.int64) * SAMPLES)
    names = [f"{number:06d}.wav" for number in range(size)]
    index = {"names": names, "rate": 22_050, "dtype": "int16", "shape": [SAMPLES * size], "skipped": {}}
    (folder / "index.json").write_text(json.dumps(index))


def seconds_per_track(data: MusicData) -> float:
    """Return the median seconds per track of batches from random positions, without shuffling the epoch."""
    seconds = []
    for _, index in zip(range(BATCHES), data.train_dataloader().indices(), strict=False):
        begin = time.perf_counter()
        data.fetch(index)
        seconds.append((time.perf_counter() - begin) / len(index.rows))
    return float(np.median(seconds))


def anonymous_memory() -> float:
    """Return the memory of this process without memory-mapped files, in MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1000


def draw(rows: list[dict[str, float]]) -> None:
    """Draw seconds and memory over the number of rows."""
    sizes = [row["rows"] for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    panels = {
        "seconds_to_open": ("time to open (s)", 1.0),
        "seconds_per_track": ("milliseconds per track", 1000.0),
        "memory_mb": ("memory without mapped files (MB)", 1.0),
    }
    for axis, (name, (label, unit)) in zip(axes, panels.items(), strict=True):
        values = [row[name] * unit for row in rows]
        axis.semilogx(sizes, values, "o-", color="#0072b2")
        axis.set(xlabel="tracks of 30 s", ylabel=label, ylim=(0, 1.1 * max(values)))
        axis.grid(alpha=0.3)
    save_figure(figure, OUT / "large_catalogue.png")


if __name__ == "__main__":
    print(json.dumps(measure_size(int(sys.argv[1]))))
