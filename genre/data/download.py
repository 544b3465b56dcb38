"""GTZAN from the Hugging Face Hub or from an archive on disk: unpacked completely or not at all."""

import errno
import gzip
import logging
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import rich.progress

from genre.errors import UserError
from genre.files import exclusive_lock

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20  # bytes
MAX_FILES = 100_000  # of an archive; GTZAN has a thousand
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
DAMAGED = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError)
REMEDY = "set data.archive to a copy of the archive, data.root to an unpacked copy, or data=synthetic to try without"


class BadArchive(Exception):
    """An archive that is damaged or not safe to unpack."""


@dataclass(frozen=True)
class ArchiveSource:
    """Where an archive comes from and what it may contain.

    Args:
        repository: dataset on the Hugging Face Hub.
        filename: the .tar.gz in the repository.
        revision: branch, tag or commit of the repository.
        archive: a .tar.gz on disk, used instead of the Hub.
        unpacked_bytes: upper limit for the size of the unpacked files, in bytes.
    """

    repository: str
    filename: str
    revision: str
    archive: str | None
    unpacked_bytes: int


def install_archive(source: ArchiveSource, folder: Path, find_layout: Callable[[Path], Path | None]) -> None:
    """Unpack an archive to a folder, unless another process has done so in the meantime.

    Args:
        folder: where the result is moved once it is complete.
        find_layout: returns the wanted folder in an unpacked tree, or None.

    Raises:
        UserError: if the archive cannot be fetched, is damaged or not safe, or cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder.with_name(f".{folder.name}.lock"), "unpacking GTZAN"):
            if find_layout(folder) is None:
                check_room(folder, source.unpacked_bytes)
                unpack(archive_path(source), folder, find_layout, source.unpacked_bytes)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder.parent} ({error.strerror or error}): set data.root to a folder with room"
        ) from error


def check_room(folder: Path, unpacked_bytes: int) -> None:
    """Check that the folder is free and its disk has room, before anything is downloaded.

    Raises:
        UserError: if not.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds files but no GTZAN: remove it, or set data.root to another folder")
    free = shutil.disk_usage(folder.parent).free
    if free < unpacked_bytes:
        raise UserError(
            f"{folder.parent} has {free / 1e9:.1f} GB free; GTZAN may need {unpacked_bytes / 1e9:.1f} GB "
            "(data.unpacked_bytes): set data.root to a folder with room"
        )


def archive_path(source: ArchiveSource) -> Path:
    """Path of the archive: the one on disk, or the Hub's after downloading it.

    Raises:
        UserError: if there is no such file.
    """
    if not source.archive:
        return download(source)
    path = Path(source.archive).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file at data.archive={path}; it should be GTZAN's .tar.gz")
    return path


def download(source: ArchiveSource) -> Path:
    """Download the archive to the Hub's cache, which resumes, checks the size and locks.

    Raises:
        UserError: if it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    log.info("fetching %s of %s from the Hugging Face Hub", source.filename, source.repository)
    try:
        path = hf_hub_download(source.repository, source.filename, repo_type="dataset", revision=source.revision)
    except LocalEntryNotFoundError as error:
        reason = "no connection to the Hub, and the archive is not in its cache"
        raise UserError(f"cannot fetch GTZAN from {source.repository} ({reason}): {REMEDY}") from error
    except Exception as error:  # the client passes on the errors of several libraries
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        if getattr(error, "errno", None) in NO_ROOM:
            raise UserError(f"the Hub's cache is full ({reason}): set HF_HOME to a folder with room") from error
        raise UserError(f"cannot fetch GTZAN from {source.repository} ({reason}): {REMEDY}") from error
    log.info("fetched %s; it can be deleted when GTZAN is unpacked", path)
    return Path(path)


def unpack(archive: Path, folder: Path, find_layout: Callable[[Path], Path | None], limit: int) -> None:
    """Unpack an archive next to a folder, and rename the wanted part to it when all of it has been read.

    Raises:
        UserError: if the archive is damaged or not safe, or does not contain GTZAN.
    """
    scratch = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed process
    try:
        extract(archive, scratch, limit)
        if (layout := find_layout(scratch)) is None:
            raise BadArchive("holds no GTZAN")
        layout.rename(folder)
    except BadArchive as bad:
        raise UserError(f"{archive} {bad}: delete or replace it") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def extract(archive: Path, folder: Path, limit: int) -> None:
    """Extract the files of a .tar.gz below a folder.

    Raises:
        BadArchive: if it is damaged, would write outside the folder, or exceeds ``limit`` bytes or MAX_FILES files.
    """
    try:
        with (
            rich.progress.open(archive, "rb", description="unpacking") as file,
            BoundedGzip(file, limit) as stream,
            tarfile.open(fileobj=stream, mode="r:") as tar,
        ):
            extract_members(tar, folder, limit)
            while stream.read(READ_BYTES):  # gzip's checksum comes last
                pass
    except DAMAGED as error:
        raise BadArchive(f"is damaged or not safe to unpack ({error})") from None


def extract_members(tar: tarfile.TarFile, folder: Path, limit: int) -> None:
    """Extract all files but macOS resource forks, with Python's filter for data from unknown sources."""
    total = 0
    for count, member in enumerate(tar):
        total += member.size
        if member.size < 0 or total > limit:
            raise BadArchive(f"holds more than data.unpacked_bytes={limit}")
        if count == MAX_FILES:
            raise BadArchive(f"holds more than {MAX_FILES} files")
        if not Path(member.name).name.startswith("._"):
            tar.extract(member, folder, filter="data")


class BoundedGzip(gzip.GzipFile):
    """A decompressed stream that ends in an error after ``limit`` bytes, or if asked for more than READ_BYTES at once.

    tarfile reads a header of any announced length into memory, and a negative length means everything.
    """

    def __init__(self, file: IO[bytes], limit: int) -> None:
        super().__init__(fileobj=file, mode="rb")
        self.limit = limit

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= READ_BYTES:
            raise BadArchive("has a header of an impossible length")
        data = super().read(size)
        if self.tell() > self.limit:
            raise BadArchive(f"holds more than data.unpacked_bytes={self.limit}")
        return data
