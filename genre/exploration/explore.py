"""The command `explore.py`: features by genre, the network's input pictures, and problems of a collection."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from omegaconf import DictConfig

from genre.config.build import build_pipeline, read_catalogue
from genre.config.settings import ExploreSettings, explore_settings
from genre.data import duplicates
from genre.data.catalogue import Catalogue, Skipped, Track, parse_genres, read_logmel, read_table
from genre.data.sources import first_store
from genre.data.store import Store
from genre.errors import BadRow, SkipKind, UserError
from genre.evaluation import figures
from genre.evaluation.report import write_skipped
from genre.exploration import features, findings, pictures, plots
from genre.exploration.features import Values
from genre.exploration.findings import Finding, write_findings
from genre.exploration.report import WITHOUT_MUSIC, by_genre, exploration_report, medians, print_findings
from genre.files import write_csv, write_text
from genre.terminal import plain_console

LABELS = {"spectral_centroid_mean": "mean spectral centroid (Hz)", "tempo": "tempo (BPM)"}


@dataclass(frozen=True)
class Exploration:
    """The result of `explore`.

    Args:
        folder: contains all files.
        features: track -> feature -> value; empty for an archive.
        findings: problems of the collection, by kind.
    """

    folder: Path
    features: dict[str, Values]
    findings: list[Finding] = field(default_factory=list)


def explore(cfg: DictConfig | ExploreSettings) -> Exploration:
    """Explore a collection of music, an archive of log-mels, or a table of features.

    Raises:
        UserError: if the collection or table does not exist, or has nothing usable.
    """
    settings = explore_settings(cfg)
    if settings.features:
        return explore_table(settings, settings.features)
    if settings.data.reader.target is not read_logmel:
        features.check_names(settings.also)
    return explore_collection(settings)


def explore_table(settings: ExploreSettings, path: Path) -> Exploration:
    """Draw the figures of an existing table of features, without music.

    Raises:
        UserError: if the table lacks a column, or has no usable row.
    """
    folder = settings.folder
    if not path.is_file():
        raise UserError(f"features={path} does not exist; give a CSV with one row of features per track")
    columns = list(dict.fromkeys([*features.PAPER_FEATURES, *(f"{name}_mean" for name in settings.also)]))
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
    catalogue = Catalogue(tuple(track for track in tracks if track.name in table), tuple(skipped))
    draw_features(folder, table, catalogue)
    write_skipped(folder, catalogue)
    report = f"{path.name}: {len(table)} tracks of {len(catalogue.genres)} genres\n\n{medians(table, catalogue)}"
    write_text(folder / "report.txt", report)
    plain_console().print(report, highlight=False)
    return Exploration(folder, table)


def parse_column(row: Mapping[str, str], names: Sequence[str], path: Path) -> str:
    """Return the first of ``names`` that is a column of the table.

    Raises:
        UserError: if none is.
    """
    for name in names:
        if name in row:
            return name
    raise UserError(f"{path} has no column {' or '.join(names)}; its header is {','.join(row)}")


def parse_finite(cell: str, column: str) -> float:
    """Return a cell as a number.

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


def explore_collection(settings: ExploreSettings) -> Exploration:
    """Explore a collection of music, or an archive of log-mels."""
    folder, cache = settings.folder, settings.data.cache
    listed = read_catalogue(settings.data)
    choose_track(settings.show, [track.name for track in listed.tracks])
    pipeline = build_pipeline(settings)
    first = first_store(listed, pipeline.spectrogram.sample_rate, cache)
    name = choose_track(settings.show, first.names)
    catalogue = listed.without(first.skipped)
    pairs = duplicates.find_duplicates(first, cache, **settings.duplicates.model_dump())
    problems = all_findings(catalogue, first, pairs, pipeline.view.seconds, settings)
    table: dict[str, Values] = {}
    measured = catalogue
    if not catalogue.archive:
        table, bad = features.feature_table(catalogue.tracks, settings.also, cache / "tracks")
        measured = catalogue.without(bad)
        write_features(folder, table, measured)
        draw_features(folder, table, measured)
    store = pipeline.picture_store(first, cache) if settings.data.keep else first
    unwritten = pictures.write_pictures(folder, pipeline, store, catalogue) if settings.pictures else []
    pictures.draw_examples(folder, pipeline, store, catalogue, settings.examples)
    pictures.draw_mel(folder, pipeline, first, name)
    write_findings(folder / "findings.csv", problems, listed.tracks)
    skipped = (*measured.skipped, *unwritten)
    write_skipped(folder, replace(measured, skipped=skipped))
    shown = replace(catalogue, skipped=skipped)
    write_text(folder / "report.txt", exploration_report(settings.name, shown, problems, pairs, table))
    print_findings(problems)
    if catalogue.archive:
        plain_console().print(WITHOUT_MUSIC, highlight=False)
    return Exploration(folder, table, problems)


def choose_track(name: str | None, names: Sequence[str]) -> str:
    """Return the track of ``show``, or the first track.

    Raises:
        UserError: if there is no such track.
    """
    if name and name not in names:
        raise UserError(f"show={name} is not a usable track; an example of a track's name is {names[0]}")
    return name or names[0]


def all_findings(
    catalogue: Catalogue, first: Store, pairs: Sequence[duplicates.Pair], seconds: float, settings: ExploreSettings
) -> list[Finding]:
    """Return all findings, in the order of KINDS."""
    problems = findings.skipped_findings(catalogue)
    if not catalogue.archive:
        problems += findings.file_findings(catalogue.tracks, settings.clipped, settings.data.cache / "tracks")
    problems += findings.length_findings(first, seconds) + findings.duplicate_findings(pairs, catalogue)
    problems += findings.artist_findings(catalogue) + findings.genre_findings(catalogue, settings.few)
    order = list(findings.KINDS)
    return sorted(problems, key=lambda finding: order.index(finding.kind))


def write_features(folder: Path, table: Mapping[str, Values], catalogue: Catalogue) -> None:
    """Write features.csv: one row per track."""
    columns = features.all_columns(table.values())
    rows = (
        (track.name, ";".join(track.genres), *(table[track.name].get(column, "") for column in columns))
        for track in catalogue.tracks
    )
    write_csv(folder / "features.csv", ("track", "genres", *columns), rows)


def draw_features(folder: Path, table: Mapping[str, Values], catalogue: Catalogue) -> None:
    """Draw boxplots by genre: of the paper's features, and of further ones with one value per frame."""
    if not table:
        return
    first = next(iter(table.values()))
    further = [name for name in first if name.endswith("_mean") and not re.search(r"\d_mean$", name)]
    for column in dict.fromkeys([*features.PAPER_FEATURES, *further]):
        feature = column.removesuffix("_mean")
        words = feature.replace("_", " ")
        title = f"{words} by genre ({len(table):,} tracks)"
        figure = plots.boxplots(by_genre(table, catalogue, column), LABELS.get(column, f"mean {words}"), title)
        figures.save_figure(figure, folder / "figures" / f"{feature}.png")
