"""The music that a run is evaluated on: its own with the subsets that it recorded, or other, unseen music."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from genre.config.build import build_data, read_catalogue
from genre.config.settings import DataSettings, TrainSettings
from genre.data.catalogue import Catalogue, Skipped, display_name
from genre.data.content import track_contents
from genre.data.datamodule import MAX_COMPARED_TRACKS, MusicData
from genre.data.duplicates import COMPARED_SECONDS, Pair, comparison_log_mels, similar_tracks_between
from genre.data.sources import first_store
from genre.data.split_record import SPLITS, SplitRecord, read_split
from genre.data.splits import read_held_out, replace_tracks
from genre.errors import SkipKind, SkipReason, UserError
from genre.files import read_csv_rows
from genre.models.checkpoint import Checkpoint

log = logging.getLogger(__name__)

NAMED_TRACKS = 3  # at most, in a sentence


def open_own_music(
    saved: Checkpoint, run: TrainSettings, subset: str, device: torch.device, network: nn.Module
) -> MusicData:
    """Open the music of a run with the subsets in its splits.csv; log which tracks are gone, new or changed.

    Raises:
        UserError: if there is no splits.csv, or a track of the subset has changed.
    """
    record = recorded_split(saved)
    catalogue = own_catalogue(run, record.subsets)
    known = with_known_genres(catalogue, saved.genres, run.task.build().multilabel)
    data = build_data(run, known, record.subsets, device, network, saved.genres)
    data.setup()
    refuse_changed_tracks(record, data, subset)
    assert saved.folder is not None
    report_new_tracks(catalogue, record, saved.folder)
    report_missing_tracks(record, data)
    return data


def recorded_split(saved: Checkpoint) -> SplitRecord:
    """Return the split of a checkpoint's run.

    Raises:
        UserError: if the checkpoint lies by itself, or its run has no splits.csv.
    """
    record = read_split(saved.folder) if saved.folder else None
    if record is None:
        where = f"{saved.folder} has no {SPLITS}" if saved.folder else f"{saved.path} lies outside of its run folder"
        raise UserError(f"{where}, so the subsets are unknown; give the run folder, or other music with data=…")
    return record


def own_catalogue(run: TrainSettings, recorded: Collection[str]) -> Catalogue:
    """Return the catalogue of a run: the tracks that it would train on today, and those that it recorded."""
    data = run.data
    if "download" in data.reader.arguments:  # nothing is fetched from the addresses in a checkpoint
        data = run.replace(data__download=False).data
    catalogue = read_catalogue(data.model_copy(update={"limit_tracks": None}))
    if data.limit_tracks:
        chosen = {track.name for track in catalogue.limited(data.limit_tracks).tracks} | {*recorded}
        catalogue = replace(catalogue, tracks=tuple(track for track in catalogue.tracks if track.name in chosen))
    return replace_tracks(catalogue, read_held_out(run.split.hold_out, catalogue)) if run.split.hold_out else catalogue


def refuse_changed_tracks(record: SplitRecord, data: MusicData, subset: str) -> None:
    """Compare the content of all tracks with that in training; log the changed ones of other subsets.

    Raises:
        UserError: if a track of the subset has changed.
    """
    if not record.contents:
        log.warning("the run recorded no content of its tracks; whether one has changed since training is unknown")
        return
    changed = record.changed(track_contents(data.catalogue, data.first, data.cache))
    affected = [name for name in changed if subset in ("all", data.subsets[name])]
    if affected:
        raise UserError(
            f"{tracks_of(affected)} of subset={subset} changed since the run was trained; restore the music, or "
            "evaluate it as other music with data=…"
        )
    if changed:
        log.warning("%s of other subsets changed since the run was trained", tracks_of(changed))


def recorded_tracks(data: MusicData, subset: str) -> int:
    """Return how many tracks a subset had when the run was trained; of other music, how many it has."""
    subsets = data.split if isinstance(data.split, Mapping) else data.subsets
    return sum(subset in ("all", each) for each in subsets.values())


def report_new_tracks(catalogue: Catalogue, record: SplitRecord, run: Path) -> None:
    """Log how many tracks of the catalogue were not there when the run was trained."""
    skipped = {path for path, *_ in read_csv_rows(run / "skipped.csv")[1:]}
    new = [
        track.name
        for track in catalogue.tracks
        if track.name not in record.subsets and display_name(track) not in skipped
    ]
    if new:
        log.warning("left out %s, new since the run was trained", tracks_of(new))


def report_missing_tracks(record: SplitRecord, data: MusicData) -> None:
    """Log how many tracks of the run are gone or unusable, and list them as skipped."""
    missing = sorted(record.subsets.keys() - data.subsets.keys())
    if not missing:
        return
    log.warning("missing %s of the run's %d", tracks_of(missing), len(record.subsets))
    listed = (Skipped(name, SkipKind.NOT_IN_DATA, f"missing ({record.subsets[name]} track)") for name in missing)
    data.catalogue = replace(data.catalogue, skipped=(*data.catalogue.skipped, *listed))


def tracks_of(names: Sequence[str]) -> str:
    """Return '1 track (a.wav)' or '5 tracks (a.wav, b.wav, c.wav, …)'."""
    named = ", ".join(names[:NAMED_TRACKS]) + (", …" if len(names) > NAMED_TRACKS else "")
    return f"{len(names)} track{'' if len(names) == 1 else 's'} ({named})"


def open_other_music(
    saved: Checkpoint, run: TrainSettings, music: DataSettings, device: torch.device, network: nn.Module, unseen: bool
) -> MusicData:
    """Open another catalogue, all of it in the subset 'test'.

    Args:
        unseen: whether tracks that the run trained or validated on are left out.

    Raises:
        UserError: if no track has a genre that the run knows, or the run has seen all of them.
    """
    catalogue = with_known_genres(
        read_catalogue(music).spelled_like(saved.genres), saved.genres, run.task.build().multilabel
    )
    with_music = run.model_copy(update={"data": music})
    data = build_data(with_music, catalogue, None, device, network, saved.genres)
    data.setup()
    if unseen:
        exclude_seen_tracks(data, run, seen_by(saved))
    return data


def seen_by(saved: Checkpoint) -> SplitRecord | None:
    """Return the tracks that a network has seen, from its run's folder or its own file; None if neither lists them."""
    if saved.folder:
        return read_split(saved.folder)
    return SplitRecord(dict.fromkeys(saved.trained_on, "train"), {}, {}) if saved.trained_on else None


def with_known_genres(catalogue: Catalogue, genres: tuple[str, ...], multilabel: bool) -> Catalogue:
    """Return the tracks whose genres the run knows; only the first genre matters if a track has one genre.

    Raises:
        UserError: if there are none.
    """
    unknown = {}
    for track in catalogue.tracks:
        relevant = track.genres if multilabel else track.genres[:1]
        if other := [genre for genre in relevant if genre not in genres]:
            unknown[track.name] = SkipReason(SkipKind.UNKNOWN_GENRE, f"the run does not know the genre {other[0]}")
    if len(unknown) == len(catalogue.tracks):
        raise UserError(f"the run knows {', '.join(genres)}; the catalogue has {', '.join(catalogue.genres)}")
    return catalogue.without(unknown)


def exclude_seen_tracks(data: MusicData, run: TrainSettings, record: SplitRecord | None) -> None:
    """Leave out the tracks that a run trained or validated on: by name, by content and by near-duplicate recordings.

    Raises:
        UserError: if none remains.
    """
    if record is None:
        log.warning("the checkpoint lies by itself: which of these tracks it was trained on is unknown")
        return
    reasons = {pair.one: same_recording(pair, record) for pair in near_duplicates(data, run, record)}
    contents = track_contents(data.catalogue, data.first, data.cache)
    for name, content in contents.items():
        if name in record.seen_subsets:
            reasons[name] = seen_by_run(f"seen by the run ({record.seen_subsets[name]})")
        elif seen := record.seen_track(content):
            reasons[name] = seen_by_run(f"seen by the run as {seen.name} ({seen.subset})")
    data.exclude(reasons)
    log.info("skipped %d of %d tracks that the run trained or validated on", len(reasons), len(contents))
    if not data.subsets:
        raise UserError("the run has seen every track of this catalogue; exclude_seen=false evaluates on them anyway")


def seen_by_run(text: str) -> SkipReason:
    """Return the reason of a track that a run trained or validated on."""
    return SkipReason(SkipKind.SEEN_IN_TRAINING, text)


def same_recording(pair: Pair, record: SplitRecord) -> SkipReason:
    """Return the reason of a near duplicate of a training or validation track."""
    subset = record.seen_subsets[pair.other]
    return seen_by_run(f"the same recording as {pair.other} ({subset}), correlation {pair.correlation:.3f}")


def near_duplicates(data: MusicData, run: TrainSettings, record: SplitRecord) -> list[Pair]:
    """Return the pairs of other music with the run's training and validation tracks that sound the same.

    There are none, and a line in the log, if the run's own music cannot be read or is of another kind.
    """
    try:
        own = own_catalogue(run, record.subsets)
        if bool(own.archive) != bool(data.catalogue.archive):
            raise UserError("one is audio, the other an archive of log-mels")
        if max(len(own.tracks), len(data.catalogue.tracks)) > MAX_COMPARED_TRACKS:
            raise UserError(f"one has more than {MAX_COMPARED_TRACKS} tracks")
        first = first_store(own, data.pipeline.spectrogram.sample_rate, run.data.cache)
    except UserError as error:
        log.warning(
            "not compared with the recordings that the run was trained on, only with their names and hashes: %s", error
        )
        return []
    other, _ = comparison_log_mels(data.first, data.cache, COMPARED_SECONDS)
    known, _ = comparison_log_mels(first, run.data.cache, COMPARED_SECONDS)
    return [pair for pair in similar_tracks_between(other, known) if pair.other in record.seen_subsets]
