"""The tags of many files, read in threads, and kept until a file changes."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.progress import track as progress

from genre.data.store import Key
from genre.data.store_builder import parallel_map
from genre.errors import BadAudio, SkipReason
from genre.files import SizeAndTime, note_use, size_and_time, write_json
from genre.tagging.read import Tags, read_tags

log = logging.getLogger(__name__)


def library_tags(root: Path, files: Sequence[Path], folder: Path | None) -> dict[Path, Tags | SkipReason]:
    """The tags of the files of a library, or why they could not be read.

    Args:
        root: of the library.
        folder: where tags are kept for the next time, by the size and modification time of their file; None: nowhere.
    """
    kept = folder / f"{Key('tags', {'version': 1}, str(root.absolute())).name}.json" if folder else None
    stamps = {file: size_and_time(file) for file in files}
    known = kept_tags(kept, stamps) if kept else {}
    changed = [file for file in files if file not in known]
    values = progress(parallel_map(tags_or_reason, changed), "reading tags", total=len(changed), transient=True)
    read = dict(zip(changed, values, strict=True))
    tags = {file: known[file] if file in known else read[file] for file in files}
    if kept and read:
        rows = {str(file): [stamps[file], *own] for file, own in tags.items() if isinstance(own, Tags)}
        with suppress(OSError):  # a cache that cannot be written costs time only
            write_json(kept, rows)
    return tags


def tags_or_reason(file: Path) -> Tags | SkipReason:
    """The tags of a file, or why they cannot be read."""
    try:
        return read_tags(file)
    except BadAudio as bad:
        return bad.reason


def kept_tags(path: Path, stamps: Mapping[Path, SizeAndTime]) -> dict[Path, Tags]:
    """The tags that were kept, of files that have the same stamp; none if there are none, or they are damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        known = {file: rows[str(file)] for file in stamps if str(file) in rows}
        same = {file: tags_of_row(row[1:]) for file, row in known.items() if tuple(row[0]) == stamps[file]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        log.warning("%s is damaged; the tags are read again", path)
        return {}
    note_use(path)
    return same


def tags_of_row(values: Iterable[Any]) -> Tags:
    """Tags as JSON has them.

    Raises:
        TypeError: if they are others.
    """
    genres, *texts = values
    return Tags(tuple(genres), *texts)
