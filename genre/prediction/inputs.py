"""The audio files of what a user names: files, folders, playlists."""

import re
from collections.abc import Iterable, Iterator, Sequence
from os.path import isdir, isfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from genre.data.audio import readable_suffixes
from genre.data.catalogue import Skipped, audio_files
from genre.data.ffmpeg import MISSING
from genre.errors import SkipKind, UserError

PLAYLISTS = frozenset((".m3u", ".m3u8", ".pls"))
PLS_ENTRY = re.compile(r"File\d+\s*=\s*(.+)", re.IGNORECASE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def list_inputs(paths: Sequence[Path]) -> tuple[list[Path], list[Skipped]]:
    """Return the audio files of files, folders and playlists, each once, and what is skipped.

    A path to a file is accepted with any name.

    Raises:
        UserError: if a path does not exist, or there is no audio in all.
    """
    files: list[Path] = []
    skipped: list[Skipped] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no file or folder at input={path}")
        found, others = files_of(path)
        files += found
        skipped += others
    if not files and not any(item.kind in (SkipKind.OTHER_FORMAT, SkipKind.NO_SUCH_FILE) for item in skipped):
        raise UserError(f"there is no audio in input={','.join(map(str, paths))}")
    return list(dict.fromkeys(files)), list(dict.fromkeys(skipped))


def files_of(path: Path) -> tuple[list[Path], list[Skipped]]:
    """The audio files of an existing path, and what is skipped."""
    if path.is_dir():
        files, skipped = audio_files(path, readable_suffixes())
        return files, [with_remedy(item) for item in skipped]
    return playlist_files(path) if path.suffix.lower() in PLAYLISTS else ([path], [])


def with_remedy(item: Skipped) -> Skipped:
    """The same, but a file that FFmpeg would read says so."""
    if item.kind is not SkipKind.OTHER_FORMAT:
        return item
    return Skipped(item.path, item.kind, f"{Path(item.path).suffix.lower()} {MISSING}")


def playlist_files(playlist: Path) -> tuple[list[Path], list[Skipped]]:
    """The audio files that a playlist names, and what is skipped; relative names are relative to the playlist."""
    files: list[Path] = []
    skipped: list[Skipped] = []
    for entry in playlist_entries(playlist):
        if SCHEME.match(entry) and not entry.lower().startswith("file://"):
            skipped.append(Skipped(entry, SkipKind.ADDRESS, f"an address in {playlist.name}; only files are read"))
        elif isfile(path := entry_path(entry, playlist.parent)):
            files.append(path)
        elif isdir(path):
            found, others = files_of(path)
            files += found
            skipped += others
        else:
            skipped.append(Skipped(str(path), SkipKind.NO_SUCH_FILE, f"named in {playlist.name}, but not there"))
    return files, skipped


def playlist_entries(playlist: Path) -> Iterator[str]:
    """Yield the names and addresses in a playlist (.m3u, .m3u8, .pls).

    Raises:
        UserError: if the playlist cannot be read.
    """
    try:
        content = playlist.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the playlist {playlist} ({error.strerror})") from None
    lines = [line.strip() for line in decoded(content).splitlines()]
    if playlist.suffix.lower() == ".pls":
        return (found[1] for line in lines if (found := PLS_ENTRY.match(line)))
    return without_comments(lines)


def decoded(content: bytes) -> str:
    """A playlist's text: UTF-8, else Latin-1, which old programs write."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def without_comments(lines: Iterable[str]) -> Iterator[str]:
    """The lines of an M3U that name music."""
    return (line for line in lines if line and not line.startswith("#"))


def entry_path(entry: str, folder: Path) -> Path:
    """The path that an entry of a playlist in a folder names; backslashes are tried as slashes, too."""
    if entry.lower().startswith("file://"):
        return Path(unquote(urlsplit(entry).path))
    path = folder / entry
    return path if isfile(path) or "\\" not in entry else folder / entry.replace("\\", "/")
