"""The catalogue of tracks, and its readers: one folder per genre, a CSV, a log-mel archive."""

import csv
import gc
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from genre.data.genre_tree import GenreTree
from genre.data.spelling import comparison_key, merged_spellings, spell_like
from genre.errors import BadRow, SkipKind, SkipReason, UserError
from genre.files import plain_cell, special_file
from genre.ranges import checked

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = frozenset(".wav .mp3 .flac .ogg .oga .opus .au .snd .aif .aiff .aifc .caf .w64 .rf64".split())
OTHER_AUDIO_SUFFIXES = frozenset(  # of formats that libsndfile does not read
    ".m4a .m4b .mp4 .aac .alac .ac3 .amr .ape .dff .dsf .mka .mpc .tta .webm .wma .wv".split()
)
REMEDIES = {
    SkipKind.OTHER_FORMAT: "convert them: ffmpeg -i song.m4a song.flac",
    SkipKind.OUTSIDE_GENRES: "move each into the folder of its genre",
    SkipKind.NO_GENRE: "tag them, or let predict.py write_tags=true do it",
    SkipKind.NO_TOP_GENRE: "data.genres=all with task=multilabel takes them",
    SkipKind.FEW_TRACKS: "data.few, data.few_artists or data.genres_as keeps them",
    SkipKind.NO_AUDIO: "add music or remove the folder",
    SkipKind.OTHER_FOLDER: "data=folder reads folders of any name",
}
MAX_SECONDS = 1e6  # eleven days; a larger time is a mistake
KNOWN_COLUMNS = frozenset("track path genres artist split start duration".split())


@dataclass(frozen=True)
class Track:
    """One row of a catalogue.

    Args:
        name: unique in the catalogue; identifies the track in every file that a run writes.
        genres: one or more; the first is the primary genre.
        path: the audio file; None for tracks of an archive.
        artist: empty if unknown.
        split: subset for ``split=column``; empty if none.
        start: where the track begins in its file, in seconds.
        duration: in seconds; None reaches to the end of the file.
        extra: further columns of the table, unchanged.
    """

    name: str
    genres: tuple[str, ...]
    path: Path | None = None
    artist: str = ""
    split: str = ""
    start: float = 0.0
    duration: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Skipped:
    """A file or row that is not used, and why: the kind for programs, the reason for people."""

    path: str
    kind: SkipKind
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """The tracks, sorted by name, and the files and rows that were skipped.

    Args:
        archive: log-mel archive of the tracks; None if each track has an audio file.
        tree: the hierarchy of the genres; without parents if none is known.
    """

    tracks: tuple[Track, ...]
    skipped: tuple[Skipped, ...] = ()
    archive: Path | None = None
    tree: GenreTree = field(default_factory=GenreTree)

    @property
    def genres(self) -> list[str]:
        """All genres of all tracks, sorted."""
        return sorted({genre for track in self.tracks for genre in track.genres})

    def without(self, reasons: Mapping[str, SkipReason]) -> "Catalogue":
        """Move the tracks named in ``reasons`` (name -> reason) to the skipped ones."""
        if not reasons:
            return self
        used = tuple(track for track in self.tracks if track.name not in reasons)
        removed = (track for track in self.tracks if track.name in reasons)
        skipped = tuple(Skipped(display_name(track), *reasons[track.name]) for track in removed)
        return replace(self, tracks=used, skipped=self.skipped + skipped)

    def with_merged_spellings(self) -> "Catalogue":
        """One spelling per genre and per artist, that of most tracks; what is merged is logged."""
        used = (genre for track in self.tracks for genre in track.genres)
        genres = merged_spellings(chain(used, self.tree.names), "genres")
        artists = merged_spellings((track.artist for track in self.tracks), "artists")

        def merged(track: Track) -> Track:
            spelled = tuple(dict.fromkeys([genres[genre] for genre in track.genres]))
            artist = artists[track.artist]
            is_same = spelled == track.genres and artist == track.artist
            return track if is_same else replace(track, genres=spelled, artist=artist)

        return replace(self, tracks=tuple(map(merged, self.tracks)), tree=self.tree.renamed(genres))

    def spelled_like(self, genres: Iterable[str]) -> "Catalogue":
        """The genres in the spelling of known ones."""
        known = tuple(genres)
        tree = self.tree.renamed({name: spell_like((name,), known)[0] for name in self.tree.names})
        tracks = tuple(replace(t, genres=spell_like(t.genres, known)) for t in self.tracks)
        return replace(self, tracks=tracks, tree=tree)

    def limited(self, per_genre: int) -> "Catalogue":
        """The first ``per_genre`` tracks of each primary genre."""
        counts: Counter[str] = Counter()
        tracks = []
        for track in self.tracks:
            counts[track.genres[0]] += 1
            if counts[track.genres[0]] <= per_genre:
                tracks.append(track)
        return replace(self, tracks=tuple(tracks))


def count_skipped(skipped: Iterable[Skipped]) -> str:
    """'12 unreadable, 3 outside the genre folders (move …)': number and remedy per kind, most frequent first."""
    counts = Counter(item.kind for item in skipped).most_common()
    return ", ".join(f"{n} {kind}" + (f" ({REMEDIES[kind]})" if kind in REMEDIES else "") for kind, n in counts)


def display_name(track: Track) -> str:
    """Name of a track in skipped.csv: its file, or its name if it has no file."""
    return printable_name(str(track.path)) if track.path else track.name


def build_catalogue(
    tracks: Iterable[Track],
    skipped: Iterable[Skipped] = (),
    archive: Path | None = None,
    tree: GenreTree | None = None,
) -> Catalogue:
    """Sort the tracks by name and check that names are unique.

    Raises:
        UserError: if two tracks share a name.
    """
    ordered = tuple(sorted(tracks, key=lambda track: track.name))
    for one, other in pairwise(ordered):
        if one.name == other.name:
            raise UserError(
                f"two tracks have the name {one.name}: {display_name(one)} and {display_name(other)}; remove one"
            )
    return Catalogue(ordered, tuple(skipped), archive, tree or GenreTree())


@checked
def read_folder(root: str | Path) -> Catalogue:
    """Read one folder per genre, with audio at any depth; a track is named by its path below ``root``.

    Raises:
        UserError: if there is no such folder, or no audio in its folders.
    """
    root = existing_folder(root, "data.root")
    tracks, skipped = [], loose_audio(root)
    for folder in visible_folders(root):
        files, others = genre_files(folder)
        genres = (printable_name(folder.name),)
        tracks += [Track(printable_name(file.relative_to(root).as_posix()), genres, file) for file in files]
        skipped += others
    if not tracks:
        found = f" (but {count_skipped(skipped)})" if skipped else ""
        raise UserError(
            f"no audio in the folders of {root}{found}; data.root must contain one folder of audio files per genre"
        )
    return build_catalogue(tracks, skipped)


def visible_folders(root: Path) -> list[Path]:
    """The folders directly below ``root`` that are not hidden, sorted."""
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def loose_audio(root: Path) -> list[Skipped]:
    """Audio files directly in ``root``, which belong to no genre folder, as skipped."""
    reason = f"outside the genre folders; {REMEDIES[SkipKind.OUTSIDE_GENRES]}"
    suffixes = AUDIO_SUFFIXES | OTHER_AUDIO_SUFFIXES
    files = sorted(file for file in root.iterdir() if file.suffix.lower() in suffixes and os.path.isfile(file))
    return [Skipped(str(file), SkipKind.OUTSIDE_GENRES, reason) for file in files if not file.name.startswith(".")]


def genre_files(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """The audio files below the folder of a genre; all other files, and the folder if it has no audio, as skipped."""
    files, skipped = audio_files(folder)
    if not files and not any(item.kind is SkipKind.OTHER_FORMAT for item in skipped):
        reason = f"a genre folder without audio; {REMEDIES[SkipKind.NO_AUDIO]}"
        skipped.append(Skipped(str(folder), SkipKind.NO_AUDIO, reason))
    return files, skipped


def audio_files(folder: Path, suffixes: Set[str] = AUDIO_SUFFIXES) -> tuple[list[Path], list[Skipped]]:
    """The audio files below a folder, in a fixed order, and all other files as skipped.

    Args:
        suffixes: by which audio files are known.
    """
    files, skipped = [], []
    for file in walk_files(folder):
        if reason := rejection_reason(file, suffixes):
            skipped.append(Skipped(str(file), *reason))
        else:
            files.append(file)
    return files, skipped


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder in a fixed order, including broken links and folders without read permission."""
    unreadable: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: unreadable.append(Path(error.filename))):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))
    yield from unreadable


def printable_name(name: str) -> str:
    """A file name that can be written as UTF-8: other bytes are escaped as \\udcxx."""
    return name.encode("utf-8", "backslashreplace").decode()


def rejection_reason(file: Path, suffixes: Set[str] = AUDIO_SUFFIXES) -> SkipReason | None:
    """Why a file is skipped before it is read; None if it is not."""
    if file.name.startswith("."):
        resource_fork = " (macOS resource fork)" if file.name.startswith("._") else ""
        return SkipReason(SkipKind.HIDDEN, f"hidden file{resource_fork}")
    if os.path.isdir(file):
        return SkipReason(SkipKind.NOT_A_FILE, "a folder without read permission")
    if kind := special_file(file):
        return SkipReason(SkipKind.NOT_A_FILE, f"not a file but a {kind}")
    if not os.path.isfile(file):  # unlike Path.is_file, no error in a folder without read permission
        return SkipReason(SkipKind.NOT_A_FILE, "not a file (a broken link?)")
    if file.suffix.lower() in suffixes:
        return None
    if file.suffix.lower() in OTHER_AUDIO_SUFFIXES:
        return other_format(file)
    return SkipReason(SkipKind.NOT_AUDIO, f"not audio by its name ({file.suffix or 'no extension'})")


def other_format(file: Path) -> SkipReason:
    """Why a file of a format that libsndfile does not read is skipped."""
    suffix = file.suffix.lower()
    command = f"ffmpeg -i {file.stem}{file.suffix} {file.stem}.flac"
    return SkipReason(SkipKind.OTHER_FORMAT, f"{suffix} is not read; convert it: {command}")


@checked
def read_csv(path: str | Path, root: str | Path | None = None, genre_tree: str | Path | None = None) -> Catalogue:
    """Read a CSV with ``path`` and ``genres`` (separated by ``;``), optional artist, split, start, duration (seconds).

    Paths are relative to ``root`` if given, else to the CSV. A track is named by the column ``track`` if there is one,
    else by its path (and start).

    Args:
        genre_tree: a CSV of ``genre`` and ``parent``, of which an empty one, or a genre that is not listed, has none.

    Raises:
        UserError: if the file or a column is missing, or no row can be used.
    """
    path = Path(path).expanduser()
    base = existing_folder(root, "data.root") if root else path.parent
    tracks, skipped = unique_tracks(path, ("path", "genres"), lambda row: parse_track(row, base))
    if not tracks:
        raise UserError(f"no usable row in {path}: the first reason is '{skipped[0].reason}' ({skipped[0].path})")
    tree = read_genre_tree(Path(genre_tree).expanduser()) if genre_tree else None
    return build_catalogue(tracks.values(), skipped, tree=tree)


def read_genre_tree(path: Path) -> GenreTree:
    """Read a CSV of ``genre`` and ``parent``.

    Raises:
        UserError: if it cannot be read, gives a genre two parents, or is no tree.
    """
    parents: dict[str, tuple[str, str]] = {}
    for row in read_table(path, ("genre", "parent")):
        genre, parent = row["genre"].strip(), row["parent"].strip()
        _, before = parents.setdefault(comparison_key(genre), (genre, parent))
        if comparison_key(before) != comparison_key(parent):
            raise UserError(f"{path} gives {genre} two parents, '{before}' and '{parent}'; remove one")
    return GenreTree.checked({genre: parent for genre, parent in parents.values() if genre and parent}, path)


def unique_tracks(
    path: Path, columns: tuple[str, ...], parse: Callable[[Mapping[str, str]], Track]
) -> tuple[dict[str, Track], list[Skipped]]:
    """The tracks of a CSV by name, those of repeated rows once; and the rows that are not used.

    Args:
        columns: that the table must have.
        parse: turns a row into a track, or raises BadRow.

    Raises:
        UserError: if the table cannot be read, or two rows of one track differ.
    """
    tracks: dict[str, Track] = {}
    numbers: dict[str, int] = {}
    skipped = []
    with without_collections():
        for number, row in enumerate(read_table(path, columns), start=2):
            try:
                track = parse(row)
                if (before := tracks.get(track.name)) is not None:
                    refuse_contradiction(path, before, numbers[track.name], track, number)
                    raise BadRow(SkipKind.DUPLICATE_ROW, f"the same as row {numbers[track.name]}")
                tracks[track.name], numbers[track.name] = track, number
            except BadRow as bad:
                skipped.append(Skipped(f"{path.name}:{number}", *bad.reason))
    return tracks, skipped


@contextmanager
def without_collections() -> Iterator[None]:
    """Do not look for cyclic garbage inside: among many new objects that live on, it costs a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def refuse_contradiction(path: Path, one: Track, first: int, other: Track, second: int) -> None:
    """Raise a UserError if two rows of one track differ in more than the spelling of labels."""
    cells, others = row_cells(one), row_cells(other)
    labels = ("genres", "artist", "split")
    for column, cell in cells.items():
        same = comparison_key if column in labels else str
        if same(cell) != same(others[column]):
            raise UserError(
                f"rows {first} and {second} of {path} contradict each other about {one.name}: {column} is '{cell}' "
                f"and '{others[column]}'; remove one of them"
            )


def row_cells(track: Track) -> dict[str, str]:
    """A track as a row of a table: column -> text."""
    duration = "" if track.duration is None else f"{track.duration}"
    own = {"path": str(track.path), "genres": ";".join(track.genres), "artist": track.artist, "split": track.split}
    return {**own, "start": f"{track.start}", "duration": duration, **track.extra}


def read_annotations(path: str | Path) -> tuple[dict[str, Track], list[Skipped]]:
    """The tracks that a CSV with a column ``track`` describes, by name; and the rows that are not used.

    Raises:
        UserError: if the table cannot be read, two rows of one track differ, or a cell of genres names none.
    """
    return unique_tracks(Path(path).expanduser(), ("track",), lambda row: parse_annotation(row, str(path)))


def parse_annotation(row: Mapping[str, str], table: str) -> Track:
    """Turn a row that describes a track of other data into a track; what is empty keeps the data's own value.

    Raises:
        BadRow: if it names no track.
        UserError: if it has genres that name none.
    """
    name, cell = row["track"], row.get("genres", "")
    if not name.strip():
        raise BadRow(SkipKind.INVALID_ROW, "no track")
    genres = split_genres(cell)
    if cell.strip() and not genres:
        raise UserError(
            f"the genres of {name} in {table} are '{cell}', which names none; correct them, or leave the cell empty to "
            "keep the track's own"
        )
    return Track(name, genres, artist=row.get("artist", ""), split=row.get("split", ""), extra=further_cells(row))


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a UTF-8 CSV with a header, which must name ``columns``.

    Raises:
        UserError: if the file is missing, is not UTF-8 text, lacks a column or has no rows.
    """
    with opened_table(path) as file:
        reader = csv.reader(file)
        header = next(reader, [])
        names = [plain_cell(name) for name in header if name]
        places = [place for place, name in enumerate(header) if name]
        rows = [dict(zip(names, cells_at(row, places), strict=True)) for row in reader if row]
    if not rows:
        raise UserError(f"{path} has no rows; it needs a header with {', '.join(columns)} and one row per track")
    if missing := [column for column in columns if column not in rows[0]]:
        raise UserError(f"{path} has no column '{missing[0]}'; its header is {','.join(rows[0])}")
    return rows


@contextmanager
def opened_table(path: Path) -> Iterator[IO[str]]:
    """Open a table in UTF-8, with or without a byte order mark; errors inside the context become a UserError.

    Raises:
        UserError: if the file is missing, is not UTF-8 text, or cannot be read.
    """
    if kind := special_file(path):
        raise UserError(f"{path} is a {kind}; it should be a CSV file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"there is no catalogue at {path}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV in UTF-8 ({error}); save it as UTF-8 text") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); it should be a CSV file") from None


def cells_at(row: Sequence[str], places: Iterable[int]) -> list[str]:
    """The cells at some places of a row, which may be shorter than the header; empty beyond its end."""
    return [plain_cell(row[place]) if place < len(row) else "" for place in places]


def parse_track(row: Mapping[str, str], base: Path) -> Track:
    """Turn a row of a table into a track.

    Raises:
        BadRow: if the row cannot be used.
    """
    genres = parse_genres(row["genres"])
    if not row["path"]:
        raise BadRow(SkipKind.INVALID_ROW, "no path")
    if "\0" in row["path"]:
        raise BadRow(SkipKind.INVALID_ROW, "the path holds a zero byte")
    start, duration = parse_seconds(row, "start") or 0.0, parse_seconds(row, "duration")
    name = row.get("track") or row["path"] + (f"@{start:g}" if start else "")
    file = Path(os.path.join(base, os.path.expanduser(row["path"])))  # a third faster than with /
    return Track(name, genres, file, row.get("artist", ""), row.get("split", ""), start, duration, further_cells(row))


def further_cells(row: Mapping[str, str]) -> dict[str, str]:
    """The cells of columns that the catalogue has no use for itself."""
    return {key: value for key, value in row.items() if key not in KNOWN_COLUMNS}


def parse_genres(cell: str) -> tuple[str, ...]:
    """'rock; pop' -> ('rock', 'pop').

    Raises:
        BadRow: if the cell names no genre.
    """
    genres = split_genres(cell)
    if not genres:
        raise BadRow(SkipKind.INVALID_ROW, "no genre")
    return genres


@lru_cache(maxsize=4096)  # a table has few different cells of genres
def split_genres(cell: str) -> tuple[str, ...]:
    """'rock; pop;' -> ('rock', 'pop'); () if the cell names no genre."""
    return tuple(dict.fromkeys(part.strip() for part in cell.split(";") if part.strip()))


def parse_seconds(row: Mapping[str, str], column: str) -> float | None:
    """A time in seconds; None if the cell is empty or missing.

    Raises:
        BadRow: if it is not a number, is negative or above 1e6.
    """
    cell = row.get(column, "").strip()
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        raise BadRow(SkipKind.INVALID_ROW, f"{column} '{cell}' is not a number of seconds") from None
    if not 0 <= value <= MAX_SECONDS:
        raise BadRow(SkipKind.INVALID_ROW, f"{column} '{cell}' is not a time in the track")
    return value


@checked
def read_logmel(path: str | Path, catalogue: str | Path | None = None) -> Catalogue:
    """Read the tracks of a log-mel archive (``mel_u8``, ``track``, ``genre``), selected and annotated by a CSV.

    Raises:
        UserError: if the file is not such an archive, or has no track in common with the CSV.
    """
    path = Path(path).expanduser()
    arrays = read_arrays(path, "track", "genre")
    names, genres = arrays["track"].ravel().tolist(), arrays["genre"].ravel().tolist()
    if len(names) != len(genres):
        raise UserError(f"{path} names {len(names)} tracks and {len(genres)} genres; it needs one genre per track")
    whole = build_catalogue(
        (Track(str(name), (str(genre),)) for name, genre in zip(names, genres, strict=True)), (), path
    )
    return annotate(whole, catalogue) if catalogue else whole


def read_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a log-mel archive, by name.

    Raises:
        UserError: if there is no such file, or it is damaged, something else, or lacks an array.
    """
    if kind := special_file(path):
        raise UserError(f"{path} is a {kind}; set data.path to a log-mel archive (.npz)")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        raise UserError(f"there is no log-mel archive at {path}; set data.path to the .npz file") from None
    except Exception as error:  # a damaged or foreign file makes zipfile and NumPy raise almost anything
        raise UserError(f"{path} is not a log-mel archive ({error}); it needs mel_u8, track and genre") from None


def annotate(catalogue: Catalogue, path: str | Path) -> Catalogue:
    """Select the tracks of a CSV with a column ``track``, and add its genres, artist, split and further columns.

    Raises:
        UserError: if they have no track in common.
    """
    notes, unusable = read_annotations(path)
    names = {track.name for track in catalogue.tracks}
    unknown = [Skipped(name, SkipKind.NOT_IN_DATA, "in the catalogue only") for name in sorted(notes.keys() - names)]
    not_selected = SkipReason(SkipKind.NOT_SELECTED, f"not in {Path(path).name}")
    chosen = catalogue.without(dict.fromkeys(names - notes.keys(), not_selected))
    if not chosen.tracks:
        raise UserError(f"none of the {len(notes)} tracks of {path} is in the data; compare its column 'track'")
    tracks = tuple(annotate_track(track, notes[track.name]) for track in chosen.tracks)
    return replace(chosen, tracks=tracks, skipped=(*chosen.skipped, *unknown, *unusable))


def annotate_track(track: Track, note: Track) -> Track:
    """The track with what an annotation says of it."""
    return replace(
        track,
        genres=note.genres or track.genres,
        artist=note.artist or track.artist,
        split=note.split or track.split,
        extra={**track.extra, **note.extra},
    )


def existing_folder(path: str | Path, key: str) -> Path:
    """The folder at ``path``, the value of a configuration key.

    Raises:
        UserError: if there is no such folder.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={path} is not a folder; set {key} to the folder of the music")
    return folder
