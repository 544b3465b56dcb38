"""The text of an exploration: report.txt, and the table in the terminal."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.table import Table

from genre.data import duplicates
from genre.data.catalogue import Catalogue, Track, count_skipped
from genre.exploration import features
from genre.exploration.features import Values
from genre.exploration.findings import KINDS, Finding
from genre.terminal import plain_console

LISTED_FINDINGS = 100  # findings of a kind in report.txt
WITHOUT_MUSIC = (
    "An archive contains spectrograms only. Spectral centroid, tempo and other features, and the checks of files "
    "(unreadable, truncated, silent, clipped, too short, wrong extension) need the audio files."
)


def exploration_report(
    name: str,
    catalogue: Catalogue,
    findings: Sequence[Finding],
    pairs: Sequence[duplicates.Pair],
    table: Mapping[str, Values],
) -> str:
    """Return the text of report.txt."""
    tracks = {track.name: track for track in catalogue.tracks}
    genres, unused = len(catalogue.genres), len(catalogue.skipped)
    which = f": {count_skipped(catalogue.skipped)}" if unused else ""
    parts = [f"{name}: {len(tracks)} tracks of {genres} genres; {unused} files or rows skipped (skipped.csv){which}"]
    for kind, meaning in KINDS.items():
        of_kind = [finding for finding in findings if finding.kind == kind]
        if of_kind:
            lines = [f"  {finding_line(finding, tracks)}" for finding in of_kind[:LISTED_FINDINGS]]
            unlisted = len(of_kind) - LISTED_FINDINGS
            rest = [f"  and {unlisted} more in findings.csv"] if unlisted > 0 else []
            parts.append("\n".join([f"{kind} ({meaning}): {len(of_kind)}", *lines, *rest]))
    if not findings:
        parts.append("No problems found.")
    if pairs:
        groups = duplicates.duplicate_groups(pairs)
        redundant = sum(len(group) - 1 for group in groups)
        parts.append(f"duplicates: {len(pairs)} pairs, {len(groups)} recordings, {redundant} redundant tracks")
    if table:
        parts.append(medians(table, catalogue))
    if catalogue.archive:
        parts.append(WITHOUT_MUSIC)
    return "\n\n".join(parts).rstrip() + "\n"


def finding_line(finding: Finding, tracks: Mapping[str, Track]) -> str:
    """Return a finding as a line of text."""
    if finding.correlation is None or finding.shift is None:
        return f"{finding.track}: {finding.detail}" if finding.detail else finding.track
    titles = [track_title(tracks[name]) for name in (finding.track, finding.other)]
    songs = " and ".join(dict.fromkeys(title for title in titles if title))
    parts = (f"correlation {finding.correlation:.3f}, shift {finding.shift:+.2f} s", songs, finding.detail)
    return f"{finding.track} = {finding.other}: {'; '.join(part for part in parts if part)}"


def track_title(track: Track) -> str:
    """Return 'artist: title', or the one that is known."""
    return ": ".join(part for part in (track.artist, track.extra.get("title", "")) if part)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the number of findings of each kind, with an example."""
    table = Table("finding", "number", "example")
    for kind in KINDS:
        of_kind = [finding for finding in findings if finding.kind == kind]
        if of_kind:
            first = of_kind[0]
            example = f"{first.track} = {first.other}" if first.other else first.track
            table.add_row(kind, str(len(of_kind)), example)
    plain_console().print(table if findings else "No problems found.")


def by_genre(table: Mapping[str, Values], catalogue: Catalogue, column: str) -> dict[str, list[float]]:
    """Return a feature's values per genre; a track with several genres counts in each."""
    values: dict[str, list[float]] = {}
    for track in (track for track in catalogue.tracks if track.name in table):
        for genre in track.genres:
            values.setdefault(genre, []).append(table[track.name][column])
    return dict(sorted(values.items()))


def medians(table: Mapping[str, Values], catalogue: Catalogue) -> str:
    """Return the number of tracks and the medians of the paper's features per genre, as aligned text."""
    centroids, tempos = (by_genre(table, catalogue, column) for column in features.PAPER_FEATURES)
    width = max(len(genre) for genre in [*centroids, "genre"])
    lines = [f"{'genre':{width}}  tracks  spectral centroid (Hz)  tempo (BPM)"]
    for genre, values in centroids.items():
        row = f"{genre:{width}}  {len(values):6}  {np.median(values):22.0f}  {np.median(tempos[genre]):11.1f}"
        lines.append(row)
    return "\n".join(["Median per genre", "", *lines]) + "\n"
