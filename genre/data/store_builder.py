"""Build a store shard by shard in a partial folder, together with any other process that needs it, then rename it.

Each shard is a run of tracks with a file of rows, a journal and a lock of its own; an interrupted one is resumed by
whoever comes next. How tracks are divided depends on their number alone, so that the finished store is the same to the
last byte, whoever built it.
"""

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
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from rich.progress import Progress, TaskID

from genre.data.store import Key, Store, count_kinds, open_store, shard_file, shard_locks
from genre.errors import SkipKind, SkipReason, UserError
from genre.files import SizeAndTime, size_and_time, sync_folder, sync_tree
from genre.progress import track_bar

log = logging.getLogger(__name__)

SYNC_SECONDS = 10.0  # of work that a power cut may cost
SHARD_TRACKS = 128  # at least, in a shard; a multiple of every group
MAX_SHARDS = 64  # each is a file that an open store holds
POLL_SECONDS = 0.2  # between two looks at shards that other processes are building

Item = npt.NDArray[Any] | SkipReason  # of one track: its array (time, ...), or why it is skipped
Items = Callable[[slice], Iterable[Item]]  # of a span of the tracks
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
    items: Items,
    what: str,
    group: int = 1,
    replace: bool = False,
) -> Store:
    """Open the store of a key; build it first if it does not exist or is damaged, with a progress bar.

    Processes that need the same store build it together, a shard each at a time. An interrupted build is resumed.

    Args:
        cache: folder of all stores, on a disk that all these processes share.
        rate: rows per second.
        names: track names.
        items: returns the items of a span of the tracks, in the order of ``names``; called only to build.
        what: label of the progress bar.
        group: number of items that are computed together; a build resumes at a multiple of it.
        replace: True to build the store although it exists.

    Raises:
        UserError: if no track is usable, the cache cannot be written to, or the disk is full.
    """
    before = size_and_time(cache / key.name / "index.json")
    if not replace and (store := open_store(cache, key)) is not None:
        return store
    try:
        cache.mkdir(parents=True, exist_ok=True)
        Build(cache, key, rate, names, items, what, group, before).run(replace)
    except OSError as error:
        raise UserError(
            f"cannot write to {cache} ({error.strerror}); make room or set data.cache to a folder that can be written "
            "to; the next run continues from what has been computed"
        ) from error
    built = open_store(cache, key)
    assert built is not None, f"{key.name} was published and is gone"
    return built


def shard_spans(tracks: int) -> list[slice]:
    """The spans of tracks that are the shards of a store."""
    size = max(SHARD_TRACKS, math.ceil(tracks / MAX_SHARDS / SHARD_TRACKS) * SHARD_TRACKS)
    return [slice(begin, min(begin + size, tracks)) for begin in range(0, max(tracks, 1), size)]


@dataclass(frozen=True)
class Build:
    """The building of one store, by this process and any others; see ``build_store``.

    The store's lock is held for moments: to take the lock of a shard, and to publish. A shard's lock is held while it
    is built; the system releases both if their holder dies.

    Args:
        before: the index of the store that is replaced; zeros if there is none.
    """

    cache: Path
    key: Key
    rate: float
    names: list[str]
    items: Items
    what: str
    group: int
    before: SizeAndTime

    @property
    def folder(self) -> Path:
        """Of the finished store."""
        return self.cache / self.key.name

    @property
    def partial(self) -> Path:
        """The folder in which the store is built."""
        return self.cache / f"{self.key.name}.partial"

    @property
    def lock(self) -> FileLock:
        """The store's lock."""
        return FileLock(self.cache / f"{self.key.name}.lock")

    def shard_path(self, name: str, number: int) -> Path:
        """Of a shard's 'data.bin'; of its 'journal', which is renamed to 'complete' when its data is on the disk."""
        return self.partial / shard_file(name, number)

    def is_complete(self, number: int) -> bool:
        """Whether a shard is finished and on the disk."""
        return self.shard_path("complete", number).exists()

    def is_published(self) -> bool:
        """Whether a process has finished the store."""
        return size_and_time(self.folder / "index.json") not in (self.before, SizeAndTime(0, 0))

    def run(self, replace: bool) -> None:
        """Build the shards that no other process builds, wait for those that one does, and publish them."""
        if not replace and self.folder.exists():
            log.warning("%s is damaged and built again", self.folder)
        spans = shard_spans(len(self.names))
        remaining, waiting = dict(enumerate(spans)), False
        with track_bar() as bar:
            task = bar.add_task(self.what, total=len(self.names))
            while remaining := {n: span for n, span in remaining.items() if not self.is_complete(n)}:
                bar.update(task, completed=len(self.names) - sum(span.stop - span.start for span in remaining.values()))
                if not any(self.build_shard(number, span, bar, task) for number, span in remaining.items()):
                    if self.is_published():
                        return
                    if not waiting:
                        log.info("waiting for another process (%s)", self.what)
                    waiting = True
                    time.sleep(POLL_SECONDS)
        with self.lock:
            if not self.is_published():
                self.publish(len(spans))

    def build_shard(self, number: int, span: slice, bar: Progress, task: TaskID) -> bool:
        """Build a shard, unless it is complete or another process builds it; return whether this process did."""
        with ExitStack() as stack:
            with self.lock:
                if self.is_published():
                    return False
                try:
                    stack.enter_context(FileLock(self.cache / f"{self.key.name}.{number}.lock").acquire(timeout=0))
                except Timeout:
                    return False
                if self.is_complete(number):  # known only now: whoever had the lock may just have finished
                    return False
            self.write_shard(number, span, bar, task)
        return True

    def write_shard(self, number: int, span: slice, bar: Progress, task: TaskID) -> None:
        """Write the items of a shard, from where an interrupted build ended."""
        self.partial.mkdir(exist_ok=True)
        data, lines = self.shard_path("data.bin", number), self.shard_path("journal", number)
        resumed = data.exists()
        begin = span.start + recover_entries(data, lines, span.stop - span.start, self.group, self.what)
        if resumed:
            log.info("%s resumes at %d of %d", self.what, begin, len(self.names))
        bar.advance(task, begin - span.start)
        synced, count = time.monotonic(), begin
        with data.open("ab") as raw, lines.open("ab") as journal:
            for item in self.items(slice(begin, span.stop)):
                append_item(item, raw, journal)
                count += 1
                bar.advance(task)
                if time.monotonic() - synced > SYNC_SECONDS:
                    bring_to_disk(raw, journal)
                    synced = time.monotonic()
            bring_to_disk(raw, journal)
        assert count == span.stop, f"items up to {count} for tracks up to {span.stop}"
        os.replace(lines, self.shard_path("complete", number))
        sync_folder(self.partial)

    def publish(self, shards: int) -> None:
        """Describe the finished shards and rename their folder into place, replacing what is there."""
        complete = [self.shard_path("complete", number) for number in range(shards)]
        write_index(self.partial, self.key, self.rate, self.names, [read_entries(path) for path in complete])
        sync_tree(self.partial)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.rename(self.partial, self.folder)
        sync_folder(self.cache)
        for path in complete:
            (self.folder / path.name).unlink()
        for path in shard_locks(self.cache, self.key.name):
            path.unlink(missing_ok=True)  # whoever takes one holds the store's lock, too


def bring_to_disk(*files: BinaryIO) -> None:
    """Bring what was written to open files to the disk, in this order."""
    for file in files:
        os.fsync(file.fileno())


def append_item(item: Item, raw: BinaryIO, journal: BinaryIO) -> None:
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


def recover_entries(raw: Path, journal: Path, count: int, group: int, what: str) -> int:
    """Truncate data and journal of an interrupted shard to its intact entries, in whole groups; return their number.

    Args:
        count: number of entries of the whole shard.
    """
    if not (raw.exists() and journal.exists()):
        raw.write_bytes(b"")
        journal.write_bytes(b"")
        return 0
    lines = journal.read_bytes().split(b"\n")[:-1][:count]  # without the incomplete last line
    with raw.open("rb") as data:
        entries = list(intact_entries(lines, data))
    if damaged := len(lines) - len(entries):
        log.warning(
            "%s: %d of %d tracks of an interrupted build are damaged; computed again", what, damaged, len(lines)
        )
    del entries[len(entries) // group * group :]
    os.truncate(raw, sum(entry.bytes for entry in entries))
    os.truncate(journal, sum(len(line) + 1 for line in lines[: len(entries)]))
    return len(entries)


def read_entries(path: Path) -> list[JournalEntry]:
    """The journal of a complete shard."""
    return [parse_entry(line) for line in path.read_bytes().splitlines()]


def write_index(folder: Path, key: Key, rate: float, names: list[str], shards: list[list[JournalEntry]]) -> None:
    """Write offsets.npy and index.json, which describe the data.

    Args:
        shards: the entries of each.

    Raises:
        UserError: if no track can be used; the folder is then removed.
    """
    pairs = list(zip(names, chain.from_iterable(shards), strict=True))
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
        "shards": [sum(entry.length for entry in entries) for entries in shards],
        "skipped": skipped,
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


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
