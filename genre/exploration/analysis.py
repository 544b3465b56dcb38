"""A collection before anything is trained on it: features by genre, what the network sees, and what is wrong."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from genre import config
from genre.data import duplicates
from genre.data.catalogue import Catalogue, Skipped, Track, genres_of, read_table
from genre.data.sources import first_store
from genre.data.store import Store
from genre.errors import Mistake
from genre.evaluation import figures
from genre.evaluation.report import write_skipped
from genre.exploration import doctor, drawing, features, pictures
from genre.exploration.doctor import Finding
from genre.exploration.features import Values
from genre.exploration.report import WITHOUT_MUSIC, by_genre, medians, report_of, show
from genre.files import write_csv, write_text

LABELS = {"spectral_centroid_mean": "spectral centroid, mean (Hz)", "tempo": "tempo (BPM)"}


@dataclass(frozen=True)
class Exploration:
    """What was found out about a collection.

    Args:
        folder: where all files lie.
        features: track -> feature -> value; empty for an archive.
        findings: what is wrong, by kind.
    """

    folder: Path
    features: dict[str, Values]
    findings: list[Finding] = field(default_factory=list)


def explore(cfg: DictConfig) -> Exploration:
    """Explore a collection of music, an archive of log-mels, or a table of features.

    Raises:
        Mistake: if there is no such collection or table, or nothing in it can be used.
    """
    values = config.plain(cfg)
    check(values)
    return of_table(values) if values["features"] else of_collection(values)


def check(values: Mapping[str, Any]) -> None:
    """Refuse settings that make no sense, before any data is read.

    Raises:
        Mistake: naming the key.
    """
    same = values["duplicates"]
    if not 0 < same["correlation"] <= 1:
        raise Mistake(f"duplicates.correlation={same['correlation']} must lie above 0, and at most at 1")
    if not 0 < same["overlap"] <= same["seconds"]:
        raise Mistake(f"duplicates.overlap={same['overlap']} must lie between 0 and duplicates.seconds")
    if values["examples"] < 0 or values["few"] < 0:
        raise Mistake("examples and few count tracks: 0 or more")
    if not values["features"]:
        archive = values["spectrogram"]["_target_"].endswith(".Archive")
        if values["data"]["kind"] == "logmel" and not archive:
            raise Mistake("data=logmel holds spectrograms of the archive's kind; leave out spectrogram=document")
        if values["data"]["kind"] != "logmel":
            features.check(values["also"])


def of_table(values: Mapping[str, Any]) -> Exploration:
    """Figures from a table of features that exists already, without any music.

    Raises:
        Mistake: if the table lacks a column, or has no usable row.
    """
    folder, path = Path(values["folder"]), Path(values["features"]).expanduser()
    if not path.is_file():
        raise Mistake(f"there is no table at features={path}; it should be a CSV of features, a row a track")
    columns = list(dict.fromkeys([*features.DOCUMENT, *(f"{name}_mean" for name in values["also"])]))
    rows = read_table(path, tuple(columns))
    name, genre = column_of(rows[0], ("track", "filename"), path), column_of(rows[0], ("genres", "label"), path)
    tracks, table, skipped = [], {}, []
    for number, row in enumerate(rows, start=2):
        try:
            tracks.append(Track(row[name], genres_of(row[genre])))
            table[row[name]] = {column: finite(row[column], column) for column in columns}
        except ValueError as error:
            skipped.append(Skipped(f"{path.name}:{number}", str(error)))
    if not table:
        raise Mistake(f"no usable row in {path}: the first reason is '{skipped[0].reason}' ({skipped[0].path})")
    found = Catalogue(tuple(track for track in tracks if track.name in table), tuple(skipped))
    draw_features(folder, table, found)
    write_skipped(folder, found)
    report = f"{path.name}: {len(table)} tracks of {len(found.genres)} genres\n\n{medians(table, found)}"
    write_text(folder / "report.txt", report)
    Console().print(report, markup=False, highlight=False)
    return Exploration(folder, table)


def column_of(row: Mapping[str, str], names: Sequence[str], path: Path) -> str:
    """The first of some columns that a table has.

    Raises:
        Mistake: if it has none of them.
    """
    for name in names:
        if name in row:
            return name
    raise Mistake(f"{path} has no column {' or '.join(names)}; its header is {','.join(row)}")


def finite(cell: str, column: str) -> float:
    """A number of a table.

    Raises:
        ValueError: if it is none.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{column} '{cell}' is not a number")
    return value


def of_collection(values: Mapping[str, Any]) -> Exploration:
    """All that can be told of a collection of music, or of an archive."""
    folder, cache = Path(values["folder"]), Path(values["data"]["cache"]).expanduser()
    listed = config.catalogue_of(values["data"])
    chosen(values["show"], [track.name for track in listed.tracks])
    pipeline = config.pipeline_of({**values, "augment": {"_target_": "genre.transforms.augment.Augment"}})
    first = first_store(listed, pipeline.spectrogram.sample_rate, cache)
    name = chosen(values["show"], first.names)
    found = listed.without(first.skipped)
    pairs = duplicates.find(first, cache, **values["duplicates"])
    findings = diagnosis(found, first, pairs, pipeline.view.seconds, values)
    table: dict[str, Values] = {}
    measured = found
    if not found.archive:
        table, bad = features.table(found.tracks, values["also"], cache / "tracks")
        measured = found.without(bad)
        write_features(folder, table, measured)
        draw_features(folder, table, measured)
    seen = pipeline.keep_pictures(first, cache) if values["data"]["keep"] else first
    unwritten = pictures.write(folder, pipeline, seen, found) if values["pictures"] else []
    pictures.draw_examples(folder, pipeline, seen, found, values["examples"])
    pictures.draw_mel(folder, pipeline, first, name)
    doctor.write(folder / "findings.csv", findings, listed.tracks)
    write_skipped(folder, replace(measured, skipped=(*measured.skipped, *unwritten)))
    write_text(folder / "report.txt", report_of(values["name"], found, findings, pairs, table))
    show(findings)
    if found.archive:
        Console().print(WITHOUT_MUSIC, highlight=False)
    return Exploration(folder, table, findings)


def chosen(name: str | None, names: Sequence[str]) -> str:
    """The track that a user asks to see, else the first.

    Raises:
        Mistake: if it is not among them.
    """
    if name and name not in names:
        raise Mistake(f"show={name} is no usable track; the tracks are called like {names[0]}")
    return name or names[0]


def diagnosis(
    found: Catalogue, first: Store, pairs: Sequence[duplicates.Pair], seconds: float, values: Mapping[str, Any]
) -> list[Finding]:
    """Everything that is wrong with a collection, in the order of doctor.KINDS."""
    findings = doctor.of_skipped(found)
    if not found.archive:
        cache = Path(values["data"]["cache"]).expanduser()
        findings += doctor.of_files(found.tracks, values["clipped"], cache / "tracks")
    findings += doctor.of_lengths(first, seconds) + doctor.of_pairs(pairs, found)
    findings += doctor.of_artists(found) + doctor.of_genres(found, values["few"])
    order = list(doctor.KINDS)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def write_features(folder: Path, table: Mapping[str, Values], found: Catalogue) -> None:
    """Write features.csv, a row a track."""
    columns = features.columns(table.values())
    rows = (
        (track.name, ";".join(track.genres), *(table[track.name].get(column, "") for column in columns))
        for track in found.tracks
    )
    write_csv(folder / "features.csv", ("track", "genres", *columns), rows)


def draw_features(folder: Path, table: Mapping[str, Values], found: Catalogue) -> None:
    """Draw the boxplots by genre of the document's features, and of further ones that are one number a frame."""
    if not table:
        return
    first = next(iter(table.values()))
    further = [name for name in first if name.endswith("_mean") and not re.search(r"\d_mean$", name)]
    for column in dict.fromkeys([*features.DOCUMENT, *further]):
        called = column.removesuffix("_mean")
        label = LABELS.get(column, f"{called.replace('_', ' ')}, mean")
        title = f"{called.replace('_', ' ')} by genre, {len(table):,} tracks"
        figure = drawing.boxes(by_genre(table, found, column), label, title)
        figures.save(figure, folder / "figures" / f"{called}.png")
