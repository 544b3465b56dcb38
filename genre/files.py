"""Atomic file writing: a temporary file beside the target is renamed into place."""

import csv
import io
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


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


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically; create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an indented JSON file atomically."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file atomically."""
    text = io.StringIO(newline="")
    minimal = csv.writer(text, lineterminator="\n")
    quote_all = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in (header, *rows):
        has_return = any("\r" in str(cell) for cell in row)  # unquoted by default, but read as the end of a row
        (quote_all if has_return else minimal).writerow(row)
    write_text(path, text.getvalue())


def read_csv_rows(path: Path) -> list[tuple[str, ...]]:
    """Return the rows of a CSV file, header first; no rows if there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def is_complete(path: Path) -> bool:
    """Whether a text file is there to its last line, as a loss of power may not leave it."""
    content = path.read_bytes() if path.is_file() else b""
    return content.endswith(b"\n") and b"\0" not in content
