"""MTG-Jamendo (Bogdanov, Won, Tovstogan, Porter and Serra 2019): its genre subset and its five official splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from genre.data.catalogue import Catalogue, Skipped, Track, build_catalogue, existing_folder, opened_table
from genre.data.listed_audio import files_in_folders
from genre.data.splits import FOLD_COLUMN
from genre.data.unpack import Collection
from genre.data.web import WebArchive, install_from_web
from genre.errors import BadRow, SkipKind, UserError
from genre.ranges import checked

OFFICIAL_SPLITS = 5
LISTS = ("train", "validation", "test")
LIST_COLUMNS = ("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS")
TAG = "genre---"
REPOSITORY = "https://github.com/MTG/mtg-jamendo-dataset"
JAMENDO_ADDRESS = "https://cdn.freesound.org/mtg-jamendo/raw_30s"
QUALITIES = {"low": ("audio-low", 156 * 10**9), "full": ("audio", 508 * 10**9)}  # name in addresses, bytes
MOST = 1.5  # the largest of the archives, as a multiple of their mean
LOW_QUALITY = ".low.mp3"  # how the files of audio-low end


class ListRow(NamedTuple):
    """A row of a list: all cells behind the duration are tags."""

    name: str
    artist: str
    album: str
    path: str
    tags: tuple[str, ...]


@checked
def read_mtg_jamendo(
    root: str | Path,
    audio: str | Path | None = None,
    download: bool = False,
    quality: Literal["low", "full"] = "low",
) -> Catalogue:
    """Read the 87 genres of MTG-Jamendo's five splits; a track is named as there, 'track_0000214'.

    ``extra`` has album and the subset of each split, ``split_0`` to ``split_4``, but for tracks that a split leaves
    out. The first split is also the track's ``split``.

    Args:
        root: the data set's repository, with data/splits.
        audio: the folder with 14/214.mp3 or 14/214.low.mp3; None is ``root``/audio.
        download: True to fetch the folders 00 to 99 that are not there.
        quality: of the download: 'low' (mono of variable bit rate, 156 GB) or 'full' (stereo at 320 kbit/s, 508 GB).

    Raises:
        UserError: if a list or the audio is missing, a list is something else, or no track can be used.
    """
    base = existing_folder(root, "data.root")
    if download:
        download_folders(base, Path(audio).expanduser() if audio else base / "audio", quality)
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


def download_folders(base: Path, folder: Path, quality: str) -> None:
    """Fetch and unpack the archives of the audio whose folders are not there, one after the other.

    Args:
        base: the data set's repository, which has the archives' checksums.
        folder: of the audio.

    Raises:
        UserError: if the checksums are missing, or an archive cannot be fetched or unpacked.
    """
    kind, total_bytes = QUALITIES[quality]
    checksums = read_checksums(base / "data" / "download" / f"raw_30s_{kind}_sha256_tars.txt")
    size = total_bytes // len(checksums)
    for file, checksum in checksums.items():
        number = file.removesuffix(".tar").rpartition("-")[2]

        def find_layout(tree: Path, number: str = number) -> Path | None:
            return next((each for each in (tree / number, tree) if any(each.glob("*.mp3"))), None)

        archive = WebArchive(f"{JAMENDO_ADDRESS}/{kind}/{file}", f"sha256:{checksum}", size)
        install_from_web(archive, Collection(file, folder / number, find_layout, int(size * MOST)))


def read_checksums(path: Path) -> dict[str, str]:
    """Name of an archive -> its SHA-256, from a list of the repository.

    Raises:
        UserError: if it is missing or something else.
    """
    if not path.is_file():
        raise UserError(f"there is no {path}; data.root should be a copy of the repository: git clone {REPOSITORY}")
    with opened_table(path) as file:
        rows = [line.split() for line in file if line.strip()]
    if not rows or any(len(row) != 2 or not row[1].endswith(".tar") for row in rows):
        raise UserError(f"{path} is no list of checksums and archives; fetch the repository again ({REPOSITORY})")
    return {name: checksum for checksum, name in rows}


def folder_of_audio(base: Path) -> Path:
    """The folder of the audio below the repository.

    Raises:
        UserError: if there is none.
    """
    if not (base / "audio").is_dir():
        raise UserError(
            f"{base} has no folder audio; set data.audio to the folder that holds 00, 01, … with the MP3 files, or "
            "fetch them by data.download=true (156 GB)"
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
