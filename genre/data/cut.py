"""Cut 30-s segments from one's own music, with a catalogue beside them: python cut.py --help"""

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

from genre.data import audio
from genre.data.catalogue import Catalogue, Skipped, existing_folder, parse_genres, parse_seconds, read_csv, read_table
from genre.errors import BadAudio, BadRow, SkipKind, SkipReason, UserError
from genre.files import write_bytes, write_csv

log = logging.getLogger(__name__)

SAMPLE_RATE = 22_050  # Hz (source document)
SECONDS = 30.0  # source document
ROUNDING = 3  # samples by which resampling from 8 kHz may miss a length
STEM_BYTES = 180  # of a file name's 255, for what is added to it
OUR_COLUMNS = frozenset("track path genres start duration".split())

KEYS = ("table", "root", "out")
USAGE = "use: python cut.py table=TABLE.csv [root=FOLDER] out=FOLDER"
HELP = f"""{USAGE}

Cuts {SECONDS:g}-s segments from music of any format to 16-bit mono WAV at {SAMPLE_RATE:,} Hz.

  table   a CSV in UTF-8 with the columns
            file      relative to root
            genres    one, or several between ';'
            start     of the segment, in seconds (optional; empty: 0)
            duration  of the segment, in seconds (optional; empty: {SECONDS:g})
          and any further ones (artist, title, ...), which the catalogue gets too
  root    the folder of the music (default: the table's)
  out     gets NAME-START.wav, catalogue.csv, and skipped.csv with every row that was left out, and why

What is there already is not cut again, so the command can be repeated. Give each table an out of its own.

Example: songs.csv in ~/music holds

  file,genres,start,artist,title
  Queen/Bohemian Rhapsody.mp3,rock;pop,180,Queen,Bohemian Rhapsody
  Take Five.flac,jazz,,Dave Brubeck,Take Five

  python cut.py table=~/music/songs.csv out=data/songs
  python train.py data=csv data.path=data/songs/catalogue.csv task=multilabel
"""


@dataclass(frozen=True)
class Segment:
    """One row of a table: what to cut, and what is known of it.

    Args:
        file: the source as the table names it.
        source: where it lies.
        genres: one or several.
        start: in seconds.
        duration: in seconds.
        carried: the row's further columns, for the catalogue.
        origin: what tells the segment from any other, in words; each WAV keeps it as its comment.
    """

    file: str
    source: Path
    genres: tuple[str, ...]
    start: float
    duration: float
    carried: Mapping[str, str]
    origin: str


def cut(table: Path, out: Path, root: Path | None = None) -> Catalogue:
    """Cut every segment of a table that is not in ``out`` yet, and write ``catalogue.csv`` and ``skipped.csv`` there.

    Args:
        table: a CSV with ``file`` and ``genres``, optionally ``start`` and ``duration`` (seconds), and further columns.
        out: gets one 16-bit mono WAV at 22,050 Hz a segment, each whole or not there.
        root: what the files are relative to; None for the table's folder.

    Returns:
        What was written, as ``read_csv`` reads it, with the rows that were left out.

    Raises:
        UserError: if the table or a folder cannot be read or written, or no row can be used.
    """
    base = existing_folder(root, "root") if root else table.parent
    rows = read_table(table, ("file", "genres"))
    refuse_overwriting(table, out)
    segments, unusable = segments_of(rows, base, table.name)
    try:
        kept, bad = cut_all(segments, out)
        skipped = unusable + bad
        write_tables(out, kept, skipped)
    except OSError as error:
        raise UserError(f"cannot write to out={out} ({error.strerror}); choose a folder with room") from error
    if not kept:
        raise UserError(
            f"none of the {len(rows)} rows of {table} can be cut: {reasons(skipped)}; see {out}/skipped.csv"
        )
    return replace(read_csv(out / "catalogue.csv"), skipped=tuple(skipped))


def refuse_overwriting(table: Path, out: Path) -> None:
    """Raise a UserError where the table lies in the place of what is going to be written."""
    if table.resolve() in ((out / name).resolve() for name in ("catalogue.csv", "skipped.csv")):
        raise UserError(
            f"the table {table} would be overwritten by what is written to out={out}; choose another folder"
        )


def segments_of(rows: Iterable[Mapping[str, str]], base: Path, table: str) -> tuple[list[Segment], list[Skipped]]:
    """The rows that can be cut as far as one can tell without decoding, and the others."""
    segments: dict[str, Segment] = {}
    skipped = []
    for number, row in enumerate(rows, start=2):
        try:
            segment = segment_of(row, base)
            if segment.origin in segments:
                raise BadRow(SkipKind.DUPLICATE_ROW, "the same segment as in an earlier row")
            segments[segment.origin] = segment
        except BadRow as bad:
            skipped.append(left_out(row["file"] or f"{table}:{number}", bad.reason))
    return list(segments.values()), skipped


def segment_of(row: Mapping[str, str], base: Path) -> Segment:
    """One row of a table.

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
    return Segment(file, source, genres, start, duration, carried(row), origin)


def carried(row: Mapping[str, str]) -> dict[str, str]:
    """A row's further columns; those that would mean something else in the catalogue are called file_start, …"""
    row = {key: value.replace("\r", " ") for key, value in row.items() if key != "genres"}
    return {f"file_{key}" if key in OUR_COLUMNS else key: value for key, value in row.items()}


def left_out(path: str, reason: SkipReason) -> Skipped:
    """A row that is not used, told at once."""
    log.warning("skipped %s: %s", path, reason.text)
    return Skipped(path, *reason)


def named(segments: Iterable[Segment], out: Path) -> dict[str, Segment]:
    """A name for each segment: the one it has in ``out``, else STEM-START, with a mark where that is another's.

    A file in ``out`` that was not cut from this very segment is thus neither used nor overwritten.
    """
    names: dict[str, Segment] = {}
    taken = set()
    for segment in segments:
        plain = f"{safe(segment.source.stem)}-{segment.start:.10g}"
        free = folded(plain) not in taken and origin_of(out / f"{plain}.wav") in (None, segment.origin)
        name = plain if free else f"{plain}-{hashlib.sha256(segment.origin.encode()).hexdigest()[:8]}"
        taken.add(folded(name))
        names[name] = segment
    return names


def safe(stem: str) -> str:
    """A file name without separators, control characters and a leading ~, short enough to be added to."""
    return re.sub(r"^~|[/\\\x00-\x1f\x7f]", "_", stem).encode()[:STEM_BYTES].decode(errors="ignore")


def folded(name: str) -> str:
    """What two names share that some file systems take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def origin_of(path: Path) -> str | None:
    """The segment that a WAV was cut from; None where there is no file, empty if it is none of ours."""
    if not path.exists():
        return None
    try:
        with soundfile.SoundFile(path) as file:
            return str(file.comment)
    except soundfile.SoundFileError:
        return ""


def cut_all(segments: Iterable[Segment], out: Path) -> tuple[dict[str, Segment], list[Skipped]]:
    """Cut in parallel, with a progress bar: those that are there afterwards by their names, and the others."""
    from genre.data.store_builder import parallel_map  # loads PyTorch, which --help and a mistake should not wait for

    out.mkdir(parents=True, exist_ok=True)
    names = named(segments, out)
    problems = parallel_map(lambda name: problem(names[name], out / f"{name}.wav"), names)
    kept, skipped = {}, []
    for name, reason in progress(zip(names, problems, strict=True), "cutting", total=len(names)):
        if reason:
            skipped.append(left_out(names[name].file, reason))
        else:
            kept[name] = names[name]
    return kept, skipped


def problem(segment: Segment, path: Path) -> SkipReason | None:
    """Cut one segment unless it is there; return why it cannot be cut, or None."""
    try:
        if not path.exists():
            write_wav(path, samples_of(segment), segment.origin)
    except BadAudio as bad:
        return bad.reason
    return None


def samples_of(segment: Segment) -> npt.NDArray[np.int16]:
    """Exactly as many samples as the segment asks for: (samples,) int16, mono.

    Raises:
        BadAudio: if the file cannot be read, is silent there, or ends too early.
    """
    samples = audio.read_audio(segment.source, SAMPLE_RATE, segment.start, segment.duration)
    wanted = round(segment.duration * SAMPLE_RATE)
    if len(samples) < wanted - ROUNDING:
        length = len(samples) / SAMPLE_RATE
        raise BadAudio(
            SkipKind.TOO_SHORT,
            f"shorter than asked (from {segment.start:g} s on {length:.2f} s of {segment.duration:g} s)",
        )
    return np.pad(samples[:wanted], (0, max(wanted - len(samples), 0)))


def write_wav(path: Path, samples: npt.NDArray[np.int16], comment: str) -> None:
    """Write a mono WAV atomically: (samples,) int16."""
    memory = io.BytesIO()  # what does not fit on the disk is then an OSError like any other
    with soundfile.SoundFile(memory, "w", SAMPLE_RATE, 1, "PCM_16", format="WAV") as file:
        file.comment = comment
        file.write(samples)
    write_bytes(path, memory.getbuffer())


def write_tables(out: Path, kept: Mapping[str, Segment], skipped: Iterable[Skipped]) -> None:
    """Write skipped.csv, and where anything was cut catalogue.csv: track, path, genres and the further columns."""
    write_csv(out / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in skipped))
    if kept:
        further = list(next(iter(kept.values())).carried)
        own = {name: (name, f"{name}.wav", ";".join(segment.genres)) for name, segment in kept.items()}
        rows = ([*own[name], *(segment.carried[key] for key in further)] for name, segment in kept.items())
        write_csv(out / "catalogue.csv", ("track", "path", "genres", *further), rows)


def reasons(skipped: Iterable[Skipped]) -> str:
    """'12 no such file, 3 silent': the number of rows per kind."""
    from genre.data.store import count_kinds

    return count_kinds(item.kind for item in skipped)


def songs_per_genre(catalogue: Catalogue) -> dict[str, int]:
    """How many songs each genre has, commonest first; two segments of one file are one song."""
    pairs = {(genre, track.extra["file"]) for track in catalogue.tracks for genre in track.genres}
    counts = Counter(genre for genre, _ in sorted(pairs))
    return dict(counts.most_common())


def summary(songs: Mapping[str, int]) -> str:
    """An aligned table of the songs each genre has."""
    width = max(len("genre"), *map(len, songs))
    return "\n".join(f"{genre:<{width}}  {count:>5}" for genre, count in [("genre", "songs"), *songs.items()])


def imbalance(songs: Mapping[str, int]) -> str:
    """A warning where the genres are not equally represented, as the source document wants them; else nothing."""
    most, least = max(songs, key=songs.__getitem__), min(songs, key=songs.__getitem__)
    if songs[most] == songs[least]:
        return ""
    return f"the genres are not equally represented: {songs[most]} songs of {most}, {songs[least]} of {least}"


def paths_of(arguments: Iterable[str]) -> dict[str, Path]:
    """'key=value' as it was typed, value by value -> paths, with ``~`` for the home folder.

    Raises:
        UserError: if a key is unknown, doubled or missing, or has no value.
    """
    paths: dict[str, Path] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in KEYS or not value or key in paths:
            fault = "is there twice" if key in paths else "has no value" if key in KEYS else "is not known"
            raise UserError(f"the argument '{argument}' {fault}; {USAGE}")
        paths[key] = Path(os.path.expanduser(value))
    if missing := [f"{key}=…" for key in ("table", "out") if key not in paths]:
        raise UserError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; {USAGE}")
    return paths


def main() -> None:
    """Cut what the command line asks for, and tell what there is now."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(HELP, end="")
        return
    paths = paths_of(sys.argv[1:])
    catalogue = cut(**paths)
    songs = songs_per_genre(catalogue)
    print(summary(songs))
    if warning := imbalance(songs):
        log.warning("warning: %s", warning)
    print(f"{len(catalogue.tracks)} segments, {len(catalogue.skipped)} rows left out: {paths['out'] / 'catalogue.csv'}")
