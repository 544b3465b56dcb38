"""GTZAN from the network: all of it in its place, or nothing.

What arrives is kept in a ``.part`` file beside that place until it is unpacked: a fetch that broke off, was killed or
filled the disk goes on where it stopped. One process at a time fetches; whoever waited finds the work done.
"""

import hashlib
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from itertools import chain
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from genre.data.unpacking import BadArchive, extract
from genre.errors import UserError
from genre.files import exclusive_lock

log = logging.getLogger(__name__)

GZIP = b"\x1f\x8b"  # what every .gz begins with
CHUNK = 1 << 16  # bytes that are read at once
TRIES = 4  # in a row that bring nothing new
DAY = 86_400  # seconds
PAUSE = 0.5  # seconds before going on, doubled with each try that brought nothing
WAYS = "set data.urls to another address, data.root to a copy that you have, or data=synthetic to try without"


class Refused(Exception):
    """Why an address is of no use; another one may be."""


class BrokenOff(Exception):
    """A connection that ended too early; what came is kept, and the same address may go on."""


class Unreachable(BrokenOff):
    """A connection that did not come about."""


@dataclass(frozen=True)
class Archive:
    """A .tar.gz in the network.

    Args:
        urls: where it can be had, tried in order.
        size: of the archive, in bytes.
        sha256: of the archive, in hex; None checks the size alone.
        unpacked: the most that may come out of it, in bytes.
        timeout: how long a server may be silent, in seconds.

    Raises:
        UserError: naming the key whose value cannot be.
    """

    urls: tuple[str, ...]
    size: int
    sha256: str | None
    unpacked: int
    timeout: float

    def __post_init__(self) -> None:
        if not self.urls or not all(re.match("https?://", str(url)) for url in self.urls):
            raise UserError(f"data.urls=[{','.join(map(str, self.urls))}] must hold addresses with http:// or https://")
        if self.sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", str(self.sha256)):
            raise UserError(f"data.sha256={self.sha256} must be 64 hexadecimal digits, or null")
        for key, value in {"archive_bytes": self.size, "unpacked_bytes": self.unpacked}.items():
            if type(value) is not int or value < 1:
                raise UserError(f"data.{key}={value} must be a whole number above 0")
        if type(self.timeout) not in (int, float) or not 0 < self.timeout < DAY:
            raise UserError(f"data.timeout={self.timeout} must be a number of seconds above 0, and less than a day")


def fetch(archive: Archive, folder: Path, find: Callable[[Path], Path | None]) -> None:
    """Get an archive, and put what ``find`` sees in it in the place of ``folder``, unless that is there already.

    Args:
        find: the wanted folder in an unpacked tree, or None where there is none.

    Raises:
        UserError: if no address has it, with the ways on, or it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder.with_name(f".{folder.name}.lock"), "fetching GTZAN"):
            if find(folder) is None:
                from_any(archive, folder, find)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder.parent} ({error.strerror}): set data.root to a folder with room; what was "
            "fetched so far is kept"
        ) from error


def from_any(archive: Archive, folder: Path, find: Callable[[Path], Path | None]) -> None:
    """Try the addresses in order until one of them has filled ``folder``."""
    part = folder.with_name(f"{folder.name}.tar.gz.part")
    if held(part) > archive.size:
        discard(part)
    shutil.rmtree(scratch_of(folder), ignore_errors=True)  # of a process that was killed
    refuse_lack_of_room(archive, folder, part)
    reasons = []
    for url in archive.urls:
        try:
            return from_one(archive, url, part, folder, find)
        except Refused as refused:
            log.warning("%s: %s", url, refused)
            reasons.append(f"{url}: {refused}")
    kept = f"; {part} keeps {held(part):,} bytes, and the same command goes on from there" if held(part) else ""
    raise UserError(f"GTZAN cannot be fetched ({'; '.join(reasons)}): {WAYS}{kept}")


def refuse_lack_of_room(archive: Archive, folder: Path, part: Path) -> None:
    """Raise a UserError before long work starts where its result has no place."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is in the way, which holds no GTZAN: remove it, or set data.root to another folder")
    needed = archive.size - held(part) + archive.unpacked
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise UserError(
            f"{folder.parent} has {free / 1e9:.1f} GB free, fetching GTZAN may take {needed / 1e9:.1f} GB "
            "(data.archive_bytes and data.unpacked_bytes): set data.root to a folder with room"
        )


def from_one(archive: Archive, url: str, part: Path, folder: Path, find: Callable[[Path], Path | None]) -> None:
    """Fetch, check and unpack; an archive that turns out to be no good is deleted.

    Raises:
        Refused: if this address does not lead to GTZAN.
    """
    download(archive, url, part)
    try:
        check(archive, part)
        unpack(part, folder, find, archive.unpacked)
    except (Refused, BadArchive) as reason:
        discard(part)
        raise Refused(f"{reason}; it is deleted") from None
    discard(part)


def held(part: Path) -> int:
    """How many bytes are there already."""
    return part.stat().st_size if part.exists() else 0


def discard(part: Path) -> None:
    """Delete what was fetched."""
    part.unlink(missing_ok=True)
    validator_file(part).unlink(missing_ok=True)


def validator_file(part: Path) -> Path:
    """Where the server's name for the state of the file is kept, so that a later process goes on only with that."""
    return part.with_suffix(".etag")


def download(archive: Archive, url: str, part: Path) -> None:
    """Fetch what is missing, going on where a connection broke off.

    Raises:
        Refused: if the server has something else, is not there, or breaks off again and again.
    """
    begun = most = held(part)
    failures = 0
    with shown(archive, url, begun) as show:
        while held(part) < archive.size:
            try:
                receive(archive, url, part, show)
            except BrokenOff as broken:
                failures = 0 if held(part) > most else failures + 1  # a server that starts anew brings nothing new
                most = max(most, held(part))
                if failures == TRIES or (isinstance(broken, Unreachable) and most == begun):
                    raise Refused(str(broken)) from None
                time.sleep(PAUSE * 2**failures)


@contextmanager
def shown(archive: Archive, url: str, begun: int) -> Iterator[Callable[[int], None]]:
    """A progress bar, as a function that is told how many bytes are there."""
    if begun == archive.size:
        yield lambda count: None
        return
    log.info("fetching GTZAN (%.2f GB) from %s", archive.size / 1e9, url)
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("fetching", total=archive.size, completed=begun)
        yield lambda count: progress.update(task, completed=count)


def receive(archive: Archive, url: str, part: Path, show: Callable[[int], None]) -> None:
    """Add one answer of a server to the part; what is there stays until the first bytes of something better came.

    Raises:
        BrokenOff: if it ends too early.
        Refused: if it is something else.
    """
    with answer(archive, url, part) as response:
        count = beginning(response, archive, held(part))
        pieces = arriving(response)
        if not (first := next(pieces, b"")):
            raise BrokenOff("sends nothing")
        if count == 0:
            begin(part, first, validator(response.headers))
        count = append(part, chain([first], pieces), count, archive.size, show)
    if count < archive.size:
        raise BrokenOff(f"breaks off after {count:,} of {archive.size:,} bytes")


def begin(part: Path, first: bytes, state: str) -> None:
    """Empty the part for another file, or for another state of the file.

    Raises:
        Refused: if that is no .tar.gz by its first bytes; the part stays as it is.
    """
    if not GZIP.startswith(first[:2]):
        raise Refused(f"is no .tar.gz, it begins with {first[:20]!r}")
    part.write_bytes(b"")
    validator_file(part).write_text(state, encoding="utf-8")


def append(part: Path, pieces: Iterable[bytes], count: int, size: int, show: Callable[[int], None]) -> int:
    """Write what arrives behind the ``count`` bytes that are there; how many there are then.

    Raises:
        Refused: if it is more than the archive has, which is then some other file.
    """
    with part.open("ab") as file:
        for piece in pieces:
            if (count := count + len(piece)) > size:
                break
            file.write(piece)
            show(count)
    if count > size:
        discard(part)
        raise Refused(f"sends more than data.archive_bytes={size}")
    return count


def answer(archive: Archive, url: str, part: Path) -> HTTPResponse:
    """Ask a server for what is missing.

    Raises:
        BrokenOff: if it may answer better in a while.
        Refused: if it will not.
    """
    try:
        response: HTTPResponse = urlopen(Request(url, headers=wanted(part)), timeout=archive.timeout)
    except HTTPError as error:
        error.close()
        kind = BrokenOff if error.code == 429 or error.code >= 500 else Refused
        raise kind(f"answers {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(said(error)) from None
    if not response.url.startswith("https:" if url.startswith("https:") else "http"):
        response.close()
        raise Refused(f"leads to an address of a lesser kind ({response.url})")
    return response


def wanted(part: Path) -> dict[str, str]:
    """The headers that ask for what is missing, or for all of it if the file is no longer the one of the part."""
    if not held(part):
        return {}
    known = validator_file(part)
    state = known.read_text(encoding="utf-8") if known.exists() else ""
    return {"Range": f"bytes={held(part)}-"} | ({"If-Range": state} if state else {})


def validator(headers: Message) -> str:
    """What If-Range may name: a strong ETag, or else the time of the last change; empty for neither."""
    etag = headers.get("ETag", "")
    state = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    return state if state.isprintable() else ""


def beginning(response: HTTPResponse, archive: Archive, have: int) -> int:
    """Where in the archive an answer begins: behind what is there, or at 0 where the server starts anew.

    Raises:
        Refused: if it is no answer to what was asked, or of another size than the archive.
    """
    if response.status == 206:
        span = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", span)
        if not match or int(match[1]) != have:
            raise Refused(f"answers with another part of the file than was asked for ({span})")
        announced = match[2]
    elif response.status == 200:
        have, announced = 0, response.headers.get("Content-Length", str(archive.size))
    else:
        raise Refused(f"answers {response.status} {response.reason}")
    if announced != str(archive.size):
        raise Refused(f"is a file of {announced} bytes, data.archive_bytes={archive.size} is expected")
    return have


def arriving(response: HTTPResponse) -> Iterator[bytes]:
    """What a server sends, piece by piece as it comes.

    Raises:
        BrokenOff: if the connection fails, or is silent for too long.
    """
    try:
        while piece := response.read1(CHUNK):
            yield piece
    except (OSError, HTTPException) as error:
        raise BrokenOff(f"breaks off ({said(error)})") from None


def said(error: Exception) -> str:
    """An error's reason in words."""
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def check(archive: Archive, part: Path) -> None:
    """Compare the checksum where one is known; the size is right, or nothing would have come so far.

    Raises:
        Refused: if this is another file.
    """
    if archive.sha256 is None:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256.lower():
        raise Refused(f"is another file: its sha256 is {found}, data.sha256={archive.sha256} is expected")


def scratch_of(folder: Path) -> Path:
    """Where an archive is unpacked: on the same disk, under a name that nobody takes for GTZAN."""
    return folder.with_name(f".{folder.name}.unpacking")


def unpack(part: Path, folder: Path, find: Callable[[Path], Path | None], limit: int) -> None:
    """Unpack beside ``folder``, and rename what ``find`` sees there when all of it is read and checked.

    Raises:
        BadArchive: if it is damaged or not safe.
        Refused: if it holds something else.
    """
    scratch = scratch_of(folder)
    scratch.mkdir()
    try:
        extract(part, scratch, limit)
        if (found := find(scratch)) is None:
            raise Refused("holds no GTZAN")
        found.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
