"""Changes of genres in tags: planned from predictions, recorded, shown, and only then made."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import track as progress
from rich.table import Table

from genre.errors import BadAudio
from genre.files import write_csv
from genre.tagging.write import write_genres, written_genres
from genre.terminal import plain_console

log = logging.getLogger(__name__)

TAGS_RECORD = "tags.csv"  # in the folder of the predictions
TAGS_HEADER = ("path", "before", "after", "unchanged")


class Change(NamedTuple):
    """What happens to the genre of a file.

    Args:
        path: absolute.
        before: the values of its genre; none if it has no genre.
        after: the new values.
        unchanged: why the file stays as it is; empty if it changes.
    """

    path: Path
    before: tuple[str, ...]
    after: tuple[str, ...]
    unchanged: str = ""


def write_tags(
    folder: Path, predictions: Mapping[Path, Sequence[str]], overwrite: bool = False, dry_run: bool = True
) -> list[Change]:
    """Write predicted genres into the tags of files, and what is changed into ``folder/tags.csv`` before that.

    Args:
        predictions: file -> genres; none where the prediction is uncertain, which leaves the file as it is.
        overwrite: whether a genre that a file has is replaced.
        dry_run: True shows and records the changes only.

    Returns:
        What happened (or would happen) to each file.
    """
    changes = [planned_change(file, genres, overwrite) for file, genres in predictions.items()]
    write_csv(folder / TAGS_RECORD, TAGS_HEADER, (record_row(change) for change in changes))
    print_changes(changes)
    if not dry_run:
        changes = make_changes(changes, "writing tags")
    verb = "the genre would be written to" if dry_run else "wrote the genre of"
    log.info("%s %s", verb, tally(changes))
    remedy = "dry_run=false writes it" if dry_run else f"predict.py undo={folder / TAGS_RECORD} takes it back"
    log.info("%s lists each file; %s", folder / TAGS_RECORD, remedy)
    return changes


def planned_change(file: Path, genres: Sequence[str], overwrite: bool) -> Change:
    """What is to happen to a file with these predicted genres."""
    path, after = file.absolute(), tuple(genres)
    try:
        before = tuple(written_genres(path))
    except BadAudio as bad:
        return Change(path, (), (), str(bad))
    if not after:
        return Change(path, before, (), "the prediction is uncertain")
    if before == after:
        return Change(path, before, (), "has this genre")
    if any(value.strip() for value in before) and not overwrite:
        return Change(path, before, (), "has a genre (overwrite=true replaces it)")
    return Change(path, before, after)


def make_changes(changes: Sequence[Change], what: str) -> list[Change]:
    """Write the new genre of each file that changes; what cannot be written is logged and stays as it is."""
    made = []
    for change in progress(changes, what, transient=True):
        try:
            if not change.unchanged:
                write_genres(change.path, change.after)
            made.append(change)
        except BadAudio as bad:
            log.warning("%s: %s", change.path, bad)
            made.append(change._replace(unchanged=bad.reason.kind))
    return made


def tally(changes: Sequence[Change]) -> str:
    """'2 of 5 files (2: the prediction is uncertain; 1: has this genre)'."""
    reasons = Counter(change.unchanged for change in changes if change.unchanged)
    rest = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
    return f"{len(changes) - reasons.total()} of {len(changes)} files" + (f" ({rest})" if rest else "")


def record_row(change: Change) -> tuple[str, str, str, str]:
    """A change as a row of tags.csv; genres as JSON, so that a value may hold any character."""
    return (str(change.path), values_cell(change.before), values_cell(change.after), change.unchanged)


def values_cell(values: Sequence[str]) -> str:
    """Values as JSON; an empty cell for none."""
    return json.dumps(values, ensure_ascii=False) if values else ""


def print_changes(changes: Iterable[Change]) -> None:
    """Print the files that change, with their old and new genre."""
    table = Table("file", "genre", "new genre")
    for change in changes:
        if not change.unchanged:
            table.add_row(change.path.name, "; ".join(change.before), "; ".join(change.after))
    if table.row_count:
        plain_console().print(table)
