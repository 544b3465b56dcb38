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
from genre.data.catalogue import Catalogue, Skipped, Track, parse_genres, read_table
from genre.data.sources import first_store
from genre.data.store import Store
from genre.errors import BadRow, SkipKind, UserError
from genre.evaluation import figures
from genre.evaluation.report import write_skipped
from genre.exploration import doctor, drawing, features, pictures
from genre.exploration.doctor import Finding
from genre.exploration.features import Values
from genre.exploration.report import WITHOUT_MUSIC, by_genre, exploration_report, medians, print_findings
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
        UserError: if there is no such collection or table, or nothing in it can be used.
    """
    values = config.plain(cfg)
    check_settings(values)
    return explore_table(values) if values["features"] else explore_collection(values)


def check_settings(values: Mapping[str, Any]) -> None:
    """Refuse settings that make no sense, before any data is read.

    Raises:
        UserError: naming the key.
    """
    same = values["duplicates"]
    if not 0 < same["correlation"] <= 1:
        raise UserError(f"duplicates.correlation={same['correlation']} must lie above 0, and at most at 1")
    if not 0 < same["overlap"] <= same["seconds"]:
        raise UserError(f"duplicates.overlap={same['overlap']} must lie between 0 and duplicates.seconds")
    if values["examples"] < 0 or values["few"] < 0:
        raise UserError("examples and few count tracks: 0 or more")
    if not values["features"]:
        archive = values["spectrogram"]["_target_"].endswith(".Archive")
        if values["data"]["kind"] == "logmel" and not archive:
            raise UserError("data=logmel holds spectrograms of the archive's kind; leave out spectrogram=document")
        if values["data"]["kind"] != "logmel":
            features.check_names(values["also"])


def explore_table(values: Mapping[str, Any]) -> Exploration:
    """Figures from a table of features that exists already, without any music.

    Raises:
        UserError: if the table lacks a column, or has no usable row.
    """
    folder, path = Path(values["folder"]), Path(values["features"]).expanduser()
    if not path.is_file():
        raise UserError(f"there is no table at features={path}; it should be a CSV of features, a row a track")
    columns = list(dict.fromkeys([*features.DOCUMENT, *(f"{name}_mean" for name in values["also"])]))
    rows = read_table(path, tuple(columns))
    name, genre = parse_column(rows[0], ("track", "filename"), path), parse_column(rows[0], ("genres", "label"), path)
    tracks, table, skipped = [], {}, []
    for number, row in enumerate(rows, start=2):
        try:
            tracks.append(Track(row[name], parse_genres(row[genre])))
            table[row[name]] = {column: parse_finite(row[column], column) for column in columns}
        except BadRow as bad:
            skipped.append(Skipped(f"{path.name}:{number}", *bad.reason))
    if not table:
        raise UserError(f"no usable row in {path}: the first reason is '{skipped[0].reason}' ({skipped[0].path})")
    found = Catalogue(tuple(track for track in tracks if track.name in table), tuple(skipped))
    draw_features(folder, table, found)
    write_skipped(folder, found)
    report = f"{path.name}: {len(table)} tracks of {len(found.genres)} genres\n\n{medians(table, found)}"
    write_text(folder / "report.txt", report)
    Console().print(report, markup=False, highlight=False)
    return Exploration(folder, table)


def parse_column(row: Mapping[str, str], names: Sequence[str], path: Path) -> str:
    """The first of some columns that a table has.

    Raises:
        UserError: if it has none of them.
    """
    for name in names:
        if name in row:
            return name
    raise UserError(f"{path} has no column {' or '.join(names)}; its header is {','.join(row)}")


def parse_finite(cell: str, column: str) -> float:
    """A number of a table.

    Raises:
        BadRow: if it is not a finite number.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRow(SkipKind.INVALID_ROW, f"{column} '{cell}' is not a number")
    return value


def explore_collection(values: Mapping[str, Any]) -> Exploration:
    """All that can be told of a collection of music, or of an archive."""
    folder, cache = Path(values["folder"]), Path(values["data"]["cache"]).expanduser()
    listed = config.catalogue_of(values["data"])
    choose_track(values["show"], [track.name for track in listed.tracks])
    pipeline = config.pipeline_of({**values, "augment": {"_target_": "genre.transforms.augment.Augment"}})
    first = first_store(listed, pipeline.spectrogram.sample_rate, cache)
    name = choose_track(values["show"], first.names)
    found = listed.without(first.skipped)
    pairs = duplicates.find_duplicates(first, cache, **values["duplicates"])
    findings = diagnose(found, first, pairs, pipeline.view.seconds, values)
    table: dict[str, Values] = {}
    measured = found
    if not found.archive:
        table, bad = features.feature_table(found.tracks, values["also"], cache / "tracks")
        measured = found.without(bad)
        write_features(folder, table, measured)
        draw_features(folder, table, measured)
    seen = pipeline.picture_store(first, cache) if values["data"]["keep"] else first
    unwritten = pictures.write_pictures(folder, pipeline, seen, found) if values["pictures"] else []
    pictures.draw_examples(folder, pipeline, seen, found, values["examples"])
    pictures.draw_mel(folder, pipeline, first, name)
    doctor.write_findings(folder / "findings.csv", findings, listed.tracks)
    write_skipped(folder, replace(measured, skipped=(*measured.skipped, *unwritten)))
    write_text(folder / "report.txt", exploration_report(values["name"], found, findings, pairs, table))
    print_findings(findings)
    if found.archive:
        Console().print(WITHOUT_MUSIC, highlight=False)
    return Exploration(folder, table, findings)


def choose_track(name: str | None, names: Sequence[str]) -> str:
    """The track that a user asks to see, else the first.

    Raises:
        UserError: if it is not among them.
    """
    if name and name not in names:
        raise UserError(f"show={name} is no usable track; the tracks are called like {names[0]}")
    return name or names[0]


def diagnose(
    found: Catalogue, first: Store, pairs: Sequence[duplicates.Pair], seconds: float, values: Mapping[str, Any]
) -> list[Finding]:
    """Everything that is wrong with a collection, in the order of doctor.KINDS."""
    findings = doctor.skipped_findings(found)
    if not found.archive:
        cache = Path(values["data"]["cache"]).expanduser()
        findings += doctor.file_findings(found.tracks, values["clipped"], cache / "tracks")
    findings += doctor.length_findings(first, seconds) + doctor.duplicate_findings(pairs, found)
    findings += doctor.artist_findings(found) + doctor.genre_findings(found, values["few"])
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
        figures.save_figure(figure, folder / "figures" / f"{called}.png")
