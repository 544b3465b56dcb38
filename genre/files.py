"""Files that are whole or not there: written beside their place and renamed."""

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
    """A context in which no other process is that asks for the same lock; a killed one gives it back.

    Args:
        what: is waited for, in the line that says so.
    """
    try:
        return FileLock(lock).acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process (%s)", what)
        return FileLock(lock).acquire()


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically, and its folder where needed."""
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
    """Write a JSON file atomically, for people to read."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV atomically."""
    text = io.StringIO(newline="")
    usual, quoting = (csv.writer(text, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in (header, *rows):
        odd = any("\r" in str(cell) for cell in row)  # which Python leaves bare, and reads as the end of a row
        (quoting if odd else usual).writerow(row)
    write_text(path, text.getvalue())


def read_csv_rows(path: Path) -> list[tuple[str, ...]]:
    """The rows of a CSV that a run wrote, header first; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]
