"""What the pipeline makes of every track up to some stage (waveform, log-mel, picture), kept memory-mapped.

Decoded music, a log-mel archive, kept log-mels and kept pictures are one class. A store is a folder whose name is the
hash of all that went into it, renamed into place when finished (``building.py``): it is whole or it is not there.
"""

import hashlib
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genre.errors import SkipKind, SkipReason

FORMAT = 2  # raised whenever the meaning of a store's files changes


@dataclass(frozen=True)
class Key:
    """All that a store depends on.

    Args:
        stage: how far the pipeline has gone: 'waveform', 'logmel', 'picture' or 'features'.
        settings: of the stages up to there, JSON types only.
        inputs: what the tracks were made from: files with size and time, or the key of another store.
    """

    stage: str
    settings: dict[str, Any]
    inputs: Any

    @property
    def name(self) -> str:
        """The store's folder: its stage and a hash of all the rest."""
        text = json.dumps([FORMAT, asdict(self)], sort_keys=True, ensure_ascii=True)
        return f"{self.stage}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Store:
    """Arrays of one stage, a run of rows a track, laid end to end along time.

    Args:
        key: what it holds.
        names: the tracks, in order.
        rate: rows a second along time (samples, columns); 0 where rows are crops or views of a track.
        offsets: (tracks + 1,) where each track's rows begin.
        data: (rows, ...) of all tracks, memory-mapped or on a device.
        skipped: track -> why it is not in the store.
    """

    key: Key
    names: list[str]
    rate: float
    offsets: Tensor
    data: Tensor
    skipped: dict[str, SkipReason] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return self.key.stage

    def rows(self, names: Iterable[str]) -> list[int]:
        """The places of tracks in the store."""
        places = {name: place for place, name in enumerate(self.names)}
        return [places[name] for name in names]

    def lengths(self, rows: Tensor) -> Tensor:
        """How many rows along time each track has: (batch,) -> (batch,)."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def gather(self, rows: Tensor, begin: Tensor, length: Tensor) -> Tensor:
        """Cut a span of each track, zeros where it reaches beyond: three (batch,) -> (batch, longest length, ...)."""
        out = self.data.new_zeros((len(rows), int(length.max()), *self.data.shape[1:]))
        spans = zip(rows.tolist(), begin.tolist(), length.tolist(), strict=True)
        for place, (row, first, count) in enumerate(spans):
            origin, end = int(self.offsets[row]), int(self.offsets[row + 1])
            piece = self.data[origin + max(first, 0) : min(origin + first + count, end)]
            out[place, max(-first, 0) : max(-first, 0) + len(piece)] = piece
        return out

    def take(self, rows: Tensor) -> Tensor:
        """All of each track, where every track has as many rows: (batch,) -> (batch, rows, ...)."""
        each = int(self.offsets[1])
        return self.data.unflatten(0, (-1, each))[rows.to(self.data.device)]

    def resident(self, device: torch.device) -> "Store":
        """The store with its data on the device where at least half of the free memory stays free, else as it is."""
        if device.type != "cuda" or self.data.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        return Store(self.key, self.names, self.rate, self.offsets, self.data.to(device), self.skipped)


def open_store(cache: Path, key: Key) -> Store | None:
    """The store of a key, or None where it has not been made, or was damaged since."""
    folder = cache / key.name
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        offsets = torch.from_numpy(np.load(folder / "offsets.npy"))
        shape = tuple(index["shape"])
        if (folder / "data.bin").stat().st_size != math.prod(shape) * np.dtype(index["dtype"]).itemsize:
            return None
    except (FileNotFoundError, ValueError, EOFError):
        return None
    skipped = {name: SkipReason(SkipKind(kind), text) for name, (kind, text) in index["skipped"].items()}
    data = np.memmap(folder / "data.bin", index["dtype"], "r", shape=shape)
    with warnings.catch_warnings():  # nobody writes into a store; a writable map could not be larger than the memory
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return Store(key, index["names"], index["rate"], offsets, torch.from_numpy(data), skipped)


def count_kinds(kinds: Iterable[SkipKind]) -> str:
    """'12 unreadable, 3 silent': the number of files or rows per kind, most frequent first."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).most_common())
