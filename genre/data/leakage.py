"""Leakage: recordings and artists that appear in more than one subset and make results look too good."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from genre.data.catalogue import Catalogue
from genre.data.duplicates import Pair
from genre.files import write_csv

log = logging.getLogger(__name__)

HEADER = ("kind", "track", "subset", "other", "other_subset", "correlation")


def leaked_recordings(pairs: Iterable[Pair], subsets: Mapping[str, str]) -> list[Pair]:
    """Return the pairs of duplicates whose tracks are in different subsets."""
    return [
        pair
        for pair in pairs
        if pair.one in subsets and pair.other in subsets and subsets[pair.one] != subsets[pair.other]
    ]


def leaked_artists(catalogue: Catalogue, subsets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the artists in more than one subset: artist -> subset -> the first of the artist's tracks there."""
    artists: dict[str, dict[str, str]] = {}
    for track in catalogue.tracks:
        if track.artist:
            artists.setdefault(track.artist, {}).setdefault(subsets[track.name], track.name)
    return {artist: tracks for artist, tracks in artists.items() if len(tracks) > 1}


def leak_counts(pairs: Iterable[Pair], catalogue: Catalogue, subsets: Mapping[str, str]) -> dict[str, int]:
    """Return the numbers of leaked recordings and artists, for metrics.json."""
    return {"recordings": len(leaked_recordings(pairs, subsets)), "artists": len(leaked_artists(catalogue, subsets))}


def report_leakage(folder: Path, pairs: Iterable[Pair], catalogue: Catalogue, subsets: Mapping[str, str]) -> None:
    """Write leaks.csv, and log a warning per kind of leakage."""
    same, shared = leaked_recordings(pairs, subsets), leaked_artists(catalogue, subsets)
    rows = [
        ("recording", pair.one, subsets[pair.one], pair.other, subsets[pair.other], f"{pair.correlation:.3f}")
        for pair in same
    ]
    for artist in sorted(shared):
        (subset, track), (other_subset, other) = list(shared[artist].items())[:2]
        rows.append((f"artist {artist}", track, subset, other, other_subset, ""))
    write_csv(folder / "leaks.csv", HEADER, rows)
    if same:
        first = same[0]
        log.warning(
            "pairs of duplicate tracks in different subsets: %d (first: %s in %s, %s in %s); "
            "split.group_duplicates=true keeps duplicates in one subset",
            len(same), first.one, subsets[first.one], first.other, subsets[first.other],
        )  # fmt: skip
    if shared:
        log.warning(
            "artists in more than one subset: %d; split=artist keeps each artist in one subset (a harder test)",
            len(shared),
        )
