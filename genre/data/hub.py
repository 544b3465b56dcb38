"""Audio data sets of the Hugging Face Hub, or in its formats on the disk; the only user of ``datasets``.

The audio of a data set is written to files as it is, once, beside a table that ``read_csv`` reads: all else of this
program reads files, with decoders of its own.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import track as progress

from genre.data.catalogue import Catalogue, read_csv, walk_files
from genre.data.store import Key
from genre.errors import UserError
from genre.extras import import_extra
from genre.files import exclusive_lock, note_use, size_and_time, sync_tree, write_csv
from genre.ranges import checked

log = logging.getLogger(__name__)

HUB_FOLDER = "hub"  # in the cache
HUB_TABLE = "catalogue.csv"
SAVED = ("dataset_dict.json", "state.json")  # one of them is in a folder of save_to_disk
NAMELESS = ".audio"  # suffix of audio whose name is not known; decoders go by the content


class Columns(NamedTuple):
    """The columns of a data set that are read; ``artist`` may be None."""

    audio: str
    genre: str
    artist: str | None


@checked
def read_hf(
    name: str,
    folder: str | Path,
    audio: str = "audio",
    genre: str = "genre",
    artist: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    download: bool = False,
) -> Catalogue:
    """Read an audio data set; a track is named by its split and row, 'train/000012'.

    Args:
        name: a folder on the disk (of ``save_to_disk``, of parquet files, of audio with metadata), or a data set on the
            Hub.
        folder: the cache, where the audio is written.
        audio: column of the audio.
        genre: column of the genre, or of a list of genres.
        artist: column of the artist.
        config: of a data set that has several.
        revision: branch, tag or commit of a data set on the Hub.
        download: True to fetch a data set from the Hub.

    Raises:
        UserError: if there is no such data set or column, it cannot be fetched, or no row can be used.
    """
    local, columns = Path(name).expanduser(), Columns(audio, genre, artist)
    files = walk_files(local) if local.is_dir() else ()
    source = [[str(file), *size_and_time(file)] for file in files]
    key = Key(HUB_FOLDER, {}, [name, source, columns, config, revision])
    target = Path(folder).expanduser() / HUB_FOLDER / key.name
    if not (target / HUB_TABLE).is_file():
        if not local.is_dir() and not download:
            raise UserError(
                f"there is no folder data.name={name}; data.download=true fetches the data set from the Hub"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(target.with_name(f".{target.name}.lock"), f"writing the audio of {name}"):
            if not (target / HUB_TABLE).is_file():
                write_audio(open_splits(name, local, config, revision), columns, name, target)
    note_use(target.parent)
    return read_csv(target / HUB_TABLE)


def open_splits(name: str, local: Path, config: str | None, revision: str | None) -> Mapping[str, Any]:
    """The splits of a data set, by name, without reading or fetching their rows.

    Raises:
        UserError: if there is no such data set.
    """
    datasets = import_extra("datasets", "datasets", "data sets of the Hub")
    try:
        if any((local / marker).is_file() for marker in SAVED):
            found = datasets.load_from_disk(str(local))
        else:
            where = str(local) if local.is_dir() else name
            found = datasets.load_dataset(where, config, revision=revision, streaming=True)
    except Exception as error:  # the library passes on the errors of several others
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(f"cannot open the data set data.name={name} ({reason})") from error
    return found if isinstance(found, dict) else {str(found.split or "train"): found}


def write_audio(splits: Mapping[str, Any], columns: Columns, name: str, target: Path) -> None:
    """Write the audio of all splits below a folder, with the table; it appears there when it is complete.

    Raises:
        UserError: if a column is missing, or the rows cannot be read.
    """
    scratch = target.with_name(f".{target.name}.writing")
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed process
    try:
        rows = [row for split, data in splits.items() for row in written_rows(split, data, columns, name, scratch)]
        write_csv(scratch / HUB_TABLE, ("track", "path", "genres", "artist", "split"), rows)
        sync_tree(scratch)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def written_rows(split: str, data: Any, columns: Columns, name: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """Write the audio of a split and yield its rows of the table."""
    datasets = import_extra("datasets", "datasets", "data sets of the Hub")
    features = data.features or data._resolve_features().features
    if missing := [column for column in columns if column is not None and column not in features]:
        raise UserError(f"the data set {name} has no column {missing[0]}; it has {', '.join(features)}")
    labels = Labels(features[columns.genre])
    encoded = data.cast_column(columns.audio, datasets.Audio(decode=False))
    (folder / split).mkdir(parents=True)
    for number, row in enumerate(progress(encoded, f"writing {split}", transient=True)):
        track = f"{split}/{number:06d}"
        path = write_row(row[columns.audio] or {}, folder, track)
        artist = str(row[columns.artist] or "") if columns.artist else ""
        yield track, path, ";".join(labels.names(row[columns.genre])), artist, split


def write_row(audio: Mapping[str, Any], folder: Path, track: str) -> str:
    """Write a row's audio below a folder and return its path there; that of its own file if it has one, '' for none."""
    name, content = audio.get("path") or "", audio.get("bytes")
    if content is None:
        return str(Path(name).absolute()) if name else ""
    path = f"{track}{Path(name).suffix.lower() or NAMELESS}"
    (folder / path).write_bytes(content)
    return path


class Labels:
    """The genres of a row, from text, labels of the data set, or lists of either.

    Args:
        feature: of the column.
    """

    def __init__(self, feature: Any) -> None:
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", feature)
        self.known: list[str] | None = getattr(inner, "names", None)

    def names(self, value: Any) -> list[str]:
        """The genres of a cell; none if it is empty."""
        values = value if isinstance(value, list) else [value]
        named = [each for each in values if each is not None and each != ""]
        return [self.known[each] if self.known and isinstance(each, int) else str(each) for each in named if each != -1]
