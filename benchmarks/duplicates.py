"""Near-duplicates among many tracks: seconds, memory, and how many planted copies are found.

python -m benchmarks.duplicates 100000
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch

from genre.data.duplicates import FINGERPRINT_BANDS, correlated_pairs, fingerprints, indexed_pairs, needed_columns
from genre.data.store import Key, Store, map_store

RATE = 22_050 / 1024  # columns per second, as log-mels of waveforms have in a search
COLUMNS = 646  # 30 s
COPIES = 1_000
OVERLAP = 10.0  # seconds that a copy shares with its original at least
Array = npt.NDArray[np.float32]


def music(generator: np.random.Generator) -> Array:
    """A log-mel of a piece of its own, (columns, bands) in [0, 1]: decaying chords over a repeated, varied rhythm."""
    templates = generator.random((8, FINGERPRINT_BANDS), np.float32) ** 3
    beat = int(generator.integers(5, 14))
    pattern = generator.integers(0, 8, int(generator.integers(8, 33)))
    played = np.resize(pattern, COLUMNS // beat + 1)
    varied = generator.random(len(played)) < 0.3
    played[varied] = generator.integers(0, 8, int(varied.sum()))
    onset, position = np.divmod(np.arange(COLUMNS), beat)
    decay = np.exp(-position / generator.uniform(2, 8)).astype(np.float32)
    level = templates[played[onset]] * decay[:, None] + 0.1 * generator.random((COLUMNS, FINGERPRINT_BANDS), np.float32)
    return level / level.max()


def altered(original: Array, generator: np.random.Generator) -> Array:
    """A copy that begins earlier or later than its original, with which it shares OVERLAP or more, and has noise."""
    copy, most = music(generator), COLUMNS - round(OVERLAP * RATE) - 8
    delay = int(generator.integers(-most, most + 1))
    begin, place, shared = max(-delay, 0), max(delay, 0), COLUMNS - abs(delay)
    noise = generator.uniform(0, 0.1) * generator.standard_normal((shared, FINGERPRINT_BANDS), np.float32)
    copy[place : place + shared] = 0.8 * original[begin : begin + shared] + noise
    return copy.clip(0, 1)


def planted_store(folder: Path, tracks: int) -> tuple[Store, list[tuple[int, int]]]:
    """Log-mels of which the last are copies of the first; the pairs (original, copy)."""
    copies = min(COPIES, tracks // 10)
    shape = (tracks * COLUMNS, FINGERPRINT_BANDS)
    data = np.memmap(folder / "data.bin", np.uint8, "w+", shape=shape).reshape(tracks, COLUMNS, -1)
    generator = np.random.default_rng(0)
    for row in range(tracks):
        original = row - (tracks - copies)
        level = music(generator) if original < 0 else altered(data[original].astype(np.float32) / 255, generator)
        data[row] = np.round(255 * level)
    np.save(folder / "offsets.npy", np.arange(tracks + 1) * COLUMNS)
    index = {"names": list(map(str, range(tracks))), "rate": RATE, "dtype": "uint8", "shape": shape, "skipped": {}}
    (folder / "index.json").write_text(json.dumps(index))
    store = map_store(folder, Key("logmel", {}, None))
    assert store is not None
    return store, [(row, tracks - copies + row) for row in range(copies)]


def measure_size(tracks: int) -> dict[str, float]:
    """Search a collection, and compare what is found with the correlation of each planted pair alone."""
    with TemporaryDirectory() as folder, torch.inference_mode():
        store, planted = planted_store(Path(folder), tracks)
        begin, cpu = time.perf_counter(), time.process_time()
        found = {(one, other) for one, other, _, _ in indexed_pairs(store, 0.7, OVERLAP)}
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        similar = {pair for pair in planted if is_similar(store, pair)}
    return {
        "tracks": tracks, "seconds": seconds, "cpu_seconds": cpu, "pairs": len(found), "copies": len(similar),
        "recall": len(found & similar) / len(similar), "peak_mb": peak_memory(),
    }  # fmt: skip


def is_similar(store: Store, pair: tuple[int, int]) -> bool:
    """Whether two tracks correlate as the search of all pairs demands."""
    prints, audible, rate = fingerprints(store, torch.tensor(pair))
    return bool(list(correlated_pairs(prints, audible, needed_columns(audible, OVERLAP, rate), 0.7)))


def peak_memory() -> float:
    """The most memory of this process so far, mapped files included, in MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1000


if __name__ == "__main__":
    print(json.dumps(measure_size(int(sys.argv[1]))))
