"""The lock under which lines are appended to a sweep's journal, which also removes a line that was not completed.

Optuna brings every line to the disk before it goes on, so that a power cut damages the last line only. But it appends
to half a line, after which nobody can read the file; and its own lock outlives a process that is killed.
"""

import json
import logging
import os
import re
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

log = logging.getLogger(__name__)

TAIL_BYTES = 4096  # that are read first to find the last line


class JournalLock:
    """An inter-process lock for Optuna's JournalFileBackend, whose holder finds a journal of complete lines.

    The system releases it if the holder dies.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, FileLock(path.with_name(f"{path.name}.append.guard"))

    def acquire(self) -> bool:
        """Wait for the lock, and remove an incomplete line at the end of the journal."""
        self.file.acquire()
        try:
            remove_incomplete_line(self.path)
        except BaseException:
            self.file.release()
            raise
        return True

    def release(self) -> None:
        """Release the lock."""
        self.file.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


def remove_incomplete_line(path: Path) -> None:
    """Cut off a last line that was only partly written, and log what was lost; the caller holds the lock."""
    with path.open("rb+") as file:
        begin, line = last_line(file)
        if is_complete_line(line):
            return
        file.truncate(begin)
        os.fsync(file.fileno())
    log.warning(
        "%s ended with %d bytes of an incomplete line, left by a power cut or a full disk, which are removed; what was "
        "lost is %s, all before it is kept, and points that are not complete are trained again",
        path, len(line), name_change(line),
    )  # fmt: skip


def last_line(file: BinaryIO) -> tuple[int, bytes]:
    """Return the offset and the content of a file's last line, its end included; empty for an empty file."""
    end, size = file.seek(0, os.SEEK_END), TAIL_BYTES
    while True:
        begin = max(0, end - size)
        file.seek(begin)
        block = file.read(end - begin)
        before = block.rfind(b"\n", 0, max(len(block) - 1, 0))
        if before >= 0 or begin == 0:
            return begin + before + 1, block[before + 1 :]
        size *= 4


def is_complete_line(line: bytes) -> bool:
    """Return whether a line has its end, and JSON before it; a power cut can also leave zeros."""
    try:
        return not line or (line.endswith(b"\n") and isinstance(json.loads(line), dict))
    except ValueError:
        return False


def name_change(line: bytes) -> str:
    """Name what an incomplete line recorded, as far as it can be read."""
    trial = re.search(rb'"trial_id":(\d+),', line)
    return f"one change of trial {int(trial[1])}" if trial else "one change of the sweep"
