"""Which tracks train, validate and test. Splits are of tracks, and never look at what is heard in them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genre.data.catalogue import Catalogue, Track, parse_genres, read_table
from genre.data.gtzan import fault_filtered
from genre.errors import UserError

log = logging.getLogger(__name__)

SUBSETS = ("train", "val", "test")
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}  # of the tracks of each genre (source document)
DRAWN = ("random", "artist")
KINDS = (*DRAWN, "fault_filtered", "column")
SPELLINGS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Split:
    """How tracks are divided.

    Args:
        kind: 'random' (70/10/20 % of each genre), 'fault_filtered' (GTZAN's lists), 'artist' (no artist on two sides)
            or 'column' (the catalogue's own column ``split``).
        seed: draws the split, and nothing else.
        hold_out: a CSV with a column ``track``: these are in neither training nor validation and form the test subset,
            with the genres that its column ``genres`` gives.
        group_duplicates: whether recordings that a collection holds more than once stay on one side.
    """

    kind: str = "random"
    seed: int = 0
    hold_out: str | None = None
    group_duplicates: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"split.kind={self.kind} is not one of {', '.join(KINDS)}")
        if self.group_duplicates and self.kind not in DRAWN:
            raise ValueError(
                f"split.group_duplicates=true needs a split that is drawn; split={self.kind} lists its tracks"
            )

    def assign(self, catalogue: Catalogue, copies: Iterable[Iterable[str]] = ()) -> tuple[Catalogue, dict[str, str]]:
        """Divide a catalogue.

        Args:
            copies: groups of tracks that hold the same recording, for ``group_duplicates``.

        Returns:
            the catalogue less the tracks that belong to no subset, which it lists as skipped; and track -> subset.

        Raises:
            UserError: if a genre has fewer than 3 tracks (artists), or none is left to train.
        """
        held = read_held_out(self.hold_out, catalogue) if self.hold_out else {}
        catalogue = replace_tracks(catalogue, held)
        if self.kind in DRAWN:
            subsets, left_out = self.drawn(catalogue, held, copies if self.group_duplicates else ())
        else:
            subsets, left_out = self.listed(catalogue, held)
        if "train" not in subsets.values():
            raise UserError(f"split={self.kind} leaves no track to train on; give it other tracks or lists")
        return catalogue.without(left_out), subsets

    def drawn(
        self, catalogue: Catalogue, held: Mapping[str, Track], copies: Iterable[Iterable[str]]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Draw the subsets: track -> subset, and track -> why it is in none."""
        own = artist_group if self.kind == "artist" else lambda track: track.name
        group = merge_groups({track.name: own(track) for track in catalogue.tracks}, copies)
        heard = {group[name] for name in held}
        reason = f"{'by an artist' if self.kind == 'artist' else 'the same recording as one'} of the held-out tracks"
        left_out = {t.name: reason for t in catalogue.tracks if group[t.name] in heard and t.name not in held}
        rest = [track for track in catalogue.tracks if track.name not in held and track.name not in left_out]
        if self.kind == "artist":
            alone = sum(not track.artist for track in rest)
            log.info("%d of %d tracks have no artist and count as one each", alone, len(rest))
        shares = {name: share for name, share in SHARES.items() if not held or name != "test"}
        groups: dict[str, list[Track]] = {}
        for track in rest:
            groups.setdefault(group[track.name], []).append(track)
        check_group_counts(groups, len(shares), self.kind)
        subsets = stratified_split(groups, shares, np.random.default_rng(self.seed))
        return subsets | dict.fromkeys(held, "test"), left_out

    def listed(self, catalogue: Catalogue, held: Mapping[str, Track]) -> tuple[dict[str, str], dict[str, str]]:
        """Take the subsets from lists: track -> subset, and track -> why it is in none."""
        lists = fault_filtered() if self.kind == "fault_filtered" else column_subsets(catalogue)
        subsets = dict.fromkeys(held, "test")
        left_out = {}
        for name in (track.name for track in catalogue.tracks if track.name not in held):
            if name not in lists:
                left_out[name] = f"in none of the lists of split={self.kind}"
            elif held and lists[name] == "test":
                left_out[name] = f"a test track of split={self.kind}, but split.hold_out is the test subset"
            else:
                subsets[name] = lists[name]
        return subsets, left_out


def merge_groups(groups: Mapping[str, str], copies: Iterable[Iterable[str]]) -> dict[str, str]:
    """Track -> group, where all groups of tracks that hold the same recording have become one."""
    result = dict(groups)
    for names in copies:
        together = {result[name] for name in names if name in result}
        if len(together) > 1:
            result = {name: min(together) if group in together else group for name, group in result.items()}
    return result


def artist_group(track: Track) -> str:
    """The group that must stay together; a track without an artist is one of its own."""
    return f"artist {track.artist}" if track.artist else f"track {track.name}"


def read_held_out(path: str, catalogue: Catalogue) -> dict[str, Track]:
    """The catalogue's tracks that a CSV names, with the genres it gives them.

    Raises:
        UserError: if it names none of them.
    """
    rows = {row["track"]: row for row in read_table(Path(path).expanduser(), ("track",))}
    held = {
        track.name: replace(track, genres=parse_genres(rows[track.name]["genres"]))
        if rows[track.name].get("genres")
        else track
        for track in catalogue.tracks
        if track.name in rows
    }
    if not held:
        raise UserError(f"split.hold_out={path} names none of the catalogue's {len(catalogue.tracks)} tracks")
    if absent := len(rows) - len(held):
        log.warning("%d of %d tracks of %s are not in the data", absent, len(rows), path)
    return held


def replace_tracks(catalogue: Catalogue, tracks: Mapping[str, Track]) -> Catalogue:
    """The catalogue with some of its tracks replaced by name."""
    return replace(catalogue, tracks=tuple(tracks.get(track.name, track) for track in catalogue.tracks))


def column_subsets(catalogue: Catalogue) -> dict[str, str]:
    """Track -> subset by the catalogue's own column.

    Raises:
        UserError: if the column is empty, or says something else.
    """
    lists = {}
    for track in (track for track in catalogue.tracks if track.split):
        if track.split.lower() not in SPELLINGS:
            raise UserError(f"{track.name} has split '{track.split}'; the column split knows train, val and test")
        lists[track.name] = SPELLINGS[track.split.lower()]
    if not lists:
        raise UserError("split=column needs a catalogue with a column split that says train, val or test")
    return lists


def check_group_counts(groups: Mapping[str, Iterable[Track]], needed: int, kind: str) -> None:
    """Refuse a genre that cannot stand on every side.

    Raises:
        UserError: naming the genre.
    """
    counts: dict[str, int] = {}
    for tracks in groups.values():
        for genre in {track.genres[0] for track in tracks}:
            counts[genre] = counts.get(genre, 0) + 1
    if len(counts) < 2:
        raise UserError(f"only one genre ({', '.join(counts)}) has usable tracks; a classifier needs two or more")
    unit = "artists" if kind == "artist" else "tracks"
    for genre, count in sorted(counts.items()):
        if count < needed:
            raise UserError(f"genre {genre} has {count} {unit}; split={kind} needs {needed}, one for each subset")


def stratified_split(
    groups: Mapping[str, list[Track]], shares: Mapping[str, float], generator: np.random.Generator
) -> dict[str, str]:
    """Deal groups of tracks to subsets so that each genre comes as near to its shares as whole groups allow.

    The largest groups go first, each to the subset that still lacks most of its genres.

    Args:
        groups: group -> its tracks, which stay together.
        shares: subset -> its share, in any unit.

    Returns:
        track -> subset.
    """
    names = sorted(groups)
    order = sorted(generator.permutation(len(names)), key=lambda place: -len(groups[names[place]]))
    wanted = quotas([track for tracks in groups.values() for track in tracks], shares)
    subsets: dict[str, str] = {}
    for tracks in (groups[names[place]] for place in order):
        lacking = {subset: sum(wanted[subset][track.genres[0]] for track in tracks) for subset in wanted}
        subset = max(lacking, key=lambda name: lacking[name])
        for track in tracks:
            wanted[subset][track.genres[0]] -= 1
            subsets[track.name] = subset
    return subsets


def quotas(tracks: Iterable[Track], shares: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """How many tracks of each primary genre a subset should get: at least one, the first subset taking the rest."""
    counts: dict[str, int] = {}
    for track in tracks:
        counts[track.genres[0]] = counts.get(track.genres[0], 0) + 1
    total = sum(shares.values())
    first, *others = shares
    wanted = {name: {g: max(1.0, n * shares[name] / total) for g, n in counts.items()} for name in others}
    return {first: {g: n - sum(wanted[name][g] for name in others) for g, n in counts.items()}} | wanted
