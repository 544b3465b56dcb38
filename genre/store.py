"""What the pipeline makes of every track up to some stage (waveform, log-mel, picture), kept memory-mapped.

Decoded music, a log-mel archive, kept log-mels and kept pictures are one class. A store is a folder whose name is the
hash of all that went into it; it is written beside its place and renamed there, so it is whole or it is not there.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track as progress
from torch import Tensor

from genre import audio
from genre.catalogue import Catalogue, Track, shown
from genre.errors import BadAudio, Mistake

log = logging.getLogger(__name__)

FORMAT = 1  # raised whenever what a store holds changes meaning
ARCHIVE_RATE = 12.9  # columns a second
Item = npt.NDArray[Any] | str  # what a track became: an array (time, ...), or the reason why it is left out
Argument = TypeVar("Argument")
Value = TypeVar("Value")


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
    skipped: dict[str, str] = field(default_factory=dict)

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
    """The store of a key, or None where it has not been made."""
    folder = cache / key.name
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    offsets = torch.from_numpy(np.load(folder / "offsets.npy"))
    shape = tuple(index["shape"])
    data = np.memmap(folder / "data.bin", index["dtype"], "c", shape=shape)  # copy on write: torch asks for it
    return Store(key, index["names"], index["rate"], offsets, torch.from_numpy(data), index["skipped"])


def build(cache: Path, key: Key, rate: float, names: list[str], items: Iterable[Item], what: str) -> Store:
    """Open a key's store, made first from one item a track where it is not there yet, with a progress bar.

    Args:
        cache: the folder of all stores.
        rate: rows a second along time.
        names: the tracks that the items belong to.
        items: one a track, in order, and only consumed where the store must be made.
        what: shown beside the progress bar.

    Raises:
        Mistake: if no track is usable, or the disk is full.
    """
    if (store := open_store(cache, key)) is not None:
        return store
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{key.name}.", dir=cache) as scratch:
            write(Path(scratch), rate, names, progress(items, what, total=len(names)))
            publish(Path(scratch), cache / key.name)
    except OSError as error:
        raise Mistake(f"cannot write to {cache} ({error.strerror}); set data.cache to a folder with room") from error
    made = open_store(cache, key)
    assert made is not None, f"{key.name} was published and is gone"
    return made


def write(folder: Path, rate: float, names: list[str], items: Iterable[Item]) -> None:
    """Write the files of a store, the index last."""
    kept, ends, skipped = [], [0], {}
    with (folder / "data.bin").open("wb") as raw:
        for name, item in zip(names, items, strict=True):
            if isinstance(item, str):
                skipped[name] = item
                continue
            raw.write(np.ascontiguousarray(item).data)
            kept.append(name)
            ends.append(ends[-1] + len(item))
            dtype, shape = item.dtype, item.shape[1:]
        raw.flush()
        os.fsync(raw.fileno())
    if not kept:
        raise Mistake(f"none of {len(names)} tracks can be used: {counted(skipped.values())}")
    np.save(folder / "offsets.npy", np.array(ends, np.int64))
    index = {"names": kept, "rate": rate, "dtype": str(dtype), "shape": [ends[-1], *shape], "skipped": skipped}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def publish(scratch: Path, folder: Path) -> None:
    """Put a finished store in its place, unless another process was faster."""
    try:
        os.rename(scratch, folder)
    except OSError:
        if not (folder / "index.json").exists():
            raise
    else:
        scratch.mkdir()  # for the temporary folder's own tidying


def counted(reasons: Iterable[str]) -> str:
    """'12 unreadable, 3 silent': how often each kind of reason occurs."""
    counts: dict[str, int] = {}
    for reason in reasons:
        kind = reason.split(":")[0].split(" (")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda pair: -pair[1]))


def first_store(catalogue: Catalogue, sample_rate: int, cache: Path) -> Store:
    """The first stage of a catalogue: its decoded music (int16), or the columns of its log-mel archive (uint8)."""
    if catalogue.archive:
        return imported(catalogue, catalogue.archive, cache)
    key = Key("waveform", {"sample_rate": sample_rate}, [identity(track) for track in catalogue.tracks])
    names = [track.name for track in catalogue.tracks]
    items = in_parallel(lambda track: decoded(track, sample_rate), catalogue.tracks)
    return build(cache, key, sample_rate, names, items, "decoding")


def identity(track: Track) -> list[Any]:
    """What tells a track's audio from any other: file, size, time of change, slice."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        status = track.path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
    except OSError:
        stamp = [0, 0]
    return [track.name, str(track.path.absolute()), *stamp, track.start, track.duration]


def decoded(track: Track, sample_rate: int) -> Item:
    """A track's samples as they are kept, or why there are none."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        return audio.to_int16(audio.read(track.path, sample_rate, track.start, track.duration))
    except BadAudio as bad:
        log.warning("%s is left out: %s", shown(track), bad)
        return str(bad)


def in_parallel(function: Callable[[Argument], Value], arguments: Iterable[Argument]) -> Iterator[Value]:
    """Map over threads (decoding releases the lock), in order, with few results waiting at any time."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[Value]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def imported(catalogue: Catalogue, archive: Path, cache: Path) -> Store:
    """The chosen tracks of a log-mel archive, turned to (columns, bands) and memory-mapped.

    Raises:
        Mistake: if the archive's arrays do not fit each other.
    """
    status = archive.stat()
    names = [track.name for track in catalogue.tracks]
    inputs = [str(archive.absolute()), status.st_size, status.st_mtime_ns, names]
    key = Key("logmel", {"archive": True}, inputs)
    if (store := open_store(cache, key)) is not None:
        return store
    with np.load(archive, allow_pickle=False) as arrays:
        mel, tracks = arrays["mel_u8"], arrays["track"].tolist()
    if mel.ndim != 3 or mel.dtype != np.uint8 or len(mel) != len(tracks):
        raise Mistake(f"{archive} holds mel_u8 of {mel.dtype}{mel.shape}; uint8 (tracks, bands, columns) is needed")
    places = {name: place for place, name in enumerate(tracks)}
    items = (mel[places[name]].T for name in names)
    return build(cache, key, ARCHIVE_RATE, names, items, "importing")
