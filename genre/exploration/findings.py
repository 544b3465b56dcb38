"""Problems of a collection that matter for training: files, duplicates, artists and genres."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track as progress

from genre.data import audio
from genre.data.catalogue import Catalogue, Skipped, Track, display_name
from genre.data.duplicates import Pair
from genre.data.store import Store
from genre.data.store_builder import parallel_map
from genre.errors import BadAudio, SkipKind
from genre.exploration.result_cache import cached_result
from genre.files import write_csv

FULL_SCALE = 0.999  # absolute sample value; an MP3 of clipped music oscillates around 1
RUN = 3  # consecutive samples at full scale; unclipped music reaches it for one or two
MIN_SHARE_OF_VIEW = 0.9  # share of the view; shorter tracks are reported
EXAMINATION_VERSION = 1  # increase when the examination of a file changes
SUFFIXES = {
    "WAV": ".wav", "WAVEX": ".wav", "RF64": ".rf64 .wav", "W64": ".w64", "FLAC": ".flac", "MP3": ".mp3",
    "OGG": ".ogg .oga .opus", "AU": ".au .snd", "AIFF": ".aiff .aif .aifc", "CAF": ".caf",
}  # fmt: skip
FINDING_KINDS = {
    SkipKind.UNREADABLE: "unreadable",
    SkipKind.NOT_READ: "unreadable",
    SkipKind.TRUNCATED: "truncated",
    SkipKind.SILENT: "silent",
    SkipKind.TOO_SHORT: "too short",
    SkipKind.NOT_A_NUMBER: "not numbers",
}  # why a file is skipped -> the kind of finding
KINDS = {
    "unreadable": "cannot be decoded",
    "truncated": "ends before the end that its header states",
    "silent": f"peak below {audio.SILENT_PEAK:g}",
    "not numbers": "has samples that are not numbers",
    "too short": f"shorter than {audio.SHORTEST:g} s",
    "shorter than the view": "is padded with silence",
    "clipped": f"too many samples in runs of {RUN} or more at {FULL_SCALE:.1%} of full scale or above",
    "wrong extension": "the content has another format than the file name",
    "exact duplicate": "all samples are equal",
    "near duplicate": "the same recording according to the spectrograms",
    "artist in several genres": "tracks per primary genre",
    "genre with few tracks": "fewer tracks than the option few",
}  # in the order of the report


@dataclass(frozen=True)
class Finding:
    """One problem of a collection.

    Args:
        kind: one of KINDS.
        track: the track, file, artist or genre concerned.
        other: the second track of a pair.
        value: the measured share, seconds, or number of tracks or genres.
        correlation: of a pair.
        shift: delay of ``other`` relative to ``track``, in seconds.
        detail: further information as text.
    """

    kind: str
    track: str
    other: str = ""
    value: float | None = None
    correlation: float | None = None
    shift: float | None = None
    detail: str = ""


def skipped_findings(catalogue: Catalogue) -> list[Finding]:
    """Return the findings of skipped files, including audio files skipped because of their extension."""
    findings = []
    for item in catalogue.skipped:
        if item.kind in FINDING_KINDS:
            findings.append(Finding(FINDING_KINDS[item.kind], item.path, detail=item.reason))
        elif found := format_of_unrecognized_file(item):
            findings.append(
                Finding("wrong extension", item.path, detail=f"contains {found}; skipped because of its name")
            )
    return findings


def format_of_unrecognized_file(item: Skipped) -> str:
    """Return the audio format of a file skipped because of its extension; empty if it is not audio."""
    if item.kind not in (SkipKind.NOT_AUDIO, SkipKind.OTHER_FORMAT):
        return ""
    try:
        with audio.open_audio(Path(item.path)) as file:
            return str(file.format)
    except (BadAudio, TypeError):  # soundfile raises TypeError for .raw
        return ""


def file_findings(tracks: Sequence[Track], clipped: float, folder: Path) -> list[Finding]:
    """Examine each file: clipped samples, wrong extension.

    Args:
        clipped: share of clipped samples above which a track is reported.
        folder: cache of the tracks' examinations.
    """
    examinations = parallel_map(lambda track: examine(track, folder), tracks)
    pairs = progress(zip(tracks, examinations, strict=True), "examining", total=len(tracks))
    return [finding for track, values in pairs for finding in findings_of_file(track, values, clipped)]


def findings_of_file(track: Track, values: Mapping[str, Any], clipped: float) -> list[Finding]:
    """Return the findings of one track from its examination."""
    findings = []
    if values["clipped"] > clipped:
        detail = f"{values['clipped']:.3%} of the samples are clipped"
        findings.append(Finding("clipped", track.name, value=values["clipped"], detail=detail))
    usual = SUFFIXES.get(values["format"], "").split()
    if usual and track.path and track.path.suffix.lower() not in usual:
        detail = f"{track.path.name} contains {values['format']}; rename it to {usual[0]}"
        findings.append(Finding("wrong extension", track.name, detail=detail))
    return findings


def examine(track: Track, folder: Path) -> dict[str, Any]:
    """Return a usable track's format according to its content, empty if unknown, and its share of clipped samples.

    They are cached.
    """

    @cache
    def decoded() -> tuple[str, float]:
        assert track.path is not None, f"{track.name} has no file"
        part = audio.Slice(track.path, audio.PAPER_SAMPLE_RATE, track.start, track.duration)
        with audio.decoder(part) as (_, blocks, kind):  # at the file's own rate
            counts = [(clipped_share(block) * len(block), len(block)) for block in blocks]
            return kind, sum(clipped for clipped, _ in counts) / sum(length for _, length in counts)

    compute: dict[str, Callable[[], Any]] = {"format": lambda: decoded()[0], "clipped": lambda: decoded()[1]}
    try:
        return cached_result(folder, track, {"examined": EXAMINATION_VERSION}, compute)
    except BadAudio:  # changed since it was decoded
        return {"format": "", "clipped": 0.0}


def clipped_share(samples: npt.NDArray[np.float32]) -> float:
    """(samples, channels) -> share of samples in runs of three or more at full scale within a channel."""
    full = np.abs(samples) >= FULL_SCALE
    last = len(full) - RUN + 1
    begins = np.logical_and.reduce([full[step : last + step] for step in range(RUN)])
    clipped = np.zeros_like(full)
    for step in range(RUN):
        clipped[step : last + step] |= begins
    return float(clipped.mean())


def length_findings(store: Store, seconds: float) -> list[Finding]:
    """Return the tracks that are much shorter than the view, which pads them with silence."""
    spans = ((store.offsets[1:] - store.offsets[:-1]) / store.rate).tolist()
    return [
        Finding("shorter than the view", name, value=span, detail=f"{span:.1f} s of {seconds:g} s")
        for name, span in zip(store.names, spans, strict=True)
        if span < MIN_SHARE_OF_VIEW * seconds
    ]


def duplicate_findings(pairs: Iterable[Pair], catalogue: Catalogue) -> list[Finding]:
    """Return the pairs of duplicates, with their genres where these differ."""
    genres = {track.name: track.genres for track in catalogue.tracks}
    findings = []
    for pair in pairs:
        one, other = genres[pair.one], genres[pair.other]
        detail = f"their genres differ: {';'.join(one)} and {';'.join(other)}" if one != other else ""
        kind = "exact duplicate" if pair.exact else "near duplicate"
        findings.append(Finding(kind, pair.one, pair.other, None, pair.correlation, pair.shift, detail))
    return findings


def artist_findings(catalogue: Catalogue) -> list[Finding]:
    """Return the artists whose tracks have several primary genres."""
    counts: dict[str, Counter[str]] = {}
    for track in catalogue.tracks:
        if track.artist:
            counts.setdefault(track.artist, Counter())[track.genres[0]] += 1
    return [
        Finding("artist in several genres", artist, value=len(genres), detail=list_counts(genres))
        for artist, genres in sorted(counts.items())
        if len(genres) > 1
    ]


def genre_findings(catalogue: Catalogue, few: int) -> list[Finding]:
    """Return the genres that are the primary genre of fewer than ``few`` tracks."""
    counts = Counter(track.genres[0] for track in catalogue.tracks)
    return [
        Finding("genre with few tracks", genre, value=count, detail=f"{count} tracks, fewer than few={few}")
        for genre in catalogue.genres
        if (count := counts[genre]) < few
    ]


def list_counts(counts: Mapping[str, int]) -> str:
    """Return 'rock 12, metal 3', most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def write_findings(path: Path, findings: Iterable[Finding], tracks: Iterable[Track]) -> None:
    """Write findings.csv: one row per finding, with the genres, artists and titles of its tracks."""
    by_name = {name: track for track in tracks for name in (track.name, display_name(track))}
    rows = [finding_row(finding, by_name) for finding in findings]
    header = list(finding_row(Finding("", ""), {}))
    write_csv(path, header, (list(row.values()) for row in rows))


def finding_row(finding: Finding, by_name: Mapping[str, Track]) -> dict[str, str]:
    """Return a finding as a row of findings.csv: column -> text, empty where unknown."""
    one, other = by_name.get(finding.track), by_name.get(finding.other)
    return {
        "kind": finding.kind,
        "track": finding.track,
        "other": finding.other,
        "value": "" if finding.value is None else f"{finding.value:.6g}",
        "correlation": "" if finding.correlation is None else f"{finding.correlation:.4f}",
        "shift": "" if finding.shift is None else f"{finding.shift:.2f}",
        "genres": ";".join(one.genres) if one else "",
        "other_genres": ";".join(other.genres) if other else "",
        "artist": one.artist if one else "",
        "other_artist": other.artist if other else "",
        "title": one.extra.get("title", "") if one else "",
        "other_title": other.extra.get("title", "") if other else "",
        "detail": finding.detail,
    }
