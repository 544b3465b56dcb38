"""Hashes of what tracks contain: a run recognises its tracks under other names, and notices those that have changed."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.progress import track as progress

from genre.data.catalogue import Catalogue, Track
from genre.data.store import Key, Store
from genre.data.store_builder import parallel_map
from genre.files import write_json


class Content(NamedTuple):
    """SHA-256 of a track's file and of its decoded samples, in hexadecimal; tracks are equal if one of the two is.

    The file's hash is the same on every machine, but changes with the tags in it. The samples' hash does not, but
    another version of a decoder may round a sample of an MP3 differently.

    Args:
        file: of the bytes, for a slice followed by its start and duration; empty for a track of an archive.
        decoded: of its rows in the first store: samples (int16), or the columns of an archive (uint8).
    """

    file: str
    decoded: str

    def equals(self, other: "Content") -> bool:
        """Return whether both are the same track."""
        return self.decoded == other.decoded or (bool(self.file) and self.file == other.file)


def track_contents(catalogue: Catalogue, first: Store, cache: Path) -> dict[str, Content]:
    """Return the content of each track of a catalogue, cached beside the stores.

    Args:
        first: the catalogue's first store, in CPU memory; it may have further tracks.
    """
    tracks = catalogue.tracks
    path = cache / f"{Key('content', {'version': 1}, [first.identity, [track.name for track in tracks]]).name}.json"
    with suppress(OSError, ValueError, TypeError, AttributeError):  # absent or damaged: computed again
        return {name: Content(*hashes) for name, hashes in json.loads(path.read_text(encoding="utf-8")).items()}
    content_of = content_function(first)
    hashed = progress(parallel_map(content_of, tracks), "hashing", total=len(tracks), transient=True)
    contents = {track.name: content for track, content in zip(tracks, hashed, strict=True)}
    with suppress(OSError):  # a cache that cannot be written costs time only
        write_json(path, contents)
    return contents


def content_function(first: Store) -> Callable[[Track], Content]:
    """Return the function from a track of a store to its content."""
    row_of = {name: row for row, name in enumerate(first.names)}
    return lambda track: Content(file_hash(track), row_hash(first, row_of[track.name]))


def row_hash(store: Store, row: int) -> str:
    """SHA-256 of a track's rows in a store."""
    return array_hash(store.track(row).numpy())


def array_hash(array: npt.NDArray[np.generic]) -> str:
    """SHA-256 of an array's values."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def file_hash(track: Track) -> str:
    """SHA-256 of a track's file, for a slice followed by its start and duration; empty without a readable file."""
    if track.path is None:
        return ""
    try:
        with track.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError:
        return ""
    if track.start or track.duration is not None:
        digest.update(f"{track.start} {track.duration}".encode())
    return digest.hexdigest()
