"""Assign tracks to the subsets train, val and test; only the catalogue is read, never the audio."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genre.data.catalogue import Catalogue, Track, read_annotations
from genre.data.gtzan import fault_filtered
from genre.data.spelling import comparison_key, spell_like
from genre.errors import SkipKind, SkipReason, UserError
from genre.ranges import FoldCount, PartShare, PositiveShare, Seed, WholeNumber, checked_dataclass

log = logging.getLogger(__name__)

SUBSETS = ("train", "val", "test")
RANDOM_KINDS = ("random", "artist")
FOLD_COLUMN = "split_"  # before the number of a fold
SPELLINGS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@checked_dataclass
class Split:
    """Assigns the tracks of a catalogue to subsets.

    Args:
        kind: 'random' (shares of each genre), 'fault_filtered' (GTZAN's lists), 'artist' (each artist in one subset) or
            'column' (the catalogue's column ``split``; its column ``split_I`` for ``fold`` I).
        seed: of the random draw.
        val_share: share of each genre's tracks that validate in a random draw; 0 for none.
        test_share: share that is tested; with folds, 1 / ``folds`` is.
        hold_out: CSV with a column ``track``; these tracks are the test subset, with the genres of its column
            ``genres`` if it has one, and no other track is.
        group_duplicates: True to put all tracks with the same recording into one subset; with folds, always.
        folds: number of folds for cross-validation; every track is a test track in one of them.
        fold: the fold that is tested, from 0; with 'column', which of a collection's official splits is used.
        train_share: share of the training tracks that are used; those of a smaller share are among those of a larger.
        among: 'fault_filtered' to draw only from the train and val tracks of GTZAN's fault-filtered lists, so that
            their test tracks decide nothing.
        untrained_genres: of a genre without training tracks: 'refuse' it, or 'drop' it with its tracks.
    """

    kind: Literal["random", "artist", "fault_filtered", "column"] = "random"
    seed: Seed = 0
    val_share: PartShare = 0.1  # the paper's shares
    test_share: PartShare = 0.2
    hold_out: str | None = None
    group_duplicates: bool = False
    folds: FoldCount | None = None
    fold: WholeNumber | None = None
    train_share: PositiveShare = 1.0
    among: Literal["fault_filtered"] | None = None
    untrained_genres: Literal["refuse", "drop"] = "refuse"

    def __post_init__(self) -> None:
        drawn = self.kind in RANDOM_KINDS
        if self.group_duplicates and not drawn:
            raise ValueError(
                f"split.group_duplicates=true needs split=random or split=artist; split={self.kind} lists its tracks"
            )
        if self.among and not drawn:
            raise ValueError(f"split.among={self.among} needs split=random or split=artist, which draw")
        if self.val_share + self.test_share >= 1:
            raise ValueError("split.val_share and split.test_share leave nothing to train on; give a sum under 1")
        lists_folds = self.kind == "column" and self.folds is None
        if (self.folds is None) != (self.fold is None) and not lists_folds:
            raise ValueError("split.folds and split.fold go together, such as split.folds=5 split.fold=0")
        if self.folds is not None and self.fold is not None:
            if self.fold >= self.folds:
                raise ValueError(f"split.fold={self.fold} must be a number from 0 to {self.folds - 1}")
            if not drawn or self.hold_out:
                raise ValueError("split.folds needs split=random or split=artist, without split.hold_out")

    @property
    def groups_recordings(self) -> bool:
        """True if all tracks with the same recording are in one subset."""
        return self.group_duplicates or self.folds is not None

    @property
    def shares(self) -> dict[str, float]:
        """Subset -> its share of the tracks of each genre in a random draw; without empty subsets."""
        test = self.test_share if self.folds is None else 1 / self.folds
        shares = {"train": round(1 - self.val_share - test, 9), "val": self.val_share, "test": test}
        return {subset: share for subset, share in shares.items() if share}

    def check(self, catalogue: Catalogue) -> None:
        """Check what can be checked before the music is decoded, and warn of held-out tracks that are not there.

        Raises:
            UserError: if no track has an artist, or the column or the table of held-out tracks cannot be used.
        """
        if self.kind == "artist":
            check_artists(catalogue)
        if self.kind == "column":
            column_subsets(catalogue, self.fold)
        if self.hold_out:
            listed, found = read_annotations(self.hold_out)[0], read_held_out(self.hold_out, catalogue)
            if absent := len(listed) - len(found):
                log.warning("%d of %d tracks of %s are not in the data", absent, len(listed), self.hold_out)

    def description(self, catalogue: Catalogue) -> str:
        """'random (seed 0)', 'artist (seed 0, fold 1 of 5)'; and how many tracks have no artist, if it matters."""
        fold = "" if self.fold is None else f", fold {self.fold}" + (f" of {self.folds}" if self.folds else "")
        share = f", {self.train_share:.4g} of the training tracks" if self.train_share < 1 else ""
        unknown = self.without_artist(catalogue)
        note = f", {unknown} of {len(catalogue.tracks)} tracks without artist" if unknown else ""
        among = ", fault-filtered train and val" if self.among else ""
        return f"{self.kind} (seed {self.seed}{fold}{share}{among}{note})"

    def without_artist(self, catalogue: Catalogue) -> int:
        """Number of tracks that split=artist cannot keep together, because their artist is unknown; else 0."""
        return sum(not track.artist for track in catalogue.tracks) if self.kind == "artist" else 0

    def assign(
        self, catalogue: Catalogue, duplicates: Iterable[Iterable[str]] = ()
    ) -> tuple[Catalogue, dict[str, str]]:
        """Assign each track to a subset, all training tracks included; ``left_out`` says which of them are not used.

        Args:
            duplicates: groups of tracks with the same recording, for ``group_duplicates``.

        Returns:
            The catalogue without the tracks of no subset, which it lists as skipped; and track -> subset.

        Raises:
            UserError: as ``check``; if a genre has fewer tracks (or artists) than there are subsets, or no track is
                left to train on.
        """
        held_out = read_held_out(self.hold_out, catalogue) if self.hold_out else {}
        catalogue = replace_tracks(catalogue, held_out)
        if self.kind in RANDOM_KINDS:
            subsets, skipped = self.draw(catalogue, held_out, duplicates)
        else:
            subsets, skipped = self.look_up(catalogue, held_out)
        if "train" not in subsets.values():
            raise UserError(f"split={self.kind} leaves no track to train on; give it other tracks or lists")
        return catalogue.without(skipped), subsets

    def draw(
        self, catalogue: Catalogue, held_out: Mapping[str, Track], duplicates: Iterable[Iterable[str]]
    ) -> tuple[dict[str, str], dict[str, SkipReason]]:
        """Draw the subsets at random: track -> subset, and track -> why it is in none."""
        if self.kind == "artist":
            check_artists(catalogue)
        group_of = self.group_tracks(catalogue, duplicates)
        skipped = self.unlisted(catalogue, held_out) | self.held_out_relatives(catalogue, held_out, group_of)
        rest = [track for track in catalogue.tracks if track.name not in held_out and track.name not in skipped]
        if unknown := self.without_artist(catalogue):
            log.warning("%d of %d tracks have no artist; each is a group of its own", unknown, len(catalogue.tracks))
        groups: dict[str, list[Track]] = {}
        for track in rest:
            groups.setdefault(group_of[track.name], []).append(track)
        shares = {subset: share for subset, share in self.shares.items() if not held_out or subset != "test"}
        check_group_counts(groups, len(shares), self.kind)
        in_fold = self.fold_tracks(groups)
        if in_fold:
            shares.pop("test")
            groups = {name: tracks for name, tracks in groups.items() if tracks[0].name not in in_fold}
        subsets = stratified_split(groups, shares, np.random.default_rng(self.seed))
        return subsets | dict.fromkeys([*held_out, *in_fold], "test"), skipped

    def unlisted(self, catalogue: Catalogue, held_out: Mapping[str, Track]) -> dict[str, SkipReason]:
        """Tracks that ``among`` leaves out -> why."""
        if self.among is None:
            return {}
        reason = SkipReason(SkipKind.NOT_IN_SPLIT, f"not among the train and val tracks of split={self.among}")
        drawn = {name for name, subset in fault_filtered().items() if subset != "test"} | set(held_out)
        return {track.name: reason for track in catalogue.tracks if track.name not in drawn}

    def fold_tracks(self, groups: Mapping[str, Iterable[Track]]) -> set[str]:
        """Names of the tracks in the fold that is tested; empty without folds.

        scikit-learn's StratifiedGroupKFold keeps groups together and spreads each genre over the folds.

        Raises:
            UserError: if no genre has a track per fold.
        """
        if self.folds is None or self.fold is None:
            return set()
        from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

        rows = sorted((track.name, track.genres[0], group) for group, tracks in groups.items() for track in tracks)
        names, genres, group_of = zip(*rows, strict=True)
        if max(Counter(genres).values()) < self.folds:
            raise UserError(f"no genre has {self.folds} tracks, one per fold; lower the number of folds, or add tracks")
        folds = StratifiedGroupKFold(self.folds, shuffle=True, random_state=self.seed)
        tested = list(folds.split(names, genres, group_of))[self.fold][1]
        return {names[row] for row in tested}

    def group_tracks(self, catalogue: Catalogue, duplicates: Iterable[Iterable[str]]) -> dict[str, str]:
        """Track -> group; the tracks of a group go into one subset."""
        own_group = artist_group if self.kind == "artist" else lambda track: track.name
        same_recording = duplicates if self.groups_recordings else ()
        return merge_groups({track.name: own_group(track) for track in catalogue.tracks}, same_recording)

    def left_out(
        self, catalogue: Catalogue, subsets: Mapping[str, str], group_of: Mapping[str, str]
    ) -> dict[str, SkipReason]:
        """Training tracks that ``train_share`` leaves out -> why.

        Whole groups are kept, of each genre about that share of its tracks, and at least one group.

        Args:
            subsets: of the catalogue's tracks.
            group_of: of the same tracks.
        """
        if self.train_share == 1:
            return {}
        groups: dict[str, list[Track]] = {}
        for track in catalogue.tracks:
            if subsets[track.name] == "train":
                groups.setdefault(group_of[track.name], []).append(track)
        ranks = stratified_ranks(groups, np.random.default_rng(self.seed))
        reason = SkipReason(SkipKind.LEFT_OUT, f"left out by split.train_share={self.train_share:g}")
        beyond = [name for name, rank in ranks.items() if rank > self.train_share]
        return {track.name: reason for name in beyond for track in groups[name]}

    def held_out_relatives(
        self, catalogue: Catalogue, held_out: Mapping[str, Track], group_of: Mapping[str, str]
    ) -> dict[str, SkipReason]:
        """Tracks that share a group with a held-out track and are not held out themselves -> why they are skipped."""
        groups = {group_of[name] for name in held_out}
        relation = "by an artist" if self.kind == "artist" else "the same recording as one"
        reason = SkipReason(SkipKind.HELD_OUT, f"{relation} of the held-out tracks")
        names = [track.name for track in catalogue.tracks]
        return {name: reason for name in names if group_of[name] in groups and name not in held_out}

    def look_up(
        self, catalogue: Catalogue, held_out: Mapping[str, Track]
    ) -> tuple[dict[str, str], dict[str, SkipReason]]:
        """Take the subsets from lists: track -> subset, and track -> why it is in none."""
        lists = fault_filtered() if self.kind == "fault_filtered" else column_subsets(catalogue, self.fold)
        subsets = dict.fromkeys(held_out, "test")
        skipped = {}
        for name in (track.name for track in catalogue.tracks if track.name not in held_out):
            if name not in lists:
                skipped[name] = SkipReason(SkipKind.NOT_IN_SPLIT, f"in none of the lists of split={self.kind}")
            elif held_out and lists[name] == "test":
                text = f"a test track of split={self.kind}, but split.hold_out is the test subset"
                skipped[name] = SkipReason(SkipKind.NOT_IN_SPLIT, text)
            else:
                subsets[name] = lists[name]
        return subsets, skipped


def recorded_subsets(catalogue: Catalogue, subsets: Mapping[str, str]) -> tuple[Catalogue, dict[str, str]]:
    """Assign the subsets that a run recorded: the catalogue without other tracks, and track -> subset."""
    new = SkipReason(SkipKind.NOT_IN_SPLIT, "in no subset of the run")
    known = {track.name: subsets[track.name] for track in catalogue.tracks if track.name in subsets}
    return catalogue.without({track.name: new for track in catalogue.tracks if track.name not in known}), known


def merge_groups(group_of: Mapping[str, str], duplicates: Iterable[Iterable[str]]) -> dict[str, str]:
    """Merge the groups that hold the same recording: track -> smallest group name of its connected component.

    Args:
        group_of: track -> group.
        duplicates: tracks with the same recording; those without a group are ignored.
    """
    same = [pair for names in duplicates for pair in pairwise(name for name in names if name in group_of)]
    if not same:
        return dict(group_of)
    groups = sorted(set(group_of.values()))
    index = {group: number for number, group in enumerate(groups)}
    edges = [(index[group_of[one]], index[group_of[other]]) for one, other in same]
    rows, columns = np.array(edges, dtype=int).reshape(-1, 2).T
    adjacency = coo_array((np.ones(len(edges)), (rows, columns)), shape=(len(groups), len(groups)))
    component = connected_components(adjacency, directed=False)[1]
    first = np.unique(component, return_index=True)[1]
    return {name: groups[first[component[index[group]]]] for name, group in group_of.items()}


def check_artists(catalogue: Catalogue) -> None:
    """Raise a UserError if no track has an artist."""
    if not any(track.artist for track in catalogue.tracks):
        raise UserError(
            f"split=artist needs artists, but none of the {len(catalogue.tracks)} tracks has one; give the catalogue a "
            "column artist (data.catalogue=CSV with track and artist) or, with data=library, tags, or use split=random"
        )


def artist_group(track: Track) -> str:
    """Name of the track's group; a track without an artist is a group of its own."""
    return f"artist {track.artist}" if track.artist else f"track {track.name}"


def read_held_out(path: str, catalogue: Catalogue) -> dict[str, Track]:
    """The catalogue's tracks that a CSV lists, with the CSV's genres: name -> track.

    Raises:
        UserError: if the CSV lists none of them.
    """
    notes = read_annotations(path)[0]
    listed = [track for track in catalogue.tracks if track.name in notes]
    if not listed:
        raise UserError(f"split.hold_out={path} lists none of the catalogue's {len(catalogue.tracks)} tracks")
    known = catalogue.genres
    own = {track.name: notes[track.name].genres or track.genres for track in listed}
    return {track.name: replace(track, genres=spell_like(own[track.name], known)) for track in listed}


def replace_tracks(catalogue: Catalogue, tracks: Mapping[str, Track]) -> Catalogue:
    """The catalogue with the tracks of the same names replaced."""
    if not tracks:
        return catalogue
    return replace(catalogue, tracks=tuple(tracks.get(track.name, track) for track in catalogue.tracks))


def column_subsets(catalogue: Catalogue, fold: int | None = None) -> dict[str, str]:
    """Track -> subset, from the catalogue's column ``split``, or ``split_I`` for fold I.

    Raises:
        UserError: if the column is empty or has another value than train, val and test.
    """
    column = "split" if fold is None else f"{FOLD_COLUMN}{fold}"
    lists = {}
    for track in catalogue.tracks:
        cell = track.split if fold is None else track.extra.get(column, "")
        if not cell.strip():
            continue
        if comparison_key(cell) not in SPELLINGS:
            raise UserError(f"{track.name} has {column} '{cell}'; the column {column} allows train, val and test")
        lists[track.name] = SPELLINGS[comparison_key(cell)]
    if not lists:
        raise UserError(
            f"split=column needs a catalogue with a column {column} of train, val or test{other_splits(catalogue)}"
        )
    return lists


def other_splits(catalogue: Catalogue) -> str:
    """'; split.fold=0, 1 or 2 chooses one of its splits': the columns ``split_I`` of a catalogue, if it has any."""
    columns = {name for track in catalogue.tracks for name in track.extra if name.startswith(FOLD_COLUMN)}
    folds = sorted(int(number) for name in columns if (number := name.removeprefix(FOLD_COLUMN)).isdecimal())
    return f"; split.fold chooses one of its {len(folds)} splits: {', '.join(map(str, folds))}" if folds else ""


def check_group_counts(groups: Mapping[str, Iterable[Track]], needed: int, kind: str) -> None:
    """Check that every genre has a group for each subset.

    Raises:
        UserError: naming the genre that has too few, or if there is only one genre.
    """
    counts = Counter(genre for tracks in groups.values() for genre in {track.genres[0] for track in tracks})
    if len(counts) < 2:
        usable = f"only one genre ({', '.join(counts)})" if counts else "no genre"
        raise UserError(f"{usable} has usable tracks; a classifier needs two or more")
    unit = "artists" if kind == "artist" else "tracks"
    for genre, count in sorted(counts.items()):
        if count < needed:
            raise UserError(
                f"genre {genre} has {count} {unit}; split={kind} needs {needed}, one for each subset: add some, "
                "or remove the genre"
            )


def stratified_split(
    groups: Mapping[str, list[Track]], shares: Mapping[str, float], generator: np.random.Generator
) -> dict[str, str]:
    """Assign whole groups to subsets so that each genre comes as close to its shares as the groups allow.

    The largest groups go first, each to the subset that still lacks most tracks of its genres.

    Args:
        groups: group -> its tracks.
        shares: subset -> its share, in any unit.

    Returns:
        Track -> subset.
    """
    names = sorted(groups)
    shuffled = [groups[names[index]] for index in generator.permutation(len(names)).tolist()]
    lacking = quotas([track for tracks in groups.values() for track in tracks], shares)
    subsets: dict[str, str] = {}
    for tracks in sorted(shuffled, key=len, reverse=True):
        genres = [track.genres[0] for track in tracks]
        need = {subset: sum([left[genre] for genre in genres]) for subset, left in lacking.items()}
        subset = max(need, key=need.__getitem__)
        for track in tracks:
            lacking[subset][track.genres[0]] -= 1
            subsets[track.name] = subset
    return subsets


def stratified_ranks(groups: Mapping[str, list[Track]], generator: np.random.Generator) -> dict[str, float]:
    """Rank groups in a random order, so that those up to a rank r have about the share r of each genre's tracks.

    Returns:
        Group -> its rank from 0 to 1: how much of its genres' tracks lies before its own middle. The first group of
        each genre has rank 0.
    """
    names = sorted(groups)
    total = Counter(genre for tracks in groups.values() for track in tracks for genre in track.genres)
    before: Counter[str] = Counter()
    ranks = {}
    for name in (names[index] for index in generator.permutation(len(names))):
        own = Counter(genre for track in groups[name] for genre in track.genres)
        middles = [(before[genre] + count / 2) / total[genre] for genre, count in own.items()]
        is_first = any(not before[genre] for genre in own)
        ranks[name] = 0.0 if is_first else float(np.average(middles, weights=list(own.values())))
        before += own
    return ranks


def quotas(tracks: Iterable[Track], shares: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Number of tracks per subset and primary genre: at least one each, the first subset takes the rest."""
    counts = Counter(track.genres[0] for track in tracks)
    total = sum(shares.values())
    first, *others = shares
    quota = {name: {g: max(1.0, n * shares[name] / total) for g, n in counts.items()} for name in others}
    return {first: {g: n - sum(quota[name][g] for name in others) for g, n in counts.items()}} | quota
