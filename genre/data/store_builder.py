"""Build a store track by track in a partial folder, from which an interrupted build resumes, then rename it."""

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
    """Open the store of a key; build it first if it does not exist, with a progress bar.

    Other processes that need the store wait. An interrupted build is resumed.

    Args:
        cache: folder of all stores.
        rate: rows per second.
        names: track names.
        items: returns the items from an index on, one per track in the order of ``names``; called only to build.
        what: label of the progress bar.
        group: number of items that are computed together; a build resumes at a multiple of it.

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
            "the next run continues from what has been computed"
        ) from error
    built = store or open_store(cache, key)
    assert built is not None, f"{key.name} was published and is gone"
    return built


def write_store(
    folder: Path, rate: float, names: list[str], items: Callable[[int], Iterable[Item]], what: str, group: int
) -> None:
    """Write the files of a store, the index last."""
    folder.mkdir(exist_ok=True)
    entries = recover_entries(folder, group)
    begin = len(entries)
    with (folder / "data.bin").open("ab") as raw, (folder / "journal").open("a", encoding="utf-8") as journal:
        if begin:
            log.info("%s resumes at %d of %d", what, begin, len(names))
        for item in progress(items(begin), what, total=len(names), completed=begin):
            entries.append(append_item(item, raw, journal))
        os.fsync(raw.fileno())
    assert len(entries) == len(names), f"{len(entries)} items for {len(names)} tracks"
    write_index(folder, rate, names, entries)


def append_item(item: Item, raw: Any, journal: TextIO) -> JournalEntry:
    """Append one item to the data, then to the journal."""
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
    """Entries of an interrupted build, in whole groups; data and journal are truncated to them."""
    raw, journal = folder / "data.bin", folder / "journal"
    if not (raw.exists() and journal.exists()):
        raw.write_bytes(b"")
        journal.write_bytes(b"")
        return []
    lines = journal.read_bytes().split(b"\n")[:-1]  # without the incomplete last line
    entries, remaining = [], raw.stat().st_size
    for line in lines:
        entry = parse_entry(line)
        remaining -= entry.bytes
        if remaining < 0:
            break
        entries.append(entry)
    del entries[len(entries) // group * group :]
    os.truncate(raw, sum(entry.bytes for entry in entries))
    os.truncate(journal, sum(len(line) + 1 for line in lines[: len(entries)]))
    return entries


def write_index(folder: Path, rate: float, names: list[str], entries: list[JournalEntry]) -> None:
    """Write offsets.npy and index.json, which describe the data.

    Raises:
        UserError: if no track can be used.
    """
    pairs = list(zip(names, entries, strict=True))
    skipped = {name: entry.reason for name, entry in pairs if entry.reason}
    used = [(name, entry) for name, entry in pairs if not entry.reason]
    if not used:
        raise UserError(
            f"none of {len(names)} tracks can be used: {count_kinds(reason.kind for reason in skipped.values())}"
        )
    ends = np.cumsum([0, *(entry.length for _, entry in used)], dtype=np.int64)
    np.save(folder / "offsets.npy", ends)
    first = used[0][1]
    index = {
        "names": [name for name, _ in used],
        "rate": rate,
        "dtype": first.dtype,
        "shape": [int(ends[-1]), *first.shape],
        "skipped": skipped,
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def publish(partial: Path, folder: Path) -> None:
    """Rename a finished store into place, replacing a damaged one."""
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)
    (folder / "journal").unlink()


def parallel_map(function: Callable[[Argument], Value], arguments: Iterable[Argument]) -> Iterator[Value]:
    """Map with one thread per core, in order and with a bounded number of results in memory.

    Threads suffice because decoding and PyTorch release the interpreter lock.
    """
    workers = os.cpu_count() or 1
    pending: deque[Future[Value]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for argument in arguments:
            pending.append(pool.submit(function, argument))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
