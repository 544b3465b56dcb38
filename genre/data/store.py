"""Memory-mapped output of one pipeline stage (waveform, log-mel, picture, features) for every track.

A store's folder is named by a hash of its settings and inputs and is renamed into place when complete
(``store_builder.py``), so that a stale or unfinished store cannot be opened.
"""

import hashlib
import json
import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genre.errors import SkipKind, SkipReason
from genre.files import last_use, note_use

FORMAT = 4  # raised whenever the meaning of a store's files changes


@dataclass(frozen=True)
class Key:
    """Everything that the content of a store depends on.

    Args:
        stage: 'waveform', 'logmel', 'picture', 'features' or 'views'.
        settings: of this stage and those before it, JSON types only.
        inputs: files with size and modification time, or the key of another store.
    """

    stage: str
    settings: dict[str, Any]
    inputs: Any

    @cached_property
    def name(self) -> str:
        """Name of the store's folder: the stage and a hash of the key."""
        content = {"stage": self.stage, "settings": self.settings, "inputs": self.inputs}
        text = json.dumps([FORMAT, content], sort_keys=True, ensure_ascii=True)
        return f"{self.stage}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class JoinedRows:
    """The rows of several tensors as one, without a copy.

    Args:
        parts: (rows, ...) each, with the same further dimensions; memory-mapped shards of a store.
    """

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts = parts
        self.begins = [0, *accumulate(len(part) for part in parts)]

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.begins[-1], *self.parts[0].shape[1:]))

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def new_empty(self, shape: tuple[int, ...]) -> Tensor:
        """A tensor of the same type, not initialised."""
        return self.parts[0].new_empty(shape)

    def __getitem__(self, span: slice) -> Tensor:
        """Rows of a span, which is copied only where it reaches over several parts."""
        begin, end, _ = span.indices(self.begins[-1])
        first, last = bisect_right(self.begins, begin) - 1, bisect_right(self.begins, max(begin, end - 1))
        pieces = [
            part[max(begin - origin, 0) : max(end - origin, 0)]
            for part, origin in zip(self.parts[first:last], self.begins[first:last], strict=True)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces or [self.parts[0][:0]])

    def to(self, device: torch.device) -> Tensor:
        """All rows in one tensor on another device."""
        whole = torch.empty(self.shape, dtype=self.parts[0].dtype, device=device)
        for part, origin in zip(self.parts, self.begins, strict=False):
            whole[origin : origin + len(part)] = part
        return whole


@dataclass(frozen=True)
class Store:
    """The rows of all tracks at one stage, concatenated along time.

    Args:
        key: stage, settings and inputs.
        names: track names, in the order of their rows.
        rate: rows per second (samples, columns); 0 if the rows are crops or views.
        offsets: (tracks + 1,) first row of each track, and the end of the last.
        data: (rows, ...), memory-mapped, in one file or in several shards; or on a device.
        skipped: track -> why it is not in the store.
    """

    key: Key
    names: list[str]
    rate: float
    offsets: Tensor
    data: Tensor | JoinedRows
    skipped: dict[str, SkipReason] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return self.key.stage

    @property
    def unread(self) -> list[str]:
        """The tracks that could not be read when the store was built, for a reason that may pass."""
        return sorted(name for name, reason in self.skipped.items() if reason.kind is SkipKind.NOT_READ)

    @property
    def identity(self) -> Any:
        """What the keys of later stages depend on."""
        return [self.key.name, self.unread] if self.unread else self.key.name

    @property
    def is_on_cpu(self) -> bool:
        """Whether the data is read from a disk or from the CPU's memory."""
        return self.data.device.type == "cpu"

    def rows(self, names: Iterable[str]) -> list[int]:
        """Return the index of each track."""
        index = {name: row for row, name in enumerate(self.names)}
        return [index[name] for name in names]

    def lengths(self, rows: Tensor) -> Tensor:
        """Length of each track along time: (batch,) -> (batch,)."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def track(self, row: int) -> Tensor:
        """All rows of one track, not copied."""
        return self.data[int(self.offsets[row]) : int(self.offsets[row + 1])]

    def gather(self, rows: Tensor, begin: Tensor, length: Tensor) -> Tensor:
        """Cut a span from each track, with zeros beyond its ends.

        Args:
            rows: (batch,) index of each track.
            begin: (batch,) first row of each span, relative to the track; may be negative.
            length: (batch,) rows of each span.

        Returns:
            (batch, longest length, ...).
        """
        if isinstance(self.data, Tensor) and not self.is_on_cpu:
            return self.gather_at_once(self.data, rows, begin, length)
        out = self.data.new_empty((len(rows), int(length.max()), *self.data.shape[1:])).zero_()
        spans = zip(rows.tolist(), begin.tolist(), length.tolist(), strict=True)
        for index, (row, first, count) in enumerate(spans):
            origin, end = int(self.offsets[row]), int(self.offsets[row + 1])
            span = self.data[origin + max(first, 0) : min(origin + max(first + count, 0), end)]
            out[index, max(-first, 0) : max(-first, 0) + len(span)] = span
        return out

    def gather_at_once(self, data: Tensor, rows: Tensor, begin: Tensor, length: Tensor) -> Tensor:
        """``gather`` of data on a device, in a few operations instead of one per track."""
        first, end = self.offsets[rows], self.offsets[rows + 1]
        last = torch.minimum(first + begin + length, end)
        bounds = torch.stack([first + begin, first, last], 1).to(data.device, non_blocking=True)
        start, first, last = bounds[:, :, None].unbind(1)
        places = start + torch.arange(int(length.max()), device=data.device)
        inside = (places >= first) & (places < last)
        gathered = data[places.clamp(0, len(data) - 1)]
        return gathered * inside.unflatten(1, (-1, *[1] * (data.ndim - 1)))

    def take(self, rows: Tensor) -> Tensor:
        """All rows of each track, if all tracks have equally many: (batch,) -> (batch, rows, ...)."""
        count = int(self.offsets[1])
        if isinstance(self.data, Tensor):
            return self.data.unflatten(0, (-1, count))[rows.to(self.data.device, non_blocking=True)]
        out = self.data.new_empty((len(rows), count, *self.data.shape[1:]))
        for index, row in enumerate(rows.tolist()):
            out[index] = self.data[row * count : (row + 1) * count]
        return out

    def resident(self, device: torch.device) -> "Store":
        """Copy the data to a CUDA device if it takes at most half of the free memory; else return the store itself."""
        if device.type != "cuda" or self.data.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        return Store(self.key, self.names, self.rate, self.offsets, self.data.to(device), self.skipped)


def waveform_store(waveforms: Tensor, sample_rate: int) -> Store:
    """A store in memory of equally long waveforms, (tracks, samples) in [-1, 1]."""
    tracks, samples = waveforms.shape
    offsets = torch.arange(tracks + 1) * samples
    return Store(Key("waveform", {}, None), [], sample_rate, offsets, waveforms.float().flatten())


def open_store(cache: Path, key: Key) -> Store | None:
    """Open the store of a key, which is a use of it; None if it does not exist or is damaged."""
    if store := map_store(cache / key.name, key):
        note_use(cache / key.name)
    return store


def map_store(folder: Path, key: Key) -> Store | None:
    """The store in a folder; None if it does not exist or is damaged."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        offsets = torch.from_numpy(np.load(folder / "offsets.npy"))
        shape, names, rate = tuple(index["shape"]), index["names"], index["rate"]
        skipped = {name: SkipReason(SkipKind(kind), text) for name, (kind, text) in index["skipped"].items()}
        if (len(offsets), int(offsets[-1])) != (len(names) + 1, shape[0]):
            return None
        shards = index.get("shards", shape[:1])  # a store of an earlier version is one file
        if sum(shards) != shape[0]:
            return None
        parts = [map_shard(folder, number, index["dtype"], (rows, *shape[1:])) for number, rows in enumerate(shards)]
    except Exception:  # a damaged file makes NumPy raise almost anything
        return None
    used = [part for part in parts if len(part)]
    return Store(key, names, rate, offsets, used[0] if len(used) == 1 else JoinedRows(used), skipped)


def map_shard(folder: Path, number: int, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """Map a shard's data into memory.

    Raises:
        ValueError or OSError: if there is no such file of the right size.
    """
    path = folder / shard_file("data.bin", number)
    if path.stat().st_size != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError(f"{path} is damaged")
    if not shape[0]:  # an empty file cannot be mapped
        return torch.from_numpy(np.empty(shape, dtype))
    with warnings.catch_warnings():  # a writable map could not be larger than memory
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.memmap(path, dtype, "r", shape=shape))


def shard_file(name: str, number: int) -> str:
    """The name of a shard's file: that of the first shard is NAME, of the others NAME.1, NAME.2, …"""
    return f"{name}.{number}" if number else name


def read_key(folder: Path) -> Key | None:
    """The key of the store in a folder; None if there is none, or its index is damaged or older."""
    try:
        values = json.loads((folder / "index.json").read_text(encoding="utf-8"))["key"]
        return Key(values["stage"], values["settings"], values["inputs"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def related_stores(cache: Path, key: Key) -> Iterator[Store]:
    """Yield the stores with the stage and settings of a key but any inputs, the last used first."""
    folders = sorted(cache.glob(f"{key.stage}-*"), key=last_use, reverse=True)
    for folder in folders:
        other = read_key(folder)
        if other and (folder.name, key.settings) == (other.name, other.settings):
            store = map_store(folder, other)
            if store:
                yield store


def shard_locks(cache: Path, name: str) -> list[Path]:
    """The locks of the shards of a store, of which builders hold some while its folder is partial."""
    return sorted(path for path in cache.glob(f"{name}.*.lock"))


def count_kinds(kinds: Iterable[SkipKind]) -> str:
    """'12 unreadable, 3 silent': the number of files or rows per kind, most frequent first."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).most_common())
