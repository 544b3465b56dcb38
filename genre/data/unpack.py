"""Archives of collections (.tar, .tar.gz, .zip): unpacked completely or not at all, and never outside their folder."""

import gzip
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import rich.progress

from genre.errors import UserError
from genre.files import exclusive_lock

READ_BYTES = 1 << 20  # bytes
MAX_FILES = 200_000  # of an archive; FMA's largest have 107,000
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    RuntimeError,  # of zipfile: a password, an unknown compression; RecursionError
)


class BadArchive(Exception):
    """An archive that is damaged or not safe to unpack."""


@dataclass(frozen=True)
class Collection:
    """A collection that is installed by unpacking an archive.

    Args:
        name: for messages: 'GTZAN'.
        folder: where it is moved once it is complete.
        find_layout: returns the wanted folder in an unpacked tree, ``folder`` included, or None.
        unpacked_bytes: upper limit for the size of the unpacked files, in bytes.
        limit_key: the configuration key of ``unpacked_bytes``; empty if it has none.
    """

    name: str
    folder: Path
    find_layout: Callable[[Path], Path | None]
    unpacked_bytes: int
    limit_key: str = ""

    @property
    def limit(self) -> str:
        """The limit in words, with its key: 'data.unpacked_bytes=2000000000'."""
        return f"{self.limit_key}={self.unpacked_bytes}" if self.limit_key else f"{self.unpacked_bytes:,} bytes"


def install_collection(collection: Collection, fetch: Callable[[], Path], download_bytes: int = 0) -> None:
    """Unpack a collection's archive to its folder, unless another process has done so in the meantime.

    Args:
        fetch: returns the archive, after downloading it where it must; called only if there is room.
        download_bytes: what that takes on the same disk, in bytes.

    Raises:
        UserError: if the archive cannot be fetched, is damaged or not safe, or cannot be written.
    """
    folder = collection.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder.with_name(f".{folder.name}.lock"), f"unpacking {collection.name}"):
            if collection.find_layout(folder) is None:
                check_room(collection, download_bytes)
                unpack(fetch(), collection)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder.parent} ({error.strerror or error}): set data.root to a folder with room"
        ) from error


def check_room(collection: Collection, download_bytes: int) -> None:
    """Check that the folder is free and its disk has room, before anything is downloaded.

    Raises:
        UserError: if not.
    """
    folder = collection.folder
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds files but no {collection.name}: remove it, or set data.root to another folder")
    free, needed = shutil.disk_usage(folder.parent).free, collection.unpacked_bytes + download_bytes
    if free < needed:
        limit = f" ({collection.limit_key})" if collection.limit_key else ""
        raise UserError(
            f"{folder.parent} has {free / 1e9:.1f} GB free; {collection.name} may need {needed / 1e9:.1f} GB{limit}: "
            "set data.root to a folder with room"
        )


def unpack(archive: Path, collection: Collection) -> None:
    """Unpack an archive next to the collection's folder, and rename the wanted part to it when all has been read.

    Raises:
        UserError: if the archive is damaged or not safe, or does not contain the collection.
    """
    folder = collection.folder
    scratch = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed process
    try:
        extract(archive, scratch, collection)
        if (layout := collection.find_layout(scratch)) is None:
            raise BadArchive(f"holds no {collection.name}")
        layout.rename(folder)
    except BadArchive as bad:
        raise UserError(f"{archive} {bad}: delete or replace it") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def extract(archive: Path, folder: Path, collection: Collection) -> None:
    """Extract the files of an archive below a folder.

    Raises:
        BadArchive: if it is damaged, would write outside the folder, or exceeds the collection's limit or MAX_FILES.
    """
    try:
        if archive.suffix == ".zip":
            extract_zip(archive, folder, collection)
        else:
            extract_tar(archive, folder, collection)
    except DAMAGED as error:
        raise BadArchive(f"is damaged or not safe to unpack ({error})") from None


def extract_zip(archive: Path, folder: Path, collection: Collection) -> None:
    """Extract a .zip; zipfile drops what of a name would lead outside, and checks sizes and checksums of the files."""
    with zipfile.ZipFile(archive) as file:
        total = 0
        for count, member in enumerate(file.infolist()):
            total += member.file_size
            check_limits(count, total, collection)
        for member in rich.progress.track(file.infolist(), description="unpacking"):
            file.extract(member, folder)


def extract_tar(archive: Path, folder: Path, collection: Collection) -> None:
    """Extract a .tar or .tar.gz."""
    with rich.progress.open(archive, "rb", description="unpacking") as file:
        if archive.suffix == ".tar":
            extract_members(file, folder, collection)
            return
        with BoundedGzip(file, collection) as stream:
            extract_members(stream, folder, collection)
            while stream.read(READ_BYTES):  # gzip's checksum comes last
                pass


class BoundedGzip(gzip.GzipFile):
    """A decompressed stream that ends in an error at the collection's limit, or if asked for over READ_BYTES at once.

    tarfile reads a header of any announced length into memory, and a negative length means everything.
    """

    def __init__(self, file: IO[bytes], collection: Collection) -> None:
        super().__init__(fileobj=file, mode="rb")
        self.collection = collection

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= READ_BYTES:
            raise BadArchive("has a header of an impossible length")
        data = super().read(size)
        if self.tell() > self.collection.unpacked_bytes:
            raise BadArchive(f"holds more than {self.collection.limit}")
        return data


def extract_members(stream: IO[bytes] | BoundedGzip, folder: Path, collection: Collection) -> None:
    """Extract all files but macOS resource forks, with Python's filter for data from unknown sources."""
    total = 0
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for count, member in enumerate(tar):
            total += member.size
            check_limits(count, total if member.size >= 0 else collection.unpacked_bytes + 1, collection)
            if not Path(member.name).name.startswith("._"):
                tar.extract(member, folder, filter="data")


def check_limits(count: int, total: int, collection: Collection) -> None:
    """Check the number of files so far, without the last, and their size in bytes.

    Raises:
        BadArchive: if they exceed MAX_FILES or the collection's limit.
    """
    if total > collection.unpacked_bytes:
        raise BadArchive(f"holds more than {collection.limit}")
    if count == MAX_FILES:
        raise BadArchive(f"holds more than {MAX_FILES} files")
