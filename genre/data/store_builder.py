"""Build a store track by track in a partial folder, from which an interrupted build resumes, then rename it."""

import json
import logging
import math
import os
import shutil
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from rich.progress import track as progress

from genre.data.store import Key, Store, count_kinds, open_store
from genre.errors import SkipKind, SkipReason, UserError
from genre.files import exclusive_lock, sync_folder, sync_tree

log = logging.getLogger(__name__)

SYNC_SECONDS = 10.0  # of work that a power cut may cost

Item = npt.NDArray[Any] | SkipReason  # of one track: its array (time, ...), or why it is skipped
Argument = TypeVar("Argument")
Value = TypeVar("Value")


class JournalEntry(NamedTuple):
    """A line of a build's journal: the length, dtype, row shape and CRC of an array, or why the track is skipped."""

    length: int
    dtype: str
    shape: list[int]
    crc: int
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
    replace: bool = False,
) -> Store:
    """Open the store of a key; build it first if it does not exist or is damaged, with a progress bar.

    Other processes that need the store wait. An interrupted build is resumed.

    Args:
        cache: folder of all stores.
        rate: rows per second.
        names: track names.
        items: returns the items from an index on, one per track in the order of ``names``; called only to build.
        what: label of the progress bar.
        group: number of items that are computed together; a build resumes at a multiple of it.
        replace: True to build the store although it exists.

    Raises:
        UserError: if no track is usable, the cache cannot be written to, or the disk is full.
    """
    if not replace and (store := open_store(cache, key)) is not None:
        return store
    store = None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(cache / f"{key.name}.lock", what):
            if replace or (store := open_store(cache, key)) is None:
                if not replace and (cache / key.name).exists():
                    log.warning("%s is damaged and built again", cache / key.name)
                write_store(cache / f"{key.name}.partial", key, rate, names, items, what, group)
                publish(cache / f"{key.name}.partial", cache / key.name)
    except OSError as error:
        raise UserError(
            f"cannot write to {cache} ({error.strerror}); make room or set data.cache to a folder that can be written "
            "to; the next run continues from what has been computed"
        ) from error
    built = store or open_store(cache, key)
    assert built is not None, f"{key.name} was published and is gone"
    return built


def write_store(
    folder: Path, key: Key, rate: float, names: list[str], items: Callable[[int], Iterable[Item]], what: str, group: int
) -> None:
    """Write the files of a store, the index last."""
    resumed = folder.exists()
    folder.mkdir(exist_ok=True)
    entries = recover_entries(folder, group, what)
    begin, synced = len(entries), time.monotonic()
    with (folder / "data.bin").open("ab") as raw, (folder / "journal").open("ab") as journal:
        if resumed:
            log.info("%s resumes at %d of %d", what, begin, len(names))
        for item in progress(items(begin), what, total=len(names), completed=begin):
            entries.append(append_item(item, raw, journal))
            if time.monotonic() - synced > SYNC_SECONDS:
                os.fsync(raw.fileno())
                os.fsync(journal.fileno())
                synced = time.monotonic()
    assert len(entries) == len(names), f"{len(entries)} items for {len(names)} tracks"
    write_index(folder, key, rate, names, entries)


def append_item(item: Item, raw: BinaryIO, journal: BinaryIO) -> JournalEntry:
    """Append one item to the data, then to the journal."""
    if isinstance(item, SkipReason):
        entry = JournalEntry(0, "", [], 0, item)
    else:
        content = np.ascontiguousarray(item).data
        entry = JournalEntry(len(item), str(item.dtype), list(item.shape[1:]), zlib.crc32(content))
        raw.write(content)
        raw.flush()
    journal.write(json.dumps(entry).encode() + b"\n")
    journal.flush()
    return entry


def parse_entry(line: bytes) -> JournalEntry:
    """Read a line of a journal.

    Raises:
        ValueError or TypeError: if the line is damaged.
    """
    length, dtype, shape, crc, reason = json.loads(line)
    return JournalEntry(length, dtype, shape, crc, SkipReason(SkipKind(reason[0]), reason[1]) if reason else None)


def intact_entries(lines: Iterable[bytes], data: BinaryIO) -> Iterator[JournalEntry]:
    """Yield the entries of a journal up to the first that is damaged or whose data is not what was written."""
    remaining = os.fstat(data.fileno()).st_size
    for line in lines:
        try:
            entry = parse_entry(line)
            remaining -= entry.bytes
            if entry.bytes < 0 or remaining < 0 or zlib.crc32(data.read(entry.bytes)) != entry.crc:
                return
        except (ValueError, TypeError):
            return
        yield entry


def recover_entries(folder: Path, group: int, what: str) -> list[JournalEntry]:
    """Entries of an interrupted build, in whole groups; data and journal are truncated to them."""
    raw, journal = folder / "data.bin", folder / "journal"
    if not (raw.exists() and journal.exists()):
        raw.write_bytes(b"")
        journal.write_bytes(b"")
        return []
    lines = journal.read_bytes().split(b"\n")[:-1]  # without the incomplete last line
    with raw.open("rb") as data:
        entries = list(intact_entries(lines, data))
    if damaged := len(lines) - len(entries):
        log.warning(
            "%s: %d of %d tracks of an interrupted build are damaged; computed again", what, damaged, len(lines)
        )
    del entries[len(entries) // group * group :]
    os.truncate(raw, sum(entry.bytes for entry in entries))
    os.truncate(journal, sum(len(line) + 1 for line in lines[: len(entries)]))
    return entries


def write_index(folder: Path, key: Key, rate: float, names: list[str], entries: list[JournalEntry]) -> None:
    """Write offsets.npy and index.json, which describe the data.

    Raises:
        UserError: if no track can be used; the folder is then removed.
    """
    pairs = list(zip(names, entries, strict=True))
    skipped = {name: entry.reason for name, entry in pairs if entry.reason}
    used = [(name, entry) for name, entry in pairs if not entry.reason]
    if not used:
        shutil.rmtree(folder)  # else the next build would resume at its end, also if the reasons have passed
        raise UserError(
            f"none of {len(names)} tracks can be used: {count_kinds(reason.kind for reason in skipped.values())}"
        )
    ends = np.cumsum([0, *(entry.length for _, entry in used)], dtype=np.int64)
    np.save(folder / "offsets.npy", ends)
    first = used[0][1]
    index = {
        "key": asdict(key),
        "names": [name for name, _ in used],
        "rate": rate,
        "dtype": first.dtype,
        "shape": [int(ends[-1]), *first.shape],
        "skipped": skipped,
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def publish(partial: Path, folder: Path) -> None:
    """Rename a finished store into place, replacing what is there."""
    sync_tree(partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)
    sync_folder(folder.parent)
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


def completed(function: Callable[[Argument], Value], arguments: Iterable[Argument], workers: int) -> Iterator[Value]:
    """Map in threads, in the order in which they finish; those that have not begun when it is closed never do.

    Threads suffice because decoding and PyTorch release the interpreter lock.
    """
    waiting = iter(arguments)
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(function, argument) for argument in islice(waiting, 2 * workers)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, argument) for argument in islice(waiting, len(done))}
                yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()
