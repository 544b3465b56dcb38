"""The genres that a model learns: those of the training tracks that count in its task."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping

from genre.data.catalogue import Catalogue
from genre.data.splits import SUBSETS, Split
from genre.errors import SkipKind, SkipReason, UserError
from genre.tasks import Task

log = logging.getLogger(__name__)

GenreCounts = Mapping[str, Counter[str]]  # subset -> genre -> number of tracks


def genres_of(catalogue: Catalogue, task: Task) -> tuple[str, ...]:
    """The genres that count in a task, sorted."""
    return tuple(sorted({genre for track in catalogue.tracks for genre in task.labels(track.genres)}))


def genre_counts(catalogue: Catalogue, subsets: Mapping[str, str], task: Task) -> GenreCounts:
    """The number of tracks of each genre that counts in a task, per subset."""
    counts: dict[str, Counter[str]] = {subset: Counter() for subset in SUBSETS}
    together = Counter((subsets[track.name], task.labels(track.genres)) for track in catalogue.tracks)
    for (subset, genres), tracks in together.items():
        for genre in genres:
            counts[subset][genre] += tracks
    return counts


def trained_genres(counts: GenreCounts, listed: Iterable[str], split: Split) -> tuple[str, ...]:
    """The genres with training tracks, sorted; the others are refused, or dropped with a warning.

    Args:
        listed: genres of the whole catalogue, with or without usable tracks.

    Raises:
        UserError: naming the genres that are refused, or if fewer than two remain.
    """
    everywhere = {genre for subset in SUBSETS for genre in counts[subset]}
    if untrained := sorted({*listed, *everywhere} - counts["train"].keys()):
        names = ", ".join(f"{genre} ({where_found(genre, counts)})" for genre in untrained)
        if split.untrained_genres == "refuse":
            raise UserError(
                f"no training tracks with split={split.kind} for {names}; add some, correct the genres or the split, "
                "or leave out such genres with split.untrained_genres=drop"
            )
        log.warning("dropped genres without training tracks: %s", names)
    trained = tuple(sorted(counts["train"]))
    if len(trained) < 2:
        raise UserError(f"only one genre ({', '.join(trained)}) has training tracks; a classifier needs two or more")
    return trained


def where_found(genre: str, counts: GenreCounts) -> str:
    """'2 in val, 1 in test': the tracks of a genre per subset."""
    found = [f"{counts[subset][genre]} in {subset}" for subset in SUBSETS if counts[subset][genre]]
    return ", ".join(found) or "none usable"


def with_genres_only(catalogue: Catalogue, genres: Iterable[str], task: Task) -> Catalogue:
    """The catalogue without the tracks of other genres, which it lists as skipped."""
    known = set(genres)
    others = {t.name: task.labels(t.genres) for t in catalogue.tracks if not known.issuperset(task.labels(t.genres))}
    first = {name: next(genre for genre in genres if genre not in known) for name, genres in others.items()}
    kind = SkipKind.UNTRAINED_GENRE
    return catalogue.without(
        {name: SkipReason(kind, f"the genre {genre} is not learnt") for name, genre in first.items()}
    )


def warn_of_missing_genres(counts: GenreCounts, genres: Iterable[str]) -> None:
    """Log which genres have no tracks in a validation or test subset that has others; one warning for all."""
    present = [subset for subset in SUBSETS if counts[subset]]
    missing = {subset: [genre for genre in genres if not counts[subset][genre]] for subset in present}
    if lacking := [f"{subset} lacks {', '.join(names)}" for subset, names in missing.items() if names]:
        log.warning("genres without tracks in a subset, where they are not evaluated: %s", "; ".join(lacking))
