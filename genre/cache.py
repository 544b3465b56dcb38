"""What lies in the cache, and its removal: python -m genre.cache --help"""

import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from genre.arguments import named_arguments
from genre.cli import command
from genre.config.compose import compose
from genre.data.hub import HUB_FOLDER
from genre.data.store import Key, read_key, shard_locks
from genre.errors import UserError
from genre.files import SCRATCH, last_use
from genre.paths import expanded

STAGES = {
    "waveform": "decoded music",
    "logmel": "log-mels",
    "picture": "pictures",
    "features": "features",
    "views": "features of random views",
}
STORE = re.compile(rf"((?:{'|'.join(STAGES)})-[0-9a-f]{{16}})(\.partial)?")
DUPLICATES = re.compile(r"duplicates-[0-9a-f]{16}\.json")
CONTENTS = re.compile(r"content-[0-9a-f]{16}\.json")
TAGS = re.compile(r"tags-[0-9a-f]{16}\.json")
SYNTHETIC = re.compile(r"(\.?)synthetic-[^/]*")  # with a dot while it is being written
RESULTS = "tracks"  # folder of explore.py's results per track
FOLDERS = {
    RESULTS: "results of single tracks",
    "precision": "measured precision",
    HUB_FOLDER: "audio of data sets of the Hub",
}
FRESH = 3600.0  # seconds for which a file without a lock may still be being written
DAY = 86_400.0  # seconds
GB = 1e9  # bytes
CACHE_KEYS = ("data.cache", "days", "gb", "interrupted", "all")
FLAGS = {"true": True, "false": False}

CACHE_USAGE = "use: python -m genre.cache [data.cache=FOLDER] [days=N] [gb=N] [interrupted=true] [all=true]"
CACHE_HELP = f"""{CACHE_USAGE}

Lists what lies in the cache, what it is of, its size and its last use, and removes what is asked for:

  days=N            what was not used for N days
  gb=N              what was used longest ago, until N GB are left
  interrupted=true  what interrupted builds left (the next run would continue them)
  all=true          everything

  data.cache=FOLDER the cache (default: that of the configuration)

What is removed is computed again when it is needed. Files of other programs, and what is being built, stay.
"""


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache.

    Args:
        path: of it.
        what: 'decoded music', ….
        of: the music it was computed from; empty if that is not known.
        size: in bytes.
        used: when it was last used, in seconds since 1970.
        interrupted: True if it is what an unfinished build has left.
    """

    path: Path
    what: str
    of: str
    size: int
    used: float
    interrupted: bool = False

    @property
    def lock(self) -> Path | None:
        """The lock under which its builders take the locks of its shards, if it is a store."""
        store = STORE.fullmatch(self.path.name)
        return self.path.with_name(f"{store[1]}.lock") if store else None


def cache_entries(cache: Path) -> list[Entry]:
    """Everything in a cache that this program made, the last used first.

    Raises:
        UserError: if the cache is not a folder, or cannot be read.
    """
    if not cache.exists():
        return []
    try:
        paths = sorted(cache.iterdir())
    except OSError as error:
        raise UserError(f"cannot read data.cache={cache} ({error.strerror}); give the folder of the cache") from None
    keys = {path.name: key for path in paths if STORE.fullmatch(path.name) and (key := read_key(path))}
    results = cache / RESULTS
    scratch = [path for path in results.iterdir() if SCRATCH.fullmatch(path.name)] if results.is_dir() else []
    entries = [entry for path in [*paths, *scratch] if (entry := describe_entry(path, keys))]
    return sorted(entries, key=lambda entry: -entry.used)


def describe_entry(path: Path, keys: Mapping[str, Key]) -> Entry | None:
    """What a file or folder of the cache is; None if this program did not make it.

    Args:
        keys: of all stores, by the name of their folders.
    """
    entry = Entry(path, "", "", size_of(path), last_use(path))
    if store := STORE.fullmatch(path.name):
        what = STAGES[path.name.partition("-")[0]]
        unfinished = f"interrupted build of {what}"
        return replace(
            entry, what=unfinished if store[2] else what, of=origin(path.name, keys), interrupted=bool(store[2])
        )
    if DUPLICATES.fullmatch(path.name):
        return replace(entry, what="duplicates", of=origin(searched_store(path), keys))
    if CONTENTS.fullmatch(path.name):
        return replace(entry, what="hashes of tracks")
    if TAGS.fullmatch(path.name):
        return replace(entry, what="tags of a library")
    if path.name in FOLDERS:
        return replace(entry, what=FOLDERS[path.name])
    if songs := SYNTHETIC.fullmatch(path.name):
        return replace(entry, what="synthetic music", of=path.name, interrupted=bool(songs[1]))
    if SCRATCH.fullmatch(path.name):
        return replace(entry, what="unfinished file", interrupted=True)
    return None


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        try:
            return path.lstat().st_size
        except OSError:  # another process has removed it
            return 0
    return sum(size_of(Path(parent, name)) for parent, _, names in os.walk(path) for name in names)


def searched_store(path: Path) -> str:
    """The name of the store whose duplicates a file lists; empty if it does not say."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["store"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def origin(name: str, keys: Mapping[str, Key]) -> str:
    """'1,000 tracks of /music/gtzan': what the store of this name was computed from; empty if it is not known."""
    key = keys.get(name)
    if key is None:
        return ""
    if key.stage == "waveform":
        return f"{len(key.inputs):,} tracks of {os.path.commonpath([os.path.dirname(file[1]) for file in key.inputs])}"
    inputs = key.inputs
    while isinstance(inputs, list) and inputs:
        inputs = inputs[0]
    return str(inputs) if key.settings.get("archive") else origin(str(inputs), keys)


def chosen_entries(
    entries: Iterable[Entry], days: float = math.inf, gb: float = math.inf, interrupted: bool = False
) -> Iterator[Entry]:
    """Yield what is to be removed.

    Args:
        entries: the last used first.
        days: what was not used for so long is removed.
        gb: what was used longest ago is removed until so much is left.
        interrupted: whether what interrupted builds left is removed.
    """
    total, now = 0, time.time()
    for entry in entries:
        unwanted = entry.used < now - days * DAY or (interrupted and entry.interrupted)
        total += 0 if unwanted else entry.size
        if unwanted or total > gb * GB:
            yield entry


def remove(entry: Entry) -> bool:
    """Remove an entry, unless another process is just writing it; return whether it was removed.

    Raises:
        UserError: if the cache cannot be written to.
    """
    if entry.interrupted and entry.lock is None and entry.used > time.time() - FRESH:
        return False
    try:
        if entry.lock is None:
            delete(entry.path)
            return True
        with ExitStack() as held:
            held.enter_context(FileLock(entry.lock).acquire(timeout=0))
            for lock in (locks := shard_locks(entry.path.parent, entry.lock.stem)):
                held.enter_context(FileLock(lock).acquire(timeout=0))
            delete(entry.path)
            for lock in (*locks, entry.lock):
                lock.unlink(missing_ok=True)
        return True
    except Timeout:
        return False
    except OSError as error:
        raise UserError(f"cannot remove {error.filename or entry.path} ({error.strerror})") from None


def delete(path: Path) -> None:
    """Delete a file or a folder, of a store the index first, without which it is not opened."""
    if path.is_dir() and not path.is_symlink():
        (path / "index.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def table(entries: Iterable[Entry]) -> str:
    """Return a table of entries: size, last use, what, of what, path."""
    rows = [(show_size(entry.size), show_age(entry.used), entry.what, entry.of, entry.path.name) for entry in entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        f"{row[0]:>{widths[0]}}  {'  '.join(f'{c:<{w}}' for c, w in zip(row[1:], widths[1:], strict=True))}"
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def show_size(size: int) -> str:
    """'1.3 GB'."""
    return f"{size / GB:.1f} GB" if size >= GB else f"{size / 1e6:.1f} MB"


def show_age(used: float) -> str:
    """'today', 'yesterday', '12 days ago'."""
    days = int((time.time() - used) // DAY)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"


def parse_number(values: Mapping[str, str], key: str) -> float:
    """A limit that is not negative; infinite if it is not given.

    Raises:
        UserError: if it is not such a number.
    """
    try:
        number = float(values.get(key, "inf"))
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise UserError(f"{key}={values[key]} is not a number of {'days' if key == 'days' else 'gigabytes'}")
    return number


def parse_flag(values: Mapping[str, str], key: str) -> bool:
    """True or false; false if it is not given.

    Raises:
        UserError: if it is neither.
    """
    value = values.get(key, "false")
    if value not in FLAGS:
        raise UserError(f"{key}={value} must be true or false")
    return FLAGS[value]


def manage_cache() -> None:
    """Run the command: list the cache, or remove from it and list what was removed."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(CACHE_HELP, end="")
        return
    values = named_arguments(sys.argv[1:], CACHE_KEYS, CACHE_USAGE)
    cache = expanded(values.get("data.cache") or compose("folder=unused").data.cache)
    days, gb, interrupted = parse_number(values, "days"), parse_number(values, "gb"), parse_flag(values, "interrupted")
    entries = cache_entries(cache)
    chosen = list(chosen_entries(entries, days, -1 if parse_flag(values, "all") else gb, interrupted))
    if not values.keys() - {"data.cache"}:
        report(cache, "", entries)
        return
    removed = [entry for entry in chosen if remove(entry)]
    report(cache, "removed ", removed)
    if busy := [entry for entry in chosen if entry not in removed]:
        print(f"{len(busy)} are being written by another process, and stay")


def report(cache: Path, verb: str, entries: list[Entry]) -> None:
    """Print a table of entries and their number and size."""
    if entries:
        print(table(entries))
    print(f"{verb}{len(entries)} entries, {show_size(sum(entry.size for entry in entries))}: {cache}")


if __name__ == "__main__":
    command(manage_cache, None)
