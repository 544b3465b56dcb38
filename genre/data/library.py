"""One's own library as it is: genre, artist, album, year and title from the files' own tags."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from genre.data.audio import readable_suffixes
from genre.data.catalogue import (
    Catalogue,
    Skipped,
    Track,
    audio_files,
    build_catalogue,
    count_skipped,
    existing_folder,
    printable_name,
)
from genre.data.genre_names import GenreNames, read_names, shown_spellings
from genre.data.genre_selection import select_genres
from genre.data.tag_cache import library_tags
from genre.errors import SkipKind, SkipReason, UserError
from genre.ranges import Count, checked
from genre.tagging.read import Tags

log = logging.getLogger(__name__)

NAMED_GENRES = 20  # in a line of the log


@checked
def read_library(
    root: str | Path,
    few: Count = 5,
    few_artists: Count = 3,
    genres_as: str | Path | None = None,
    folder: str | Path | None = None,
) -> Catalogue:
    """Read the tags of all audio files below ``root``; a track is named by its path there.

    A track has the genres of its tag, by one name each (``genre_names``), without those that have too little music; the
    first has enough by itself. ``extra`` has album, year and title.

    Args:
        few: a genre with fewer tracks is left out.
        few_artists: a genre that is the first of tracks of fewer artists is left out, too: each subset needs one.
        genres_as: a CSV of ``genre`` and ``as``, for names of one's own; nothing in ``as`` leaves a genre out.
        folder: where the tags are kept for the next time; None keeps none.

    Raises:
        UserError: if there is no such folder or table, or no genre with enough music.
    """
    root = existing_folder(root, "data.root")
    names = GenreNames(read_names(Path(genres_as).expanduser()) if genres_as else None)
    files, skipped = audio_files(root, readable_suffixes())
    tags = library_tags(root, files, Path(folder).expanduser() if folder else None)
    tracks, untagged = tagged_tracks(root, tags, names)
    tracks = with_shown_spellings(tracks)
    arranged, too_little = select_genres(tracks, few, few_artists)
    skipped += untagged + [
        Skipped(str(track.path), SkipKind.FEW_TRACKS, why_left_out(track.genres, too_little))
        for track, kept in zip(tracks, arranged, strict=True)
        if not kept.genres
    ]
    usable = [track for track in arranged if track.genres]
    log_genres(usable, too_little, untagged)
    if not usable:
        raise UserError(
            f"no genre in the tags of {root} has {few} tracks of {few_artists} artists"
            f" ({count_skipped(skipped) or 'there is no audio'}); data.root must contain tagged music"
        )
    return build_catalogue(usable, skipped)


def tagged_tracks(
    root: Path, tags: Mapping[Path, Tags | SkipReason], names: GenreNames
) -> tuple[list[Track], list[Skipped]]:
    """The files with a genre, as tracks; and those without one, or whose tags cannot be read."""
    tracks, untagged = [], []
    for file, own in tags.items():
        if isinstance(own, SkipReason):
            untagged.append(Skipped(str(file), *own))
        elif genres := names.names(own.genres):
            extra = {"album": own.album, "year": own.year, "title": own.title}
            name = printable_name(file.relative_to(root).as_posix())
            tracks.append(Track(name, genres, file, own.artist, extra=extra))
        else:
            found = f"'{'; '.join(own.genres)}' names no genre" if own.genres else "no genre in its tags"
            untagged.append(Skipped(str(file), SkipKind.NO_GENRE, found))
    return tracks, untagged


def with_shown_spellings(tracks: Sequence[Track]) -> list[Track]:
    """The tracks with one spelling per genre."""
    shown = shown_spellings(genre for track in tracks for genre in track.genres)
    return [replace(track, genres=tuple(dict.fromkeys(shown[genre] for genre in track.genres))) for track in tracks]


def why_left_out(genres: Iterable[str], too_little: Mapping[str, str]) -> str:
    """'too little music: polka (3 tracks)': why no genre of a track is kept."""
    return f"too little music: {', '.join(f'{genre} ({too_little[genre]})' for genre in genres)}"


def log_genres(tracks: Sequence[Track], too_little: Mapping[str, str], untagged: Sequence[Skipped]) -> None:
    """Log the genres that were found, and what is left out."""
    counts = Counter(genre for track in tracks for genre in track.genres)
    found = first_items(f"{genre} {count}" for genre, count in counts.most_common())
    log.info("%d genres in the tags of %d tracks: %s", len(counts), len(tracks), found)
    if untagged:
        log.info("without a genre: %s", count_skipped(untagged))
    if left_out := sorted(too_little.keys() - counts.keys()):
        few = first_items(f"{genre} ({too_little[genre]})" for genre in left_out)
        log.info("left out because of too little music: %s", few)
    if others := counts.keys() - {track.genres[0] for track in tracks}:
        named = first_items(f"{genre} {counts[genre]}" for genre in sorted(others))
        log.info("never the first genre of a track, so that only task=multilabel learns them: %s", named)


def first_items(items: Iterable[str]) -> str:
    """The items, separated by commas; of many, the first and the number of others."""
    texts = list(items)
    rest = f" and {len(texts) - NAMED_GENRES} more" if len(texts) > NAMED_GENRES else ""
    return ", ".join(texts[:NAMED_GENRES]) + rest
