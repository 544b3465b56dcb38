"""What an exploration says in words: report.txt, and the table in the terminal."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genre.data import duplicates
from genre.data.catalogue import Catalogue, Track
from genre.exploration import doctor, features
from genre.exploration.doctor import Finding
from genre.exploration.features import Values

LISTED = 100  # findings of a kind in report.txt
WITHOUT_MUSIC = (
    "An archive holds spectrograms and no music: spectral centroid, tempo and other features, and the examination of "
    "files (unreadable, truncated, silent, clipped, too short, wrong extension) need the music itself."
)


def exploration_report(
    name: str,
    found: Catalogue,
    findings: Sequence[Finding],
    pairs: Sequence[duplicates.Pair],
    table: Mapping[str, Values],
) -> str:
    """The text of report.txt."""
    tracks = {track.name: track for track in found.tracks}
    genres, unused = len(found.genres), len(found.skipped)
    parts = [f"{name}: {len(tracks)} tracks of {genres} genres; {unused} files or rows are not used (skipped.csv)"]
    for kind, meaning in doctor.KINDS.items():
        some = [finding for finding in findings if finding.kind == kind]
        if some:
            lines = [f"  {line_of(finding, tracks)}" for finding in some[:LISTED]]
            rest = [f"  and {len(some) - LISTED} more in findings.csv"] if len(some) > LISTED else []
            parts.append("\n".join([f"{kind} ({meaning}): {len(some)}", *lines, *rest]))
    if not findings:
        parts.append("Nothing is wrong with it.")
    if pairs:
        groups = duplicates.duplicate_groups(pairs)
        more = sum(len(group) - 1 for group in groups)
        parts.append(f"pairs of duplicates: {len(pairs)}; their recordings: {len(groups)}; copies too many: {more}")
    if table:
        parts.append(medians(table, found))
    if found.archive:
        parts.append(WITHOUT_MUSIC)
    return "\n\n".join(parts).rstrip() + "\n"


def line_of(finding: Finding, tracks: Mapping[str, Track]) -> str:
    """A finding as a line of text."""
    if finding.correlation is None or finding.shift is None:
        return f"{finding.track}: {finding.detail}" if finding.detail else finding.track
    titles = [track_title(tracks[name]) for name in (finding.track, finding.other)]
    heard = " and ".join(dict.fromkeys(title for title in titles if title))
    parts = (f"{finding.correlation:.3f}, {finding.shift:+.2f} s", heard, finding.detail)
    return f"{finding.track} = {finding.other}: {'; '.join(part for part in parts if part)}"


def track_title(track: Track) -> str:
    """'artist: title', as far as known."""
    return ": ".join(part for part in (track.artist, track.extra.get("title", "")) if part)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print how much was found of each kind, with an example."""
    table = Table("finding", "number", "for example")
    for kind in doctor.KINDS:
        some = [finding for finding in findings if finding.kind == kind]
        if some:
            example = f"{some[0].track} = {some[0].other}" if some[0].other else some[0].track
            table.add_row(kind, str(len(some)), escape(example))
    Console().print(table if findings else "Nothing is wrong with this collection.")


def by_genre(table: Mapping[str, Values], found: Catalogue, column: str) -> dict[str, list[float]]:
    """A feature's values in each genre; a track of several genres counts in each of them."""
    values: dict[str, list[float]] = {}
    for track in (track for track in found.tracks if track.name in table):
        for genre in track.genres:
            values.setdefault(genre, []).append(table[track.name][column])
    return dict(sorted(values.items()))


def medians(table: Mapping[str, Values], found: Catalogue) -> str:
    """Number of tracks and medians of the document's features by genre, as aligned text."""
    centroids, tempos = (by_genre(table, found, column) for column in features.DOCUMENT)
    width = max(len(genre) for genre in [*centroids, "genre"])
    lines = [f"{'genre':{width}}  tracks  spectral centroid (Hz)  tempo (BPM)"]
    for genre, values in centroids.items():
        row = f"{genre:{width}}  {len(values):6}  {np.median(values):22.0f}  {np.median(tempos[genre]):11.1f}"
        lines.append(row)
    return "\n".join(["Medians by genre", "", *lines]) + "\n"
