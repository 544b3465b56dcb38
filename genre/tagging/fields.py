"""Where each kind of tag keeps a field: ID3, MP4, ASF, APEv2 and Vorbis comments."""

from collections.abc import Mapping
from typing import Any

from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

VORBIS = {"genre": "genre", "artist": "artist", "album": "album", "year": "date", "title": "title"}
FIELDS: dict[type[Any], Mapping[str, str]] = {
    ID3: {"genre": "TCON", "artist": "TPE1", "album": "TALB", "year": "TDRC", "title": "TIT2"},
    MP4Tags: {"genre": "\xa9gen", "artist": "\xa9ART", "album": "\xa9alb", "year": "\xa9day", "title": "\xa9nam"},
    ASFTags: {"genre": "WM/Genre", "artist": "Author", "album": "WM/AlbumTitle", "year": "WM/Year", "title": "Title"},
    APEv2: {"genre": "Genre", "artist": "Artist", "album": "Album", "year": "Year", "title": "Title"},
}


def field_name(tags: Any, field: str) -> str:
    """The name of a field in tags of mutagen's, such as 'TCON' of 'genre' in ID3; all unlisted kinds are Vorbis's."""
    return next((names for kind, names in FIELDS.items() if isinstance(tags, kind)), VORBIS)[field]


def field_values(tags: Any, field: str) -> list[str]:
    """The values of a field, as they are in the file; none if it is absent."""
    value = tags.get(field_name(tags, field)) if tags is not None else None
    texts = getattr(value, "text", value) or []
    return [str(text) for text in texts]
