"""Cut 30-s segments from one's own music and write their catalogue: python cut.py --help"""

import hashlib
import io
import logging
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from rich.progress import track as progress

from genre.arguments import named_arguments
from genre.data import audio
from genre.data.audio import PAPER_SAMPLE_RATE
from genre.data.catalogue import Catalogue, Skipped, existing_folder, parse_genres, parse_seconds, read_csv, read_table
from genre.errors import BadAudio, BadRow, SkipKind, SkipReason, UserError
from genre.files import write_bytes, write_csv

log = logging.getLogger(__name__)

SECONDS = 30.0  # as in the paper
ROUNDING = 3  # samples by which a length may differ after resampling from 8 kHz
STEM_BYTES = 180  # of a file name's 255, leaving room for the suffix
OUR_COLUMNS = frozenset("track path genres start duration".split())

KEYS = ("table", "root", "out")
USAGE = "use: python cut.py table=TABLE.csv [root=FOLDER] out=FOLDER"
HELP = f"""{USAGE}

Cuts {SECONDS:g}-s segments from music of any format to 16-bit mono WAV at {PAPER_SAMPLE_RATE:,} Hz.

  table   a CSV in UTF-8 with the columns
            file      relative to root
            genres    one, or several between ';'
            start     of the segment, in seconds (optional; empty: 0)
            duration  of the segment, in seconds (optional; empty: {SECONDS:g})
          and any further ones (artist, title, ...), which are copied to the catalogue
  root    the folder of the music (default: the table's)
  out     receives NAME-START.wav, catalogue.csv, and skipped.csv with the skipped rows and the reasons

Existing segments are not cut again, so the command can be repeated. Use a separate out for each table.

Example: songs.csv in ~/music contains

  file,genres,start,artist,title
  Queen/Bohemian Rhapsody.mp3,rock;pop,180,Queen,Bohemian Rhapsody
  Take Five.flac,jazz,,Dave Brubeck,Take Five

  python cut.py table=~/music/songs.csv out=data/songs
  python train.py data=csv data.path=data/songs/catalogue.csv task=multilabel
"""


@dataclass(frozen=True)
class Segment:
    """One row of a table: a segment to cut.

    Args:
        file: the source file as given in the table.
        source: its path.
        genres: one or more.
        start: in seconds.
        duration: in seconds.
        extra: the row's further columns, for the catalogue.
        origin: identifies the segment; written to the WAV as its comment.
    """

    file: str
    source: Path
    genres: tuple[str, ...]
    start: float
    duration: float
    extra: Mapping[str, str]
    origin: str


def cut(table: Path, out: Path, root: Path | None = None) -> Catalogue:
    """Cut every segment of a table that is not in ``out`` yet, and write ``catalogue.csv`` and ``skipped.csv`` there.

    Args:
        table: a CSV with ``file`` and ``genres``, optionally ``start`` and ``duration`` (seconds), and further columns.
        out: receives one 16-bit mono WAV at 22,050 Hz per segment, each written atomically.
        root: folder that the files are relative to; None: the table's folder.

    Returns:
        The catalogue, as ``read_csv`` reads it, with the skipped rows.

    Raises:
        UserError: if the table or a folder cannot be read or written, or no row can be used.
    """
    base = existing_folder(root, "root") if root else table.parent
    rows = read_table(table, ("file", "genres"))
    refuse_overwriting(table, out)
    segments, invalid = segments_of(rows, base, table.name)
    try:
        segments_cut, uncut = cut_all(segments, out)
        skipped = invalid + uncut
        write_tables(out, segments_cut, skipped)
    except OSError as error:
        raise UserError(f"cannot write to out={out} ({error.strerror}); choose a folder with room") from error
    if not segments_cut:
        raise UserError(
            f"none of the {len(rows)} rows of {table} can be cut: {skip_counts(skipped)}; see {out}/skipped.csv"
        )
    return replace(read_csv(out / "catalogue.csv"), skipped=tuple(skipped))


def refuse_overwriting(table: Path, out: Path) -> None:
    """Raise a UserError if writing to ``out`` would overwrite the table."""
    if table.resolve() in ((out / name).resolve() for name in ("catalogue.csv", "skipped.csv")):
        raise UserError(f"out={out} would overwrite the table {table}; choose another folder")


def segments_of(rows: Iterable[Mapping[str, str]], base: Path, table: str) -> tuple[list[Segment], list[Skipped]]:
    """Return the rows that are valid before decoding, and the skipped ones."""
    segments: dict[str, Segment] = {}
    skipped = []
    for number, row in enumerate(rows, start=2):
        try:
            segment = segment_of(row, base)
            if segment.origin in segments:
                raise BadRow(SkipKind.DUPLICATE_ROW, "the same segment as in an earlier row")
            segments[segment.origin] = segment
        except BadRow as bad:
            skipped.append(skip_row(row["file"] or f"{table}:{number}", bad.reason))
    return list(segments.values()), skipped


def segment_of(row: Mapping[str, str], base: Path) -> Segment:
    """Return one row of a table as a segment.

    Raises:
        BadRow: if the row cannot be used.
    """
    if not (file := row["file"]):
        raise BadRow(SkipKind.INVALID_ROW, "no file")
    genres, start, asked = (
        parse_genres(row["genres"]),
        parse_seconds(row, "start") or 0.0,
        parse_seconds(row, "duration"),
    )
    duration = SECONDS if asked is None else asked
    source = base / os.path.expanduser(file)
    if not os.path.isfile(source):  # unlike Path.is_file, no error for a name too long
        raise BadRow(SkipKind.NO_SUCH_FILE, f"no such file ({source})")
    origin = f"{file} ({source.stat().st_size} bytes) from {start} s for {duration} s"
    return Segment(file, source, genres, start, duration, further_columns(row), origin)


def further_columns(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row's further columns; names that the catalogue uses itself get a prefix: file_start, …"""
    row = {key: value.replace("\r", " ") for key, value in row.items() if key != "genres"}
    return {f"file_{key}" if key in OUR_COLUMNS else key: value for key, value in row.items()}


def skip_row(path: str, reason: SkipReason) -> Skipped:
    """A row that is not used, told at once."""
    log.warning("skipped %s: %s", path, reason.text)
    return Skipped(path, *reason)


def name_segments(segments: Iterable[Segment], out: Path) -> dict[str, Segment]:
    """Return a name for each segment: STEM-START, with a hash if another segment or file has that name.

    A file in ``out`` that was not cut from this segment is neither used nor overwritten.
    """
    names: dict[str, Segment] = {}
    taken = set()
    for segment in segments:
        plain = f"{safe_stem(segment.source.stem)}-{segment.start:.10g}"
        free = folded_name(plain) not in taken and origin_of(out / f"{plain}.wav") in (None, segment.origin)
        name = plain if free else f"{plain}-{hashlib.sha256(segment.origin.encode()).hexdigest()[:8]}"
        taken.add(folded_name(name))
        names[name] = segment
    return names


def safe_stem(stem: str) -> str:
    """Return a stem without separators, control characters and leading ~, short enough for a suffix."""
    return re.sub(r"^~|[/\\\x00-\x1f\x7f]", "_", stem).encode()[:STEM_BYTES].decode(errors="ignore")


def folded_name(name: str) -> str:
    """Return a key that is equal for names which some file systems do not distinguish."""
    return unicodedata.normalize("NFC", name).casefold()


def origin_of(path: Path) -> str | None:
    """Return the origin of a WAV; None if there is no file, empty if it was not cut by this command."""
    if not path.exists():
        return None
    try:
        with soundfile.SoundFile(path) as file:
            return str(file.comment)
    except soundfile.SoundFileError:
        return ""


def cut_all(segments: Iterable[Segment], out: Path) -> tuple[dict[str, Segment], list[Skipped]]:
    """Cut segments in parallel; return the existing segments by name, and the skipped ones."""
    from genre.data.store_builder import parallel_map  # imports PyTorch, which --help does not need

    out.mkdir(parents=True, exist_ok=True)
    names = name_segments(segments, out)
    failures = parallel_map(lambda name: cut_segment(names[name], out / f"{name}.wav"), names)
    segments_cut, skipped = {}, []
    for name, reason in progress(zip(names, failures, strict=True), "cutting", total=len(names)):
        if reason:
            skipped.append(skip_row(names[name].file, reason))
        else:
            segments_cut[name] = names[name]
    return segments_cut, skipped


def cut_segment(segment: Segment, path: Path) -> SkipReason | None:
    """Cut one segment unless it exists; return the reason if it cannot be cut."""
    try:
        if not path.exists():
            write_wav(path, samples_of(segment), segment.origin)
    except BadAudio as bad:
        return bad.reason
    return None


def samples_of(segment: Segment) -> npt.NDArray[np.int16]:
    """Return exactly ``duration`` seconds: (samples,) int16, mono.

    Raises:
        BadAudio: if the file cannot be read, is silent there, or ends too early.
    """
    samples = audio.read_audio(segment.source, PAPER_SAMPLE_RATE, segment.start, segment.duration)
    wanted = round(segment.duration * PAPER_SAMPLE_RATE)
    if len(samples) < wanted - ROUNDING:
        length = len(samples) / PAPER_SAMPLE_RATE
        raise BadAudio(
            SkipKind.TOO_SHORT,
            f"shorter than asked (from {segment.start:g} s on {length:.2f} s of {segment.duration:g} s)",
        )
    return np.pad(samples[:wanted], (0, max(wanted - len(samples), 0)))


def write_wav(path: Path, samples: npt.NDArray[np.int16], comment: str) -> None:
    """Write a mono WAV atomically: (samples,) int16."""
    memory = io.BytesIO()  # so that a full disk raises OSError in write_bytes
    with soundfile.SoundFile(memory, "w", PAPER_SAMPLE_RATE, 1, "PCM_16", format="WAV") as file:
        file.comment = comment
        file.write(samples)
    write_bytes(path, memory.getbuffer())


def write_tables(out: Path, segments_cut: Mapping[str, Segment], skipped: Iterable[Skipped]) -> None:
    """Write skipped.csv, and unless nothing was cut catalogue.csv: track, path, genres and the further columns."""
    write_csv(out / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in skipped))
    if segments_cut:
        further = list(next(iter(segments_cut.values())).extra)
        own = {name: (name, f"{name}.wav", ";".join(segment.genres)) for name, segment in segments_cut.items()}
        rows = ([*own[name], *(segment.extra[key] for key in further)] for name, segment in segments_cut.items())
        write_csv(out / "catalogue.csv", ("track", "path", "genres", *further), rows)


def skip_counts(skipped: Iterable[Skipped]) -> str:
    """'12 no such file, 3 silent': the number of rows per kind."""
    from genre.data.store import count_kinds

    return count_kinds(item.kind for item in skipped)


def songs_per_genre(catalogue: Catalogue) -> dict[str, int]:
    """Return the number of songs per genre, most frequent first; segments of one file count as one song."""
    pairs = {(genre, track.extra["file"]) for track in catalogue.tracks for genre in track.genres}
    counts = Counter(genre for genre, _ in sorted(pairs))
    return dict(counts.most_common())


def song_table(songs: Mapping[str, int]) -> str:
    """Return an aligned table of the number of songs per genre."""
    width = max(len("genre"), *map(len, songs))
    return "\n".join(f"{genre:<{width}}  {count:>5}" for genre, count in [("genre", "songs"), *songs.items()])


def imbalance_warning(songs: Mapping[str, int]) -> str:
    """Return a warning if the genres differ in their number of songs (the paper's are equal); else an empty text."""
    most, least = max(songs, key=songs.__getitem__), min(songs, key=songs.__getitem__)
    if songs[most] == songs[least]:
        return ""
    return f"the numbers of songs per genre differ: {songs[most]} of {most}, {songs[least]} of {least}"


def parse_arguments(arguments: Iterable[str]) -> dict[str, Path]:
    """Parse arguments 'key=path', taken literally except for ``~``.

    Raises:
        UserError: if a key is unknown, repeated or missing, or has no value.
    """
    values = named_arguments(arguments, KEYS, USAGE)
    paths = {key: Path(os.path.expanduser(value)) for key, value in values.items()}
    if missing := [f"{key}=…" for key in ("table", "out") if key not in paths]:
        raise UserError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; {USAGE}")
    return paths


def main() -> None:
    """Run the command: cut the segments and print the number of songs per genre."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(HELP, end="")
        return
    paths = parse_arguments(sys.argv[1:])
    catalogue = cut(**paths)
    songs = songs_per_genre(catalogue)
    print(song_table(songs))
    if warning := imbalance_warning(songs):
        log.warning("warning: %s", warning)
    print(f"{len(catalogue.tracks)} segments, {len(catalogue.skipped)} rows skipped: {paths['out'] / 'catalogue.csv'}")
