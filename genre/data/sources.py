"""The store of the first stage: decoded music, or the columns of a log-mel archive."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache as cache_result
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from genre.data import audio
from genre.data.catalogue import Catalogue, Track, display_name, read_arrays
from genre.data.store import Key, Store, open_store, related_stores
from genre.data.store_builder import Item, build_store, parallel_map
from genre.errors import BadAudio, SkipKind, SkipReason, UserError
from genre.files import size_and_time, special_file

log = logging.getLogger(__name__)

ARCHIVE_RATE = 12.9  # columns per second
HASHED_BYTES = 1 << 16  # at each end of a file
LOOKED_AT = 64  # files per task of a thread: a task costs as much as a look at a file
SLACK = 0.05  # seconds by which a slice may end early without a warning

Stamp = list[Any]  # of a file: size, modification time in ns, hash of its ends (empty if they cannot be read)


def first_store(catalogue: Catalogue, sample_rate: int, cache: Path) -> Store:
    """The first store of a catalogue: decoded music (int16), or the columns of its log-mel archive (uint8)."""
    if catalogue.archive:
        return import_archive(catalogue, catalogue.archive, cache)
    store = decoded_music(catalogue, sample_rate, cache)
    warn_of_short_slices(store, catalogue)
    return store


def decoded_music(catalogue: Catalogue, sample_rate: int, cache: Path) -> Store:
    """The store of a catalogue's decoded music.

    Tracks that another store holds are copied from there. Those that could not be read when the store was built are
    tried again.
    """
    key = waveform_key(catalogue, sample_rate)
    existing = open_store(cache, key)
    if existing:
        unread = map({track.name: track for track in catalogue.tracks}.__getitem__, existing.unread)
        if all(was_not_read(decode_track(track, sample_rate)) for track in unread):
            return existing

    @cache_result
    def known() -> dict[str, Item]:
        items = decoded_before(cache, key)
        if items:
            log.info("%d of %d tracks were decoded before", len(items), len(catalogue.tracks))
        return items

    def item(track: Track) -> Item:
        return known()[track.name] if track.name in known() else decode_track(track, sample_rate)

    def items(span: slice) -> Iterator[Item]:
        known()  # before there are threads
        return parallel_map(item, catalogue.tracks[span])

    names = [track.name for track in catalogue.tracks]
    return build_store(cache, key, sample_rate, names, items, "decoding", replace=existing is not None)


def decoded_before(cache: Path, key: Key) -> dict[str, Item]:
    """The items of those of a key's tracks, by name, that stores of the same settings hold."""
    wanted = {identity[0]: identity for identity in json.loads(json.dumps(key.inputs))}
    known: dict[str, Item] = {}
    for store in related_stores(cache, key):
        same = {identity[0] for identity in store.key.inputs if wanted.get(identity[0]) == identity} - known.keys()
        known |= {name: reason for name, reason in store.skipped.items() if name in same and not was_not_read(reason)}
        for index, name in enumerate(store.names):
            if name in same:
                known[name] = store.track(index).numpy()
    return known


def was_not_read(item: Item) -> bool:
    """Return whether a track was skipped for a reason that may pass."""
    return isinstance(item, SkipReason) and item.kind is SkipKind.NOT_READ


def waveform_key(catalogue: Catalogue, sample_rate: int) -> Key:
    """The key of a catalogue's decoded music."""
    paths = {str(track.path): track.path for track in catalogue.tracks if track.path}  # texts are hashed faster
    files = list(paths.values())
    blocks = [files[begin : begin + LOOKED_AT] for begin in range(0, len(files), LOOKED_AT)]
    found = chain.from_iterable(parallel_map(lambda block: [file_stamp(path) for path in block], blocks))
    stamps = dict(zip(paths, found, strict=True))
    return Key("waveform", {"sample_rate": sample_rate}, [file_identity(track, stamps) for track in catalogue.tracks])


def file_stamp(path: Path) -> Stamp:
    """What tells a file's content from another without reading it all: size, time, and a hash of both ends."""
    known = size_and_time(path)
    return [*known, hash_of_ends(path) if any(known) else ""]


def hash_of_ends(path: Path) -> str:
    """Hash of the first and last 64 KiB of a file; empty if it cannot be read."""
    if special_file(path):
        return ""
    try:
        with path.open("rb", buffering=0) as file:
            digest = hashlib.sha256(file.read(HASHED_BYTES))
            file.seek(max(file.seek(0, 2) - HASHED_BYTES, HASHED_BYTES))
            digest.update(file.read(HASHED_BYTES))
    except OSError:
        return ""
    return digest.hexdigest()[:16]


def file_identity(track: Track, stamps: Mapping[str, Stamp] | None = None) -> list[Any]:
    """Everything that a track's samples depend on: name, file, its stamp, and slice.

    Args:
        stamps: of files that were looked at already, by their paths.
    """
    assert track.path is not None, f"{track.name} has no file"
    path = str(track.path)
    stamp = file_stamp(track.path) if stamps is None else stamps[path]
    absolute = path if os.path.isabs(path) else str(track.path.absolute())
    return [track.name, absolute, *stamp, track.start, track.duration]


def decode_track(track: Track, sample_rate: int) -> Item:
    """A track's samples, (samples,) int16, or why it is skipped."""
    assert track.path is not None, f"{track.name} has no file"
    try:
        return audio.read_audio(track.path, sample_rate, track.start, track.duration)
    except BadAudio as bad:
        log.warning("skipped %s: %s", display_name(track), bad)
        return bad.reason


def warn_of_short_slices(store: Store, catalogue: Catalogue) -> None:
    """Log how many tracks end before their ``start + duration``."""
    cut = [track for track in catalogue.tracks if track.duration is not None]
    if not cut:
        return
    seconds = (store.lengths(torch.arange(len(store.names))) / store.rate).tolist()
    length = dict(zip(store.names, seconds, strict=True))
    missing = {
        track.name: track.duration - length[track.name]
        for track in cut
        if track.duration is not None and track.name in length
    }
    short = [name for name, value in missing.items() if value > SLACK]
    if short:
        worst = max(short, key=missing.__getitem__)
        log.warning(
            "%d of %d tracks end before their start + duration: %s has %.2f of %.2f s",
            len(short), len(catalogue.tracks), worst, length[worst], length[worst] + missing[worst],
        )  # fmt: skip


def import_archive(catalogue: Catalogue, archive: Path, cache: Path) -> Store:
    """The store of the catalogue's tracks in a log-mel archive, rows (columns, n_mels).

    Raises:
        UserError: if the archive is damaged, or its arrays have the wrong type or shape.
    """
    names = [track.name for track in catalogue.tracks]
    inputs = [str(archive.absolute()), *file_stamp(archive), names]
    key = Key("logmel", {"archive": True}, inputs)
    if (store := open_store(cache, key)) is not None:
        return store
    arrays = read_arrays(archive, "mel_u8", "track")
    mel, tracks = arrays["mel_u8"], arrays["track"].tolist()
    if mel.ndim != 3 or mel.dtype != "uint8" or len(mel) != len(tracks) or not mel.size:
        raise UserError(f"{archive} holds mel_u8 of {mel.dtype}{mel.shape}; uint8 (tracks, bands, columns) is needed")
    index = {name: row for row, name in enumerate(tracks)}
    return build_store(
        cache, key, ARCHIVE_RATE, names, lambda span: (mel[index[name]].T for name in names[span]), "importing"
    )
