"""What stands on two sides of a split and makes its figures too good: the same recording, the same artist."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from genre.data.catalogue import Catalogue
from genre.data.duplicates import Pair
from genre.files import write_csv

log = logging.getLogger(__name__)

HEADER = ("kind", "track", "subset", "other", "other_subset", "correlation")


def leaked_recordings(pairs: Iterable[Pair], subsets: Mapping[str, str]) -> list[Pair]:
    """The pairs of the same recording that stand on two sides."""
    return [
        pair
        for pair in pairs
        if pair.one in subsets and pair.other in subsets and subsets[pair.one] != subsets[pair.other]
    ]


def leaked_artists(catalogue: Catalogue, subsets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The artists that stand on two sides: artist -> subset -> one of the artist's tracks there."""
    sides: dict[str, dict[str, str]] = {}
    for track in catalogue.tracks:
        if track.artist:
            sides.setdefault(track.artist, {}).setdefault(subsets[track.name], track.name)
    return {artist: found for artist, found in sides.items() if len(found) > 1}


def leak_counts(pairs: Iterable[Pair], catalogue: Catalogue, subsets: Mapping[str, str]) -> dict[str, int]:
    """How much leaks, for metrics.json."""
    return {"recordings": len(leaked_recordings(pairs, subsets)), "artists": len(leaked_artists(catalogue, subsets))}


def report_leakage(folder: Path, pairs: Iterable[Pair], catalogue: Catalogue, subsets: Mapping[str, str]) -> None:
    """Warn of what leaks, and list it in leaks.csv."""
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
        log.warning(
            "%d pairs of the same recording stand on two sides of the split (the first: %s in %s, %s in %s); "
            "split.group_duplicates=true keeps them together", len(same), *rows[0][1:3], *rows[0][3:5],
        )  # fmt: skip
    if shared:
        log.warning(
            "%d artists stand on two sides of the split; split=artist keeps each on one, and is harder", len(shared)
        )
