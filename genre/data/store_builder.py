"""How a store is made: item by item into a folder of its own that an interrupted build finds again, then renamed."""

import json
import logging
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

import numpy as np
import numpy.typing as npt
from rich.progress import track as progress

from genre.data.store import Key, Store, count_kinds, open_store
from genre.errors import SkipKind, SkipReason, UserError
from genre.files import exclusive_lock

log = logging.getLogger(__name__)

Item = npt.NDArray[Any] | SkipReason  # of one track: its array (time, ...), or why it is skipped
Argument = TypeVar("Argument")
Value = TypeVar("Value")


class JournalEntry(NamedTuple):
    """A line of a build's journal: the length, dtype and row shape of an array, or why the track is skipped."""

    length: int
    dtype: str
    shape: list[int]
    reason: SkipReason | None = None

    @property
    def bytes(self) -> int:
        return 0 if self.reason else self.length * math.prod(self.shape) * np.dtype(self.dtype).itemsize


def build_store(
    cache: Path,
    key: Key,
    rate: float,
    names: list[str],
    items: Callable[[int], Iterable[Item]],
    what: str,
    group: int = 1,
) -> Store:
    """Open a key's store, made first from one item a track where it is not there yet, with a progress bar.

    Whoever comes while another process makes it waits. A build that was killed goes on where it was.

    Args:
        cache: the folder of all stores.
        rate: rows a second along time.
        names: the tracks that the items belong to.
        items: the items from a place on, one a track, in order; only asked for where the store must be made.
        what: shown beside the progress bar.
        group: how many items are computed together; a build goes on at a multiple of this.

    Raises:
        UserError: if no track is usable, or the disk is full.
    """
    if (store := open_store(cache, key)) is not None:
        return store
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(cache / f"{key.name}.lock", what):
            if (store := open_store(cache, key)) is None:
                write_store(cache / f"{key.name}.partial", rate, names, items, what, group)
                publish(cache / f"{key.name}.partial", cache / key.name)
    except OSError as error:
        raise UserError(
            f"cannot write to {cache} ({error.strerror}); make room or set data.cache to a folder with room; "
            "what was computed is kept"
        ) from error
    made = store or open_store(cache, key)
    assert made is not None, f"{key.name} was published and is gone"
    return made


def write_store(
    folder: Path, rate: float, names: list[str], items: Callable[[int], Iterable[Item]], what: str, group: int
) -> None:
    """Write the files of a store, the index last."""
    folder.mkdir(exist_ok=True)
    entries = recover_entries(folder, group)
    begin = len(entries)
    with (folder / "data.bin").open("ab") as raw, (folder / "journal").open("a", encoding="utf-8") as journal:
        if begin:
            log.info("%s goes on at %d of %d", what, begin, len(names))
        for item in progress(items(begin), what, total=len(names), completed=begin):
            entries.append(append_item(item, raw, journal))
        os.fsync(raw.fileno())
    assert len(entries) == len(names), f"{len(entries)} items for {len(names)} tracks"
    write_index(folder, rate, names, entries)


def append_item(item: Item, raw: Any, journal: TextIO) -> JournalEntry:
    """Append one item, the journal after the data."""
    if isinstance(item, SkipReason):
        entry = JournalEntry(0, "", [], item)
    else:
        entry = JournalEntry(len(item), str(item.dtype), list(item.shape[1:]))
        raw.write(np.ascontiguousarray(item).data)
        raw.flush()
    journal.write(json.dumps(entry) + "\n")
    journal.flush()
    return entry


def parse_entry(line: bytes) -> JournalEntry:
    """Read a line of a journal."""
    length, dtype, shape, reason = json.loads(line)
    return JournalEntry(length, dtype, shape, SkipReason(SkipKind(reason[0]), reason[1]) if reason else None)


def recover_entries(folder: Path, group: int) -> list[JournalEntry]:
    """What an interrupted build has finished, in whole groups; whatever lies beyond is cut off."""
    raw, journal = folder / "data.bin", folder / "journal"
    if not (raw.exists() and journal.exists()):
        raw.write_bytes(b"")
        journal.write_bytes(b"")
        return []
    lines = journal.read_bytes().split(b"\n")[:-1]  # what follows the last line's end is half a line
    entries, left = [], raw.stat().st_size
    for line in lines:
        entry = parse_entry(line)
        left -= entry.bytes
        if left < 0:
            break
        entries.append(entry)
    del entries[len(entries) // group * group :]
    os.truncate(raw, sum(entry.bytes for entry in entries))
    os.truncate(journal, sum(len(line) + 1 for line in lines[: len(entries)]))
    return entries


def write_index(folder: Path, rate: float, names: list[str], entries: list[JournalEntry]) -> None:
    """Write what a store's data means.

    Raises:
        UserError: if no track can be used.
    """
    pairs = list(zip(names, entries, strict=True))
    skipped = {name: entry.reason for name, entry in pairs if entry.reason}
    kept = [(name, entry) for name, entry in pairs if not entry.reason]
    if not kept:
        raise UserError(
            f"none of {len(names)} tracks can be used: {count_kinds(reason.kind for reason in skipped.values())}"
        )
    ends = np.cumsum([0, *(entry.length for _, entry in kept)], dtype=np.int64)
    np.save(folder / "offsets.npy", ends)
    first = kept[0][1]
    index = {
        "names": [name for name, _ in kept],
        "rate": rate,
        "dtype": first.dtype,
        "shape": [int(ends[-1]), *first.shape],
        "skipped": skipped,
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def publish(partial: Path, folder: Path) -> None:
    """Put a finished store in its place, where at most the ruins of a damaged one lie."""
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)
    (folder / "journal").unlink()


def parallel_map(function: Callable[[Argument], Value], arguments: Iterable[Argument]) -> Iterator[Value]:
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
