"""What is wrong with a collection: files, copies, artists and genres that whoever trains on it should know of."""

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
from genre.exploration.kept import cached_result
from genre.files import write_csv

FULL_SCALE = 0.999  # what counts as the highest level; MP3s that were clipped before swing about it
RUN = 3  # samples in a row at full scale; music reaches it for one or two without being clipped
SHORT = 0.9  # of the view: shorter tracks are padded with silence
EXAMINED = 1  # raised whenever the examination of a file changes
SUFFIXES = {
    "WAV": ".wav", "WAVEX": ".wav", "RF64": ".rf64 .wav", "W64": ".w64", "FLAC": ".flac", "MP3": ".mp3",
    "OGG": ".ogg .oga .opus", "AU": ".au .snd", "AIFF": ".aiff .aif .aifc", "CAF": ".caf",
}  # fmt: skip
FINDING_KINDS = {
    SkipKind.UNREADABLE: "unreadable",
    SkipKind.TRUNCATED: "truncated",
    SkipKind.SILENT: "silent",
    SkipKind.TOO_SHORT: "too short",
    SkipKind.NOT_A_NUMBER: "not numbers",
}  # why a file is skipped -> the kind of finding
KINDS = {
    "unreadable": "cannot be decoded",
    "truncated": "ends before its header says so",
    "silent": f"peak under {audio.SILENT_PEAK:g}",
    "not numbers": "has samples that are not numbers",
    "too short": f"under {audio.SHORTEST:g} s",
    "shorter than the view": "padded with silence",
    "clipped": f"too many samples stay above {FULL_SCALE:g} of full scale, {RUN} or more in a row",
    "wrong extension": "holds another format than its name says",
    "exact duplicate": "equal to the last bit",
    "near duplicate": "the same recording by its spectrogram",
    "artist in several genres": "by primary genre",
    "genre with few tracks": "fewer than asked for",
}  # in the order of the report


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or at least worth knowing.

    Args:
        kind: one of KINDS.
        track: the track, file, artist or genre that it is about.
        other: the second track of a pair.
        value: what was measured: a share, seconds, a number of tracks or genres.
        correlation: of a pair.
        shift: how many seconds later ``other`` plays the same.
        detail: the rest, in words.
    """

    kind: str
    track: str
    other: str = ""
    value: float | None = None
    correlation: float | None = None
    shift: float | None = None
    detail: str = ""


def skipped_findings(catalogue: Catalogue) -> list[Finding]:
    """The files that could not be used, and audio that is not taken for such because of its name."""
    findings = []
    for item in catalogue.skipped:
        if item.kind in FINDING_KINDS:
            findings.append(Finding(FINDING_KINDS[item.kind], item.path, detail=item.reason))
        elif found := hidden_audio(item):
            findings.append(Finding("wrong extension", item.path, detail=f"holds {found}, and is left out"))
    return findings


def hidden_audio(item: Skipped) -> str:
    """The format of a file that is audio although its name does not say so; empty for all others."""
    if item.kind is not SkipKind.NOT_AUDIO:
        return ""
    try:
        with audio.open_audio(Path(item.path)) as file:
            return str(file.format)
    except (BadAudio, TypeError):  # TypeError: soundfile's word for .raw
        return ""


def file_findings(tracks: Sequence[Track], clipped: float, folder: Path) -> list[Finding]:
    """What single files have: clipped samples, the wrong extension.

    Args:
        clipped: share of samples in runs at full scale above which a track counts as clipped.
        folder: where the examinations of single tracks are kept.
    """
    found = parallel_map(lambda track: examine(track, folder), tracks)
    pairs = progress(zip(tracks, found, strict=True), "examining", total=len(tracks))
    return [finding for track, values in pairs for finding in findings_of_file(track, values, clipped)]


def findings_of_file(track: Track, values: Mapping[str, Any], clipped: float) -> list[Finding]:
    """The findings of one track, from what its examination says."""
    findings = []
    if values["clipped"] > clipped:
        detail = f"{values['clipped']:.3%} of the samples"
        findings.append(Finding("clipped", track.name, value=values["clipped"], detail=detail))
    usual = SUFFIXES.get(values["format"], "").split()
    if usual and track.path and track.path.suffix.lower() not in usual:
        detail = f"{track.path.name} holds {values['format']}; {usual[0]} would be right"
        findings.append(Finding("wrong extension", track.name, detail=detail))
    return findings


def examine(track: Track, folder: Path) -> dict[str, Any]:
    """A usable track's format by its content, and the share of its samples that are clipped."""

    @cache
    def decoded() -> tuple[str, float]:
        assert track.path is not None, f"{track.name} has no file"
        with audio.open_audio(track.path) as file:
            blocks = audio.decoded_blocks(track.path, file, track.start, track.duration)
            counts = [(clipped_share(block) * len(block), len(block)) for block in blocks]
            return str(file.format), sum(hot for hot, _ in counts) / sum(length for _, length in counts)

    compute: dict[str, Callable[[], Any]] = {"format": lambda: decoded()[0], "clipped": lambda: decoded()[1]}
    try:
        return cached_result(folder, track, {"examined": EXAMINED}, compute)
    except BadAudio:  # changed since it was decoded
        return {"format": "", "clipped": 0.0}


def clipped_share(samples: npt.NDArray[np.float32]) -> float:
    """The share of samples that stay at full scale for three or more in a row in their channel: (samples, channels)."""
    hot = np.abs(samples) >= FULL_SCALE
    last = len(hot) - RUN + 1
    begins = np.logical_and.reduce([hot[step : last + step] for step in range(RUN)])
    clipped = np.zeros_like(hot)
    for step in range(RUN):
        clipped[step : last + step] |= begins
    return float(clipped.mean())


def length_findings(store: Store, seconds: float) -> list[Finding]:
    """Tracks that are much shorter than the view, which are padded with silence."""
    spans = ((store.offsets[1:] - store.offsets[:-1]) / store.rate).tolist()
    return [
        Finding("shorter than the view", name, value=span, detail=f"{span:.1f} s of {seconds:g} s")
        for name, span in zip(store.names, spans, strict=True)
        if span < SHORT * seconds
    ]


def duplicate_findings(pairs: Iterable[Pair], catalogue: Catalogue) -> list[Finding]:
    """Tracks that are the same recording, and whether they are said to be of different genres."""
    genres = {track.name: track.genres for track in catalogue.tracks}
    findings = []
    for pair in pairs:
        one, other = genres[pair.one], genres[pair.other]
        detail = f"their genres differ: {';'.join(one)} and {';'.join(other)}" if one != other else ""
        kind = "exact duplicate" if pair.exact else "near duplicate"
        findings.append(Finding(kind, pair.one, pair.other, None, pair.correlation, pair.shift, detail))
    return findings


def artist_findings(catalogue: Catalogue) -> list[Finding]:
    """Artists whose tracks are of several primary genres."""
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
    """Genres with fewer than ``few`` tracks that are first of all theirs."""
    counts = Counter(track.genres[0] for track in catalogue.tracks)
    return [
        Finding("genre with few tracks", genre, value=count, detail=f"{count} of the {few} asked for")
        for genre in catalogue.genres
        if (count := counts[genre]) < few
    ]


def list_counts(counts: Mapping[str, int]) -> str:
    """'rock 12, metal 3', the most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def write_findings(path: Path, findings: Iterable[Finding], tracks: Iterable[Track]) -> None:
    """Write findings.csv: each finding with the genres, artists and titles of its tracks."""
    known = {name: track for track in tracks for name in (track.name, display_name(track))}
    header = "kind track other value correlation shift genres other_genres artist other_artist title other_title detail"
    write_csv(path, header.split(), (finding_row(finding, known) for finding in findings))


def finding_row(finding: Finding, known: Mapping[str, Track]) -> list[str]:
    """A finding as a row of findings.csv."""
    described = describe(known.get(finding.track)), describe(known.get(finding.other))
    of_both = [text for both in zip(*described, strict=True) for text in both]
    numbers = (("{:.6g}", finding.value), ("{:.4f}", finding.correlation), ("{:.2f}", finding.shift))
    cells = ["" if number is None else form.format(number) for form, number in numbers]
    return [finding.kind, finding.track, finding.other, *cells, *of_both, finding.detail]


def describe(track: Track | None) -> tuple[str, str, str]:
    """Genres, artist and title of a track, empty where unknown."""
    return (";".join(track.genres), track.artist, track.extra.get("title", "")) if track else ("", "", "")
