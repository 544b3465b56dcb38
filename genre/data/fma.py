"""FMA, the Free Music Archive (Defferrard, Benzi, Vandergheynst and Bresson 2017): its tables, subsets and split."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from genre.data.catalogue import (
    Catalogue,
    Skipped,
    Track,
    build_catalogue,
    existing_folder,
    opened_table,
    read_table,
)
from genre.data.genre_tree import GenreTree
from genre.data.listed_audio import files_in_folders
from genre.data.unpack import Collection
from genre.data.web import WebArchive, install_from_web
from genre.errors import BadRow, SkipKind, UserError
from genre.ranges import checked

SUBSETS_OF_EXCERPTS = ("small", "medium", "large")  # each a part of the next
FMA_ADDRESS = "https://os.unil.cloud.switch.ch/fma"
ARCHIVES = {  # sizes and checksums as the README of github.com/mdeff/fma states them
    "metadata": WebArchive(
        f"{FMA_ADDRESS}/fma_metadata.zip", "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733", 360 * 10**6
    ),
    "small": WebArchive(f"{FMA_ADDRESS}/fma_small.zip", "sha1:ade154f733639d52e35e32f5593efe5be76c6d70", 8 * 10**9),
    "medium": WebArchive(f"{FMA_ADDRESS}/fma_medium.zip", "sha1:c67b69ea232021025fca9231fc1c7c1a063ab50b", 24 * 10**9),
    "large": WebArchive(f"{FMA_ADDRESS}/fma_large.zip", "sha1:497109f4dd721066b5ce5e5f250ec604dc78939e", 100 * 10**9),
    "full": WebArchive(f"{FMA_ADDRESS}/fma_full.zip", "sha1:0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab", 944 * 10**9),
}
UNPACKED = {"metadata": 10.0}  # the unpacked files' size, at most, as a multiple of the archive's
UNPACKED_MP3S = 1.1  # the same of the other archives
TRACK_NUMBER = "track_id"  # begins the third row, which names the index
LONGEST_CELL = 1 << 27  # characters; biographies may exceed csv's limit of 131,072
CUT_WRONGLY = frozenset(  # github.com/mdeff/fma, issue 8: a wrong length in FMA's database, so that nothing is left
    "001486 005574 065753 080391 098558 098559 098560 098565 098566 098567 098568 098569 098571 099134 105247 108924 "
    "108925 126981 127336 133297 143992".split()  # or, of 098565 and 098569, a second or two
)


class FmaRow(NamedTuple):
    """The cells of tracks.csv that are read, in the order of ``FMA_COLUMNS``; ``number`` is the track's."""

    number: str
    split: str
    subset: str
    top: str
    genres: str
    title: str
    artist: str
    album: str
    released: str


FMA_COLUMNS = (  # as the two rows of the header name them
    ("set", "split"), ("set", "subset"), ("track", "genre_top"), ("track", "genres_all"), ("track", "title"),
    ("artist", "name"), ("album", "title"), ("album", "date_released"),
)  # fmt: skip


@checked
def read_fma(
    root: str | Path,
    subset: Literal["small", "medium", "large", "full"] = "small",
    genres: Literal["top", "all"] = "top",
    download: bool = False,
) -> Catalogue:
    """Read a subset of FMA with its official split; a track is named by its number, '000002'.

    ``extra`` has album, year and title; the tree is that of genres.csv.

    Args:
        root: the folder with fma_metadata (tracks.csv, genres.csv) and the subset's audio (fma_small, …).
        subset: 'small' (8,000 excerpts of 30 s, 8 genres), 'medium' (25,000, 16 genres), 'large' (106,574, 161 genres)
            or 'full' (the same, whole tracks).
        genres: 'top' (the track's root genre; tracks without one are skipped) or 'all' (with their ancestors, the root
            first).
        download: True to fetch what ``root`` lacks of the tables and the audio.

    Raises:
        UserError: if a table or the audio is missing, a table is something else, or no track can be used.
    """
    if download:
        download_parts(Path(root).expanduser(), subset)
    base = existing_folder(root, "data.root")
    metadata = base / "fma_metadata"
    reader = TrackReader(*read_genres(metadata / "genres.csv"), genres, subset, subset_folder(base, subset))
    tracks: list[Track] = []
    skipped: list[Skipped] = []
    for row in wanted_rows(metadata / "tracks.csv", subset, skipped):
        try:
            tracks.append(reader.track(row))
        except BadRow as bad:
            skipped.append(Skipped(row.number, *bad.reason))
    if not tracks:
        reason = (
            f"the first reason is '{skipped[0].reason}' ({skipped[0].path})" if skipped else "tracks.csv lists none"
        )
        raise UserError(f"no usable track of data.subset={subset} in {base}: {reason}")
    return build_catalogue(tracks, skipped, tree=reader.tree)


def download_parts(base: Path, subset: str) -> None:
    """Fetch and unpack the tables, and the audio of a subset, unless they are there.

    Raises:
        UserError: if it fails.
    """
    install_part(base, "metadata", "tracks.csv")
    if not any(folder.is_dir() for folder in subset_folders(base, subset)):
        install_part(base, subset, "000")


def install_part(base: Path, part: str, contains: str) -> None:
    """Fetch one of ARCHIVES and unpack it, unless it is there.

    Args:
        contains: a file or folder in it, by which it is known.

    Raises:
        UserError: if it fails.
    """
    name = f"fma_{part}"

    def find_layout(tree: Path) -> Path | None:
        return next((folder for folder in (tree / name, tree) if (folder / contains).exists()), None)

    unpacked_bytes = int(ARCHIVES[part].size * UNPACKED.get(part, UNPACKED_MP3S))
    install_from_web(ARCHIVES[part], Collection(name, base / name, find_layout, unpacked_bytes))


def subset_folders(base: Path, subset: str) -> list[Path]:
    """Where a subset's audio may lie: excerpts also in the folder of a larger subset."""
    larger = SUBSETS_OF_EXCERPTS[SUBSETS_OF_EXCERPTS.index(subset) :] if subset in SUBSETS_OF_EXCERPTS else (subset,)
    return [base / f"fma_{name}" for name in larger]


def subset_folder(base: Path, subset: str) -> Path:
    """The folder of a subset's audio.

    Raises:
        UserError: if there is none.
    """
    for folder in subset_folders(base, subset):
        if folder.is_dir():
            return folder
    raise UserError(
        f"{base} has no folder fma_{subset}; unpack fma_{subset}.zip there, fetch it by data.download=true "
        f"({ARCHIVES[subset].size / 1e9:.0f} GB), or set data.subset to what is there"
    )


def read_genres(path: Path) -> tuple[dict[int, str], GenreTree]:
    """Read genres.csv: number of a genre -> its title; and the tree of the titles.

    Raises:
        UserError: if it is missing or something else.
    """
    rows = read_table(path, ("genre_id", "parent", "title"))
    try:
        titles = unique_titles((int(row["genre_id"]), row["title"].strip()) for row in rows)
        parents = {int(row["genre_id"]): int(row["parent"]) for row in rows}
        named = {titles[number]: titles[parent] for number, parent in parents.items() if parent}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not FMA's table of genres ({error}); unpack fma_metadata.zip again") from None
    return titles, GenreTree.checked(named, path)


def unique_titles(titles: Iterable[tuple[int, str]]) -> dict[int, str]:
    """Number of a genre -> its title, with the number behind it if an earlier genre has the same."""
    used: set[str] = set()
    unique: dict[int, str] = {}
    for number, title in titles:
        unique[number] = f"{title} ({number})" if title.casefold() in used else title
        used.add(title.casefold())
    return unique


def wanted_rows(path: Path, subset: str, skipped: list[Skipped]) -> Iterator[FmaRow]:
    """Yield the rows of tracks.csv that are in a subset.

    Args:
        skipped: receives the rows that are too short.

    Raises:
        UserError: if it is missing or something else.
    """
    wanted = SUBSETS_OF_EXCERPTS[: SUBSETS_OF_EXCERPTS.index(subset) + 1] if subset != "full" else SUBSETS_OF_EXCERPTS
    csv.field_size_limit(LONGEST_CELL)
    with opened_table(path) as file:
        reader = csv.reader(file)
        header = list(zip(next(reader, []), next(reader, []), strict=False))
        if missing := [".".join(column) for column in FMA_COLUMNS if column not in header]:
            raise UserError(
                f"{path} is not FMA's table of tracks: its two rows of header have no {missing[0]}; unpack "
                "fma_metadata.zip again"
            )
        places = [0, *(header.index(column) for column in FMA_COLUMNS)]
        for cells in reader:
            if len(cells) != len(header):
                line = f"{path.name}:{reader.line_num}"
                skipped.append(Skipped(line, SkipKind.INVALID_ROW, f"{len(cells)} cells instead of {len(header)}"))
            elif cells[0] != TRACK_NUMBER:
                row = FmaRow(*(cells[place] for place in places))
                if row.subset in wanted:
                    yield row


class TrackReader:
    """Turns rows of tracks.csv into tracks.

    Args:
        titles: number of a genre -> its title.
        tree: of the titles.
        genres: 'top' or 'all'.
        subset: of the tracks.
        folder: of the audio.
    """

    def __init__(self, titles: dict[int, str], tree: GenreTree, genres: str, subset: str, folder: Path) -> None:
        self.titles, self.tree, self.genres, self.folder = titles, tree, genres, folder
        self.cut_wrongly = CUT_WRONGLY if subset in SUBSETS_OF_EXCERPTS else frozenset()
        self.files = files_in_folders(folder)

    def track(self, row: FmaRow) -> Track:
        """The track of a row.

        Raises:
            BadRow: if it cannot be used.
        """
        if not row.number.isdecimal():
            raise BadRow(SkipKind.INVALID_ROW, f"'{row.number}' is not the number of a track")
        name = f"{int(row.number):06d}"
        file = f"{name[:3]}/{name}.mp3"
        genres = self.top_genre(row) if self.genres == "top" else self.all_genres(row)
        if name in self.cut_wrongly:
            raise BadRow(SkipKind.CUT_WRONGLY, "its excerpt was cut behind the end of the track")
        if file not in self.files:
            raise BadRow(SkipKind.NO_SUCH_FILE, f"there is no {self.folder.name}/{file}")
        extra = {"album": row.album, "year": row.released[:4], "title": row.title}
        return Track(name, genres, self.folder / file, row.artist, row.split, extra=extra)

    def top_genre(self, row: FmaRow) -> tuple[str, ...]:
        """The root genre of a row.

        Raises:
            BadRow: if it has none.
        """
        if not row.top:
            raise BadRow(SkipKind.NO_TOP_GENRE, "no top genre")
        return (row.top,)

    def all_genres(self, row: FmaRow) -> tuple[str, ...]:
        """All genres of a row, the root genre first; of a row with several roots, that of the first genre.

        Raises:
            BadRow: if it has none, or they are not in genres.csv.
        """
        try:
            titles = [self.titles[number] for number in json.loads(row.genres)]
        except (ValueError, TypeError, KeyError):
            raise BadRow(
                SkipKind.INVALID_ROW, f"genres_all '{row.genres}' is no list of genres in genres.csv"
            ) from None
        if not titles:
            raise BadRow(SkipKind.INVALID_ROW, "no genre")
        return tuple(dict.fromkeys([row.top or self.tree.lineage(titles[0])[0], *titles]))
