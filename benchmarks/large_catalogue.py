"""A catalogue larger than memory: opening it, and what a track costs, from 1,000 to 100,000 rows of a sparse store."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

import genre
from benchmarks.timing import Measurement
from genre import config
from genre.data import datamodule
from genre.data.datamodule import MusicData
from genre.data.sources import waveform_key
from genre.evaluation.figures import save_figure
from genre.files import write_csv

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
ROUNDS = 3
BATCHES = 20  # that are measured each round
SAMPLES = 30 * 22_050  # a track
OUT = Path("outputs/benchmarks")


def measure() -> list[Measurement]:
    """A track's cost in a training batch with 1,000 rows, and with 100,000; a table and a figure of all sizes."""
    rows: list[dict[str, float]] = []
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # other work on the machine disturbs one thread least
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.large_catalogue", str(size)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=alone).stdout))
    write_csv(OUT / "large_catalogue.csv", list(rows[0]), ([f"{value:.4g}" for value in row.values()] for row in rows))
    draw(rows)
    return [
        Measurement("large_catalogue", "a track among 1,000", rows[0]["seconds_a_track"], rows[-1]["seconds_a_track"])
    ]


def measured(size: int) -> dict[str, float]:
    """Open a catalogue of so many rows over a sparse store, and train-read some batches of random crops."""
    with TemporaryDirectory() as folder:
        table = catalogue(Path(folder), size)
        overrides = ["data=csv", f"data.path={table}", f"data.cache={folder}/cache", f"folder={folder}/run", "name=x"]
        values = config.plain(genre.compose(*overrides, "view=segments", "data.keep=false"))
        sparse_store(values, size)
        datamodule.MAX_COMPARED_TRACKS = 0  # measure a collection that is not searched for duplicates
        begin = time.perf_counter()
        data = config.data_of(values, torch.device("cpu"))
        data.prepare_data()
        data.setup()
        opened, before = time.perf_counter() - begin, anonymous_memory()
        seconds = [reading(data) for _ in range(ROUNDS + 1)][1:]
        after = anonymous_memory()
    return {
        "rows": size, "store_gb": 2 * SAMPLES * size / 1e9, "seconds_to_open": opened,
        "seconds_a_track": float(np.median(seconds)), "memory_mb": after, "growth_mb": after - before,
    }  # fmt: skip


def catalogue(folder: Path, size: int) -> Path:
    """A CSV of tracks without files: their store is there already."""
    path = folder / "songs.csv"
    write_csv(path, ("path", "genres"), ((f"{number:06d}.wav", f"genre{number % 10}") for number in range(size)))
    return path


def sparse_store(values: dict[str, Any], size: int) -> None:
    """A store of silence that takes no room on the disk, in the place of the catalogue's decoded music."""
    key = waveform_key(config.catalogue_of(values["data"]), values["spectrogram"]["sample_rate"])
    folder = Path(values["data"]["cache"]) / key.name
    folder.mkdir(parents=True)
    with (folder / "data.bin").open("wb") as file:
        file.truncate(2 * SAMPLES * size)
    np.save(folder / "offsets.npy", np.arange(size + 1, dtype=np.int64) * SAMPLES)
    names = [f"{number:06d}.wav" for number in range(size)]
    index = {"names": names, "rate": 22_050, "dtype": "int16", "shape": [SAMPLES * size], "skipped": {}}
    (folder / "index.json").write_text(json.dumps(index))


def reading(data: MusicData) -> float:
    """Median seconds a track of some batches, wherever in the catalogue they lie; the epoch's order is drawn before."""
    seconds = []
    for _, index in zip(range(BATCHES), data.train_dataloader(), strict=False):
        begin = time.perf_counter()
        data.fetch(index)
        seconds.append((time.perf_counter() - begin) / len(index.rows))
    return float(np.median(seconds))


def anonymous_memory() -> float:
    """Memory of this process that is not a file's, in MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1000


def draw(rows: list[dict[str, float]]) -> None:
    """Seconds and memory over the number of rows."""
    sizes = [row["rows"] for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    shown = {
        "seconds_to_open": ("seconds to open", 1.0),
        "seconds_a_track": ("milliseconds a track", 1000.0),
        "memory_mb": ("memory, MB (without the map)", 1.0),
    }
    for axis, (name, (label, unit)) in zip(axes, shown.items(), strict=True):
        values = [row[name] * unit for row in rows]
        axis.semilogx(sizes, values, "o-", color="#0072b2")
        axis.set(xlabel="tracks of 30 s", ylabel=label, ylim=(0, 1.1 * max(values)))
        axis.grid(alpha=0.3)
    save_figure(figure, OUT / "large_catalogue.png")


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))
