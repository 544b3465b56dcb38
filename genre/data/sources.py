"""The store of the first stage: decoded music, or the columns of a log-mel archive."""

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

ARCHIVE_RATE = 12.9  # columns per second


def first_store(catalogue: Catalogue, sample_rate: int, cache: Path) -> Store:
    """The first store of a catalogue: decoded music (int16), or the columns of its log-mel archive (uint8)."""
    if catalogue.archive:
        return import_archive(catalogue, catalogue.archive, cache)
    key = waveform_key(catalogue, sample_rate)
    names = [track.name for track in catalogue.tracks]

    def items(begin: int) -> Iterator[Item]:
        return parallel_map(lambda track: decode_track(track, sample_rate), catalogue.tracks[begin:])

    return build_store(cache, key, sample_rate, names, items, "decoding")


def waveform_key(catalogue: Catalogue, sample_rate: int) -> Key:
    """The key of a catalogue's decoded music."""
    return Key("waveform", {"sample_rate": sample_rate}, [file_identity(track) for track in catalogue.tracks])


def file_identity(track: Track) -> list[Any]:
    """Everything that a track's samples depend on: name, file, size, modification time and slice."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        status = track.path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
    except OSError:
        stamp = [0, 0]
    return [track.name, str(track.path.absolute()), *stamp, track.start, track.duration]


def decode_track(track: Track, sample_rate: int) -> Item:
    """A track's samples, (samples,) int16, or why it is skipped."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        return audio.read_audio(track.path, sample_rate, track.start, track.duration)
    except BadAudio as bad:
        log.warning("skipped %s: %s", display_name(track), bad)
        return bad.reason


def import_archive(catalogue: Catalogue, archive: Path, cache: Path) -> Store:
    """The store of the catalogue's tracks in a log-mel archive, rows (columns, n_mels).

    Raises:
        UserError: if the archive's arrays have the wrong type or shape.
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
    index = {name: row for row, name in enumerate(tracks)}
    return build_store(
        cache, key, ARCHIVE_RATE, names, lambda begin: (mel[index[name]].T for name in names[begin:]), "importing"
    )
