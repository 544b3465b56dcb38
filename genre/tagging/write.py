"""Write the genres of an audio file into its tags: the file is replaced by a changed copy; its audio stays as it is."""

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mutagen
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TCON
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from genre.errors import BadAudio, SkipKind
from genre.files import sync_folder
from genre.tagging.fields import field_name, field_values

WRITABLE = (MP3, FLAC, OggVorbis, OggOpus, MP4)


def written_genres(path: Path) -> list[str]:
    """The values of a file's genre, as they are written in it; none if it has no genre.

    Raises:
        BadAudio: if the file is not of a kind whose genre can be written, or cannot be read.
    """
    try:
        return field_values(opened(path, writable_kind(path)).tags, "genre")
    except BadAudio:
        raise
    except Exception as error:  # of damaged files, mutagen raises almost anything
        raise BadAudio(SkipKind.UNREADABLE, f"unreadable tags: {error}") from None


def write_genres(path: Path, genres: Sequence[str]) -> None:
    """Replace a file by a copy with other genres, atomically; the copy has its permissions, and a new time of change.

    Args:
        genres: the values; none removes the field.

    Raises:
        BadAudio: if the file cannot be written; it is then as it was.
    """
    target = path.resolve()  # a link stays a link
    scratch = target.with_name(f".{secrets.token_hex(8)}.scratch")
    try:
        if not os.access(target, os.W_OK):
            raise BadAudio(SkipKind.NOT_WRITTEN, "read-only")
        shutil.copy2(target, scratch)
        set_genres(opened(scratch, writable_kind(target)), genres)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(scratch, target)
        sync_folder(target.parent)
    except BadAudio:
        raise
    except Exception as error:
        raise BadAudio(SkipKind.NOT_WRITTEN, f"not written: {error}") from None
    finally:
        scratch.unlink(missing_ok=True)


def writable_kind(path: Path) -> type[Any]:
    """The class of mutagen's for an audio file.

    Raises:
        BadAudio: if it is not of a kind whose tags are written.
    """
    file = mutagen.File(path, options=WRITABLE)
    if file is None:
        raise BadAudio(SkipKind.OTHER_FORMAT, f"tags of {path.suffix or 'this format'} are not written")
    return type(file)


def opened(path: Path, kind: type[Any]) -> Any:
    """An audio file with its tags as they are: translation to ID3v2.4 would change other frames."""
    return kind(path, translate=False) if kind is MP3 else kind(path)


def set_genres(file: Any, genres: Sequence[str]) -> None:
    """Change the genre in the tags of an open file, and nothing else in them."""
    if file.tags is None:
        file.add_tags()
    name, is_id3 = field_name(file.tags, "genre"), isinstance(file.tags, ID3)
    if genres:
        file.tags[name] = TCON(encoding=3, text=list(genres)) if is_id3 else list(genres)
    elif name in file.tags:
        del file.tags[name]
    if is_id3:
        file.save(v2_version=3 if (2,) <= file.tags.version < (2, 4) else 4, v23_sep=None)
    else:
        file.save()
