"""Take back what ``write_tags`` wrote: every file gets the genre that its tags had, or none."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from genre.errors import BadAudio, UserError
from genre.files import read_csv_records
from genre.tagging.changes import TAGS_HEADER, Change, make_changes, print_changes, tally
from genre.tagging.write import written_genres

log = logging.getLogger(__name__)


def undo_tags(record: Path) -> list[Change]:
    """Restore the genres that a tags.csv recorded; a file whose genre was changed since stays as it is.

    Returns:
        What happened to each file that had changed.

    Raises:
        UserError: if there is no such file, or it is another table.
    """
    if not record.is_file():
        raise UserError(f"there is no file undo={record}; give the tags.csv in the folder that predict.py printed")
    rows = read_csv_records(record)
    if not rows or set(TAGS_HEADER) - rows[0].keys():
        raise UserError(f"undo={record} is not a tags.csv; give the one in the folder that predict.py printed")
    try:
        changes = [reverse_change(row) for row in rows if not row["unchanged"]]
    except (ValueError, TypeError) as error:
        raise UserError(f"undo={record} is damaged ({error}); its genres cannot be read") from None
    print_changes(changes)
    changes = make_changes(changes, "restoring tags")
    log.info("restored the genre of %s", tally(changes))
    return changes


def reverse_change(row: Mapping[str, str]) -> Change:
    """The change that takes back the one of a row of tags.csv.

    Raises:
        ValueError: if a cell is not one of ``values_cell``.
    """
    path, before, after = Path(row["path"]), cell_values(row["before"]), cell_values(row["after"])
    try:
        present = tuple(written_genres(path))
    except BadAudio as bad:
        return Change(path, (), (), str(bad))
    if present == before:
        return Change(path, present, (), "was not written")
    if present != after:
        return Change(path, present, (), "was changed since")
    return Change(path, present, before)


def cell_values(cell: str) -> tuple[str, ...]:
    """The values in a cell of ``values_cell``."""
    return tuple(map(str, json.loads(cell))) if cell else ()
