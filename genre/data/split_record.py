"""splits.csv of a run folder: the subset of each track, and the content by which the track is recognised later."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from genre.data.catalogue import read_table
from genre.data.content import Content
from genre.data.splits import SUBSETS
from genre.errors import UserError
from genre.files import write_csv

SPLITS = "splits.csv"
CONTENT_COLUMNS = ("file_sha256", "decoded_sha256")


class SeenTrack(NamedTuple):
    """A track that a run used for training or validation."""

    name: str
    subset: str


@dataclass(frozen=True)
class SplitRecord:
    """The tracks of a run as its splits.csv lists them.

    Args:
        subsets: track -> subset.
        groups: track -> group that the split kept in one subset; empty for a run of a version that recorded none.
        contents: track -> content; empty for a run of a version that recorded none.
    """

    subsets: dict[str, str]
    groups: dict[str, str]
    contents: dict[str, Content]

    @cached_property
    def seen_subsets(self) -> dict[str, str]:
        """Training and validation tracks: track -> subset."""
        return {name: subset for name, subset in self.subsets.items() if subset != "test"}

    @cached_property
    def seen_hashes(self) -> dict[str, SeenTrack]:
        """Both hashes of all training and validation tracks -> the track."""
        return {
            value: SeenTrack(name, subset)
            for name, subset in self.seen_subsets.items()
            for value in self.contents.get(name, ())
            if value
        }

    def seen_track(self, content: Content) -> SeenTrack | None:
        """Return the training or validation track with this content; None if there is none."""
        return self.seen_hashes.get(content.file) or self.seen_hashes.get(content.decoded)

    def changed(self, contents: Mapping[str, Content]) -> list[str]:
        """Return the tracks of ``contents`` that had another content when the run was trained."""
        known = (name for name in contents if name in self.contents)
        return [name for name in known if not contents[name].equals(self.contents[name])]


def write_split(folder: Path, record: SplitRecord) -> None:
    """Write splits.csv, sorted by track."""
    rows = (
        (name, subset, record.groups.get(name, name), *record.contents[name])
        for name, subset in sorted(record.subsets.items())
    )
    write_csv(folder / SPLITS, ("track", "subset", "group", *CONTENT_COLUMNS), rows)


def read_split(folder: Path) -> SplitRecord | None:
    """Read splits.csv; None if the folder has none.

    Raises:
        UserError: if the file is something else.
    """
    path = folder / SPLITS
    if not path.is_file():
        return None
    rows = read_table(path, ("track", "subset"))
    if other := sorted({row["subset"] for row in rows} - {*SUBSETS}):
        raise UserError(f"{path} has the subset '{other[0]}'; a run's subsets are {', '.join(SUBSETS)}")
    contents = {row["track"]: Content(*(row[column] for column in CONTENT_COLUMNS)) for row in rows if has_hashes(row)}
    groups = {row["track"]: row["group"] for row in rows if "group" in row}
    return SplitRecord({row["track"]: row["subset"] for row in rows}, groups, contents)


def has_hashes(row: Mapping[str, str]) -> bool:
    """Return whether a row of splits.csv has the content of its track."""
    return all(column in row for column in CONTENT_COLUMNS) and bool(row["decoded_sha256"])
