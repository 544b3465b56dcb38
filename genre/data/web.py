"""Archives of collections on the web: an interrupted download continues, and checksums are compared."""

import hashlib
import http.client
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rich.progress
from rich.progress import Progress, TaskID

from genre.data.unpack import Collection, install_collection
from genre.errors import UserError

log = logging.getLogger(__name__)

BYTES_AT_ONCE = 1 << 20  # bytes
ATTEMPTS = 6  # of connections without a byte, one after the other
FIRST_PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
SILENCE = 60.0  # seconds without a byte until a connection counts as lost
PART, NOTHING_LEFT = 206, 416  # HTTP's answers to a request for the rest of a file
LOWEST_FAULT_OF_SERVER = 500  # lower codes of HTTP are refusals
LOST = (http.client.HTTPException, urllib.error.URLError, ssl.SSLError, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class WebArchive:
    """An archive on the web.

    Args:
        address: where it is.
        checksum: as its publisher states it, behind the name of the method: 'sha1:ade154f7…'.
        size: about its length, in bytes.
    """

    address: str
    checksum: str
    size: int

    def copy_in(self, folder: Path) -> Path:
        """Where the user may put a copy of it."""
        return folder / self.address.rpartition("/")[2]

    def download_in(self, folder: Path) -> Path:
        """Where it is downloaded to."""
        return self.copy_in(folder).with_name(f"downloading.{self.copy_in(folder).name}")

    def missing_bytes(self, folder: Path) -> int:
        """What must still be downloaded, about, in bytes."""
        return 0 if self.copy_in(folder).is_file() else max(0, self.size - bytes_in(self.download_in(folder)))


def install_from_web(archive: WebArchive, collection: Collection) -> None:
    """Unpack an archive to a collection's folder, after fetching it next to the folder; nothing if it is there.

    A copy that the user has put next to the folder is used instead, and kept.

    Raises:
        UserError: if the archive cannot be fetched, is damaged or another, or cannot be written.
    """
    folder = collection.folder.parent
    install_collection(collection, lambda: fetch(archive, folder), archive.missing_bytes(folder))
    archive.download_in(folder).unlink(missing_ok=True)


def fetch(archive: WebArchive, folder: Path) -> Path:
    """Path of an archive: a copy in a folder, or the download there, after fetching what it lacks.

    Raises:
        UserError: if it cannot be fetched, or has another checksum.
    """
    if archive.copy_in(folder).is_file():
        return archive.copy_in(folder)
    log.info("fetching %s", archive.address)
    path = archive.download_in(folder)
    try:
        download_rest(archive.address, path)
    except LOST as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise UserError(
            f"cannot fetch {archive.address} ({reason}): run the command again, which continues, or put the file at "
            f"{archive.copy_in(folder)}"
        ) from error
    check_checksum(path, archive)
    return path


def download_rest(address: str, path: Path) -> None:
    """Download what a file lacks, over as many connections as it takes while each brings something.

    Raises:
        one of LOST: if the server refuses, or ATTEMPTS connections in a row bring nothing.
    """
    failures = 0
    with transfer_bar(path.name) as (bar, task):
        while True:
            before = bytes_in(path)
            try:
                append_rest(address, path, bar, task)
                return
            except LOST as error:
                failures = 1 if bytes_in(path) > before else failures + 1
                refused = isinstance(error, urllib.error.HTTPError) and error.code < LOWEST_FAULT_OF_SERVER
                if refused or failures == ATTEMPTS:
                    raise
            time.sleep(FIRST_PAUSE * 2 ** (failures - 1))


def append_rest(address: str, path: Path, bar: Progress, task: TaskID) -> None:
    """Append what a file lacks over one connection; a server that does not know parts sends all of it again.

    Raises:
        ConnectionError: if the connection ends before the file.
    """
    begin = bytes_in(path)
    request = urllib.request.Request(address, headers={"Range": f"bytes={begin}-"} if begin else {})
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE)
    except urllib.error.HTTPError as error:
        if begin and error.code == NOTHING_LEFT:
            return
        raise
    with response, path.open("ab" if response.status == PART else "wb") as file:
        length = response.headers.get("Content-Length")
        total = file.tell() + int(length) if length else None
        bar.update(task, total=total, completed=file.tell())
        while block := response.read(BYTES_AT_ONCE):
            file.write(block)
            bar.advance(task, len(block))
        if total is not None and file.tell() < total:
            raise ConnectionError("the connection ended early")


@contextmanager
def transfer_bar(name: str) -> Iterator[tuple[Progress, TaskID]]:
    """A bar of bytes, with their speed and the time left."""
    columns = rich.progress.DownloadColumn(), rich.progress.TransferSpeedColumn(), rich.progress.TimeRemainingColumn()
    with Progress(*Progress.get_default_columns()[:2], *columns) as bar:
        yield bar, bar.add_task(name, total=None)


def bytes_in(path: Path) -> int:
    """Length of a file, in bytes; 0 if there is none."""
    return path.stat().st_size if path.is_file() else 0


def check_checksum(path: Path, archive: WebArchive) -> None:
    """Check a downloaded file against the checksum of its publisher; another file is deleted.

    Raises:
        UserError: if it is another.
    """
    method, _, expected = archive.checksum.partition(":")
    with rich.progress.open(path, "rb", description="checking") as file:
        found = hashlib.file_digest(file, method).hexdigest()  # type: ignore[arg-type]  # has all that it needs
    if found != expected:
        path.unlink()
        raise UserError(
            f"{archive.address} was downloaded and deleted: its {method} is {found}, its publisher states {expected}; "
            "run the command again, or look whether a newer version of this program knows the file"
        )
