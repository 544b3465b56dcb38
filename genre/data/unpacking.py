"""Unpacking a .tar.gz that nobody vouches for: files and folders below one folder, so many bytes, and nothing else.

``tarfile``'s own filter cuts names and lets links pass that stay inside, and is not in every Python 3.11. Here whatever
is not plain refuses the archive, and the space and memory that a bomb or a header can claim are bounded too.
"""

import errno
import gzip
import shutil
import tarfile
from pathlib import Path, PureWindowsPath
from typing import IO, Any

import rich.progress

CHUNK = 1 << 16  # bytes that are read at once
MEMBERS = 100_000  # an archive may have; GTZAN has a thousand files
LONGEST_READ = 1 << 20  # bytes: tarfile reads a header of any announced length into memory
NAMES = (None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # errors that are not the disk's


class BadArchive(Exception):
    """Why an archive is not unpacked."""


def extract(path: Path, folder: Path, limit: int) -> None:
    """Write the files of a .tar.gz below a folder, and nothing anywhere else.

    Raises:
        BadArchive: if the archive is damaged, or not safe.
    """
    try:
        with rich.progress.open(path, "rb", description="unpacking") as file, Bounded(file, limit) as stream:
            extract_members(stream, folder, limit)
            while stream.read(CHUNK):  # gzip's own checksum comes last
                pass
    except BadArchive:
        raise
    except Exception as error:  # a malicious archive makes tarfile raise almost anything
        if isinstance(error, OSError) and error.errno not in NAMES:
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadArchive(f"is damaged ({reason})") from None


class Bounded(gzip.GzipFile):
    """A decompressed stream that only goes forwards, and not beyond a limit in bytes: a bomb stops there."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        super().__init__(fileobj=file, mode="rb")
        self.limit = limit

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LONGEST_READ:
            raise BadArchive("is not safe to unpack: it has a header of an impossible length")
        data = super().read(size)
        self.refuse_beyond(self.tell())
        return data

    def tell(self) -> int:
        return super().seek(0, 1)  # what the inherited one would ask our seek for

    def seek(self, offset: int, whence: int = 0) -> int:
        self.refuse_beyond(offset)
        if whence or offset < self.tell():
            raise BadArchive("is not safe to unpack: it leads backwards")
        return super().seek(offset)

    def refuse_beyond(self, position: int) -> None:
        if position > self.limit:
            raise BadArchive(f"is not safe to unpack: it holds more than data.unpacked_bytes={self.limit}")


def extract_members(stream: Bounded, folder: Path, limit: int) -> None:
    """Write each file of a tar, judged before anything of it is written."""
    announced = 0
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for count, member in enumerate(tar):
            announced += member.size
            stream.refuse_beyond(announced)
            if count == MEMBERS:
                raise BadArchive(f"is not safe to unpack: it holds more than {MEMBERS} files")
            if reason := unsafe(member):
                raise BadArchive(f"is not safe to unpack: {member.name[:80]!r} {reason}")
            if not Path(member.name).name.startswith("._"):  # macOS resource forks
                write(tar, member, folder / member.name)


def unsafe(member: tarfile.TarInfo) -> str:
    """Why a member of an archive is not written; empty if it is a plain file or folder below ours."""
    path = PureWindowsPath(member.name)  # knows all separators and drives
    if path.anchor or ".." in path.parts:
        return "lies outside its folder"
    if member.issym() or member.islnk():
        return "is a link"
    if not (member.isreg() or member.isdir()) or member.issparse() or member.size < 0:
        return "is no plain file"
    return ""


def write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one file or folder; never into something that is there."""
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source: Any = tar.extractfile(member)
    with source, path.open("xb") as target:
        shutil.copyfileobj(source, target, CHUNK)
