"""Audio features of tracks, as librosa computes them: the source document's two, and any that a user names."""

import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track as progress

from genre.data import audio
from genre.data.catalogue import Track, display_name
from genre.data.store_builder import parallel_map
from genre.errors import BadAudio, SkipKind, SkipReason, UserError
from genre.exploration.kept import cached_result

log = logging.getLogger(__name__)

SAMPLE_RATE = 22_050  # Hz; what librosa.load makes of any file, and what the source document measured
DOCUMENT = ("spectral_centroid_mean", "tempo")
Samples = npt.NDArray[np.float32]
Values = dict[str, float]


def check_names(names: Sequence[str]) -> None:
    """Refuse what is no feature, before any music is read.

    Raises:
        UserError: naming the features that there are.
    """
    known = available()
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"also={unknown[0]} is no feature of librosa.feature; it has {', '.join(known)}")


def available() -> list[str]:
    """The functions of librosa.feature that turn a waveform into real numbers a frame."""
    import librosa

    names = []
    for name, function in inspect.getmembers(librosa.feature, inspect.isfunction):
        parameters = inspect.signature(function).parameters
        needed = [each for each, parameter in parameters.items() if parameter.default is parameter.empty]
        if "y" in parameters and not needed and name != "fourier_tempogram":  # which is complex
            names.append(name)
    return names


def feature_table(
    tracks: Sequence[Track], also: Sequence[str], folder: Path
) -> tuple[dict[str, Values], dict[str, SkipReason]]:
    """The document's features of every track, and further ones, in parallel and kept.

    Threads and not processes: librosa spends most of its time outside of Python's lock, and a process would first spend
    seconds on importing it (60 clips on two cores: 3.5 s one by one, 2.2 s in threads, 6.7 s in processes).

    Args:
        also: names of functions of librosa.feature.
        folder: where the features of single tracks are kept.

    Returns:
        track -> feature -> value; and track -> why it has none.
    """
    values: dict[str, Values] = {}
    bad: dict[str, SkipReason] = {}
    found = parallel_map(lambda track: track_features(track, also, folder), tracks)
    pairs = progress(zip(tracks, found, strict=True), "features", total=len(tracks))
    for track, result in pairs:
        if isinstance(result, SkipReason):
            log.warning("%s has no features: %s", display_name(track), result.text)
            bad[track.name] = result
        else:
            values[track.name] = result
    return values, bad


def track_features(track: Track, also: Sequence[str], folder: Path) -> Values | SkipReason:
    """A track's features by the names of their columns, or why it has none."""
    import librosa

    @cache
    def samples() -> Samples:
        assert track.path is not None, f"{track.name} has no file"
        return np.concatenate(list(audio.resampled_blocks(track.path, SAMPLE_RATE, track.start, track.duration)))

    def computed(function: Callable[[Samples], Values]) -> Values:
        return function(samples())

    wanted: dict[str, Callable[[Samples], Values]] = {"document": document_features}
    wanted |= {name: partial(moments, name) for name in also}
    settings = {"librosa": version("librosa"), "sample_rate": SAMPLE_RATE}
    try:
        known = cached_result(folder, track, settings, {name: partial(computed, f) for name, f in wanted.items()})
    except BadAudio as bad:
        return bad.reason
    except librosa.util.exceptions.ParameterError as error:
        return SkipReason(SkipKind.NOT_MEASURED, str(error))
    return {column: value for values in known.values() for column, value in values.items()}


def document_features(samples: Samples) -> Values:
    """(samples,) at 22,050 Hz -> the mean over the frames of the spectral centroid, in Hz, and the tempo, in BPM."""
    import librosa

    centroid = librosa.feature.spectral_centroid(y=samples, sr=SAMPLE_RATE)
    tempo, _ = librosa.beat.beat_track(y=samples, sr=SAMPLE_RATE)
    return dict(zip(DOCUMENT, (float(centroid.mean()), float(np.ravel(tempo)[0])), strict=True))


def moments(name: str, samples: Samples) -> Values:
    """Mean and variance over the frames of a function of librosa.feature, of each row where it has several.

    The columns are called as in the tables that circulate: rms_mean, rms_var; mfcc1_mean, mfcc1_var, mfcc2_mean, …
    """
    import librosa

    function = getattr(librosa.feature, name)
    rate: dict[str, Any] = {"sr": SAMPLE_RATE} if "sr" in inspect.signature(function).parameters else {}
    rows = np.atleast_2d(function(y=samples, **rate)).astype(np.float64)
    values: Values = {}
    for number, row in enumerate(rows, start=1):
        called = name if len(rows) == 1 else f"{name}{number}"
        values |= {f"{called}_mean": float(row.mean()), f"{called}_var": float(row.var())}
    return values


def columns(values: Iterable[Values]) -> list[str]:
    """Every feature's name once, in order."""
    return list(dict.fromkeys(name for row in values for name in row))
