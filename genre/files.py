"""Atomic file writing, CSV cells that a spreadsheet takes as text, and the locks between processes.

A file is written under a random name beside its target, brought to the disk, and renamed into place: after a power cut
either the old or the new content is there.
"""

import csv
import errno
import io
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

SCRATCH = re.compile(r"\.[0-9a-f]{16}\.scratch")  # name of a file that is being written
FORMULA = re.compile(r"'*[=+\-@\t\r]")  # begins a cell that a spreadsheet would compute
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|nan)", re.IGNORECASE)
SPECIAL_FILES = {stat.S_ISFIFO: "FIFO", stat.S_ISCHR: "device", stat.S_ISBLK: "device", stat.S_ISSOCK: "socket"}


def exclusive_lock(lock: Path, what: str) -> AbstractContextManager[object]:
    """Hold an inter-process lock; the system releases it if the holder dies.

    Args:
        lock: path of the lock file.
        what: purpose of the lock, for the log line about waiting.
    """
    try:
        return FileLock(lock).acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process (%s)", what)
        return FileLock(lock).acquire()


def write_bytes(path: Path, content: bytes | memoryview, durable: bool = True) -> None:
    """Write a file atomically; create its folder if needed.

    Args:
        durable: False leaves it to the system when the file reaches the disk: for what is rewritten or recomputed
            anyway, since waiting for the disk takes some 10 ms.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{secrets.token_hex(8)}.scratch")
    try:
        with scratch.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the entries of a folder to the disk: after a power cut, what was renamed in it has its new name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks do not know it for folders
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring all files and folders below a folder to the disk, before it is renamed into place."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))


def note_use(path: Path) -> None:
    """Set the modification time of a cached file or folder, by which ``genre.cache`` knows what was not used lately."""
    with suppress(OSError):  # of a cache that cannot be written to, nothing is removed either
        os.utime(path)


def last_use(path: Path) -> float:
    """When a cached file or folder was last used, in seconds since 1970; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def special_file(path: Path) -> str:
    """'FIFO', 'device' or 'socket', from which reading may never end; empty for anything else, or nothing."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    return next((kind for is_kind, kind in SPECIAL_FILES.items() if is_kind(mode)), "")


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write a text file atomically, in UTF-8."""
    write_bytes(path, text.encode(errors="backslashreplace"), durable)


def write_json(path: Path, values: Mapping[str, Any], durable: bool = True) -> None:
    """Write an indented JSON file atomically."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n", durable)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], durable: bool = True) -> None:
    """Write a CSV file atomically, with cells that ``read_csv_rows`` reads back and no spreadsheet computes."""
    write_text(path, csv_lines((header, *rows)), durable)


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """The lines of a CSV file; see ``write_csv``."""
    text = io.StringIO(newline="")
    minimal = csv.writer(text, lineterminator="\n")
    quote_all = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [escaped_cell(cell) for cell in row]
        has_return = any("\r" in str(cell) for cell in cells)  # unquoted by default, but read as the end of a row
        (quote_all if has_return else minimal).writerow(cells)
    return text.getvalue()


def append_text(path: Path, text: str) -> None:
    """Append to a text file, in UTF-8; what was appended is there if the program is killed."""
    with path.open("ab") as file:
        file.write(text.encode(errors="backslashreplace"))


def escaped_cell(cell: Any) -> Any:
    """A cell with an apostrophe before a text that a spreadsheet would compute as a formula; numbers as they are."""
    is_formula = isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def plain_cell(cell: str) -> str:
    """The text from which ``escaped_cell`` made a cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def read_csv_rows(path: Path) -> list[tuple[str, ...]]:
    """Return the rows of a CSV file of ``write_csv``, header first; no rows if there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(map(plain_cell, row)) for row in csv.reader(file)]


class SizeAndTime(NamedTuple):
    """What tells that a file was changed: size in bytes and modification time in ns; zeros if there is none."""

    size: int
    time: int


def size_and_time(path: Path) -> SizeAndTime:
    """The size and modification time of a file."""
    try:
        status = path.stat()
    except OSError:
        return SizeAndTime(0, 0)
    return SizeAndTime(status.st_size, status.st_mtime_ns)


def read_csv_records(path: Path) -> list[dict[str, str]]:
    """Return the rows of such a file by the names of its columns; none if there is no file."""
    header, *rows = read_csv_rows(path) or [()]
    return [dict(zip(header, row, strict=False)) for row in rows]


def is_complete(path: Path) -> bool:
    """Whether a text file is there to its last line, as a loss of power may not leave it."""
    content = path.read_bytes() if path.is_file() else b""
    return content.endswith(b"\n") and b"\0" not in content
