"""MTG-Jamendo (Bogdanov, Won, Tovstogan, Porter and Serra 2019): its genre subset and its five official splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genre.data.catalogue import Catalogue, Skipped, Track, build_catalogue, existing_folder, opened_table
from genre.data.listed_audio import files_in_folders
from genre.data.splits import FOLD_COLUMN
from genre.errors import BadRow, SkipKind, UserError
from genre.ranges import checked

OFFICIAL_SPLITS = 5
LISTS = ("train", "validation", "test")
LIST_COLUMNS = ("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS")
TAG = "genre---"
LOW_QUALITY = ".low.mp3"  # how the files of audio-low end


class ListRow(NamedTuple):
    """A row of a list: all cells behind the duration are tags."""

    name: str
    artist: str
    album: str
    path: str
    tags: tuple[str, ...]


@checked
def read_mtg_jamendo(root: str | Path, audio: str | Path | None = None) -> Catalogue:
    """Read the 87 genres of MTG-Jamendo's five splits; a track is named as there, 'track_0000214'.

    ``extra`` has album and the subset of each split, ``split_0`` to ``split_4``, but for tracks that a split leaves
    out. The first split is also the track's ``split``.

    Args:
        root: the data set's repository, with data/splits.
        audio: the folder with 14/214.mp3 or 14/214.low.mp3; None is ``root``/audio.

    Raises:
        UserError: if a list or the audio is missing, a list is something else, or no track can be used.
    """
    base = existing_folder(root, "data.root")
    folder = existing_folder(audio, "data.audio") if audio else folder_of_audio(base)
    files = files_in_folders(folder)
    rows, subsets, skipped = read_lists(base / "data" / "splits")
    tracks = []
    for row in rows.values():
        try:
            genres, file, own = genres_of_tags(row), folder / audio_file(row, files), subsets[row.name]
            first = own.get(f"{FOLD_COLUMN}0", "")
            tracks.append(Track(row.name, genres, file, row.artist, first, extra={"album": row.album, **own}))
        except BadRow as bad:
            skipped.append(Skipped(row.name, *bad.reason))
    if not tracks:
        raise UserError(f"no usable track of {base}: the first reason is '{skipped[0].reason}' ({skipped[0].path})")
    return build_catalogue(tracks, skipped)


def folder_of_audio(base: Path) -> Path:
    """The folder of the audio below the repository.

    Raises:
        UserError: if there is none.
    """
    if not (base / "audio").is_dir():
        raise UserError(
            f"{base} has no folder audio; set data.audio to the folder that holds 00, 01, … with the MP3 files"
        )
    return base / "audio"


def read_lists(folder: Path) -> tuple[dict[str, ListRow], dict[str, dict[str, str]], list[Skipped]]:
    """Read the lists of all splits.

    Returns:
        Track -> its first row; track -> its subset per split, ``split_0`` -> 'train'; and the rows that are not used.

    Raises:
        UserError: if a list is missing or something else.
    """
    rows: dict[str, ListRow] = {}
    subsets: dict[str, dict[str, str]] = {}
    skipped: list[Skipped] = []
    for split in range(OFFICIAL_SPLITS):
        for subset in LISTS:
            for row in list_rows(folder / f"split-{split}" / f"autotagging_genre-{subset}.tsv", skipped):
                rows.setdefault(row.name, row)
                subsets.setdefault(row.name, {})[f"{FOLD_COLUMN}{split}"] = subset
    if not rows:
        raise UserError(f"the lists in {folder} name no track; fetch the data set's repository again")
    return rows, subsets, skipped


def list_rows(path: Path, skipped: list[Skipped]) -> Iterator[ListRow]:
    """Yield the rows of a list; those that are too short go to ``skipped``.

    Raises:
        UserError: if it is missing or something else.
    """
    with opened_table(path) as file:
        lines = (line.rstrip("\r\n").split("\t") for line in file)
        if tuple(next(lines, [])) != LIST_COLUMNS:
            raise UserError(f"{path} is not a list of MTG-Jamendo: its header should be {' '.join(LIST_COLUMNS)}")
        for number, (name, *cells) in enumerate(lines, start=2):
            if len(cells) < len(LIST_COLUMNS) - 1:
                reason = f"{1 + len(cells)} cells instead of {len(LIST_COLUMNS)} or more"
                skipped.append(Skipped(f"{path.parent.name}/{path.name}:{number}", SkipKind.INVALID_ROW, reason))
            else:
                artist, album, file_name, _, *tags = cells
                yield ListRow(name, artist, album, file_name.replace("\\", "/"), tuple(tags))


def genres_of_tags(row: ListRow) -> tuple[str, ...]:
    """The genres among the tags of a row: 'genre---rock' -> 'rock'.

    Raises:
        BadRow: if there is none.
    """
    genres = tuple(dict.fromkeys(tag.removeprefix(TAG) for tag in row.tags if tag.startswith(TAG) and tag != TAG))
    if not genres:
        raise BadRow(SkipKind.INVALID_ROW, "no genre among its tags")
    return genres


def audio_file(row: ListRow, files: frozenset[str]) -> str:
    """The file of a row, in full or low quality.

    Raises:
        BadRow: if there is neither.
    """
    for file in (row.path, row.path.removesuffix(".mp3") + LOW_QUALITY):
        if file in files:
            return file
    raise BadRow(SkipKind.NO_SUCH_FILE, f"there is no {row.path}")
