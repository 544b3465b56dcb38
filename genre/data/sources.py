"""The first stage of every catalogue: decoded music, or the columns of a log-mel archive."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genre.data import audio
from genre.data.catalogue import Catalogue, Track, display_name
from genre.data.store import Key, Store, open_store
from genre.data.store_builder import Item, build_store, parallel_map
from genre.errors import BadAudio, UserError

log = logging.getLogger(__name__)

ARCHIVE_RATE = 12.9  # columns a second


def first_store(catalogue: Catalogue, sample_rate: int, cache: Path) -> Store:
    """The first stage of a catalogue: its decoded music (int16), or the columns of its log-mel archive (uint8)."""
    if catalogue.archive:
        return import_archive(catalogue, catalogue.archive, cache)
    key = waveform_key(catalogue, sample_rate)
    names = [track.name for track in catalogue.tracks]

    def items(begin: int) -> Iterator[Item]:
        return parallel_map(lambda track: decode_track(track, sample_rate), catalogue.tracks[begin:])

    return build_store(cache, key, sample_rate, names, items, "decoding")


def waveform_key(catalogue: Catalogue, sample_rate: int) -> Key:
    """What a catalogue's decoded music depends on."""
    return Key("waveform", {"sample_rate": sample_rate}, [file_identity(track) for track in catalogue.tracks])


def file_identity(track: Track) -> list[Any]:
    """What tells a track's audio from any other: file, size, time of change, slice."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        status = track.path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
    except OSError:
        stamp = [0, 0]
    return [track.name, str(track.path.absolute()), *stamp, track.start, track.duration]


def decode_track(track: Track, sample_rate: int) -> Item:
    """A track's samples as they are kept, or why there are none."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        return audio.read_audio(track.path, sample_rate, track.start, track.duration)
    except BadAudio as bad:
        log.warning("skipped %s: %s", display_name(track), bad)
        return bad.reason


def import_archive(catalogue: Catalogue, archive: Path, cache: Path) -> Store:
    """The chosen tracks of a log-mel archive, turned to (columns, bands) and memory-mapped.

    Raises:
        UserError: if the archive's arrays do not fit each other.
    """
    status = archive.stat()
    names = [track.name for track in catalogue.tracks]
    inputs = [str(archive.absolute()), status.st_size, status.st_mtime_ns, names]
    key = Key("logmel", {"archive": True}, inputs)
    if (store := open_store(cache, key)) is not None:
        return store
    with np.load(archive, allow_pickle=False) as arrays:
        mel, tracks = arrays["mel_u8"], arrays["track"].tolist()
    if mel.ndim != 3 or mel.dtype != np.uint8 or len(mel) != len(tracks) or not mel.size:
        raise UserError(f"{archive} holds mel_u8 of {mel.dtype}{mel.shape}; uint8 (tracks, bands, columns) is needed")
    places = {name: place for place, name in enumerate(tracks)}
    return build_store(
        cache, key, ARCHIVE_RATE, names, lambda begin: (mel[places[name]].T for name in names[begin:]), "importing"
    )
