"""What the tags of an audio file say about it."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import mutagen
from mutagen.id3 import TCON

from genre.errors import BadAudio, SkipKind
from genre.tagging.fields import field_values

FOUR_DIGITS = re.compile(r"\d{4}")


class Tags(NamedTuple):
    """The tags of a file; what is missing is empty.

    Args:
        genres: as they are written, but for ID3v1's numbers, which are names.
        artist: the first of several.
        year: four digits.
    """

    genres: tuple[str, ...] = ()
    artist: str = ""
    album: str = ""
    year: str = ""
    title: str = ""


def read_tags(path: Path) -> Tags:
    """Read the tags of an audio file: ID3, MP4, ASF, APEv2 or Vorbis comments; a file without any has empty ones.

    Raises:
        BadAudio: if they cannot be read; of kind NOT_READ if that says nothing about the content of the file.
    """
    try:
        path.open("rb").close()  # mutagen hides the system's error
        file = mutagen.File(path)
        return tags_of(file.tags) if file is not None else Tags()
    except OSError as error:
        raise BadAudio(SkipKind.NOT_READ, f"unreadable: {error.strerror}") from None
    except Exception as error:  # of damaged files, mutagen raises almost anything
        raise BadAudio(SkipKind.UNREADABLE, f"unreadable tags: {' '.join(str(error).split())}") from None


def tags_of(tags: Any) -> Tags:
    """The tags that mutagen has read."""
    artist, album, date, title = (first_value(tags, field) for field in ("artist", "album", "year", "title"))
    year = FOUR_DIGITS.search(date)
    return Tags(genre_names(field_values(tags, "genre")), artist, album, year[0] if year else "", title)


def first_value(tags: Any, field: str) -> str:
    """The first value of a field; empty if it has none."""
    return next((value.strip() for value in field_values(tags, field)), "")


def genre_names(values: list[str]) -> tuple[str, ...]:
    """Genres with ID3v1's numbers as names: ['(17)(7)', '9'] -> ('Rock', 'Hip-Hop', 'Metal')."""
    return tuple(dict.fromkeys(TCON(encoding=3, text=values).genres))
