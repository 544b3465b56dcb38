"""Audio features of tracks by librosa: the paper's two, and any others that a user names."""

import inspect
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track as progress

from genre.data import audio
from genre.data.audio import PAPER_SAMPLE_RATE
from genre.data.catalogue import Track, display_name
from genre.data.store_builder import parallel_map
from genre.errors import BadAudio, SkipKind, SkipReason, UserError
from genre.exploration.result_cache import cached_result
from genre.files import exclusive_lock

log = logging.getLogger(__name__)

PAPER_FEATURES = ("spectral_centroid_mean", "tempo")
Waveform = npt.NDArray[np.float32]
Values = dict[str, float]


def check_names(names: Sequence[str]) -> None:
    """Check names of features before any music is read.

    Raises:
        UserError: if a name is unknown; the message lists those available.
    """
    known = available()
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"also={unknown[0]} is not in librosa.feature; choose from {', '.join(known)}")


@cache
def import_librosa() -> ModuleType:
    """Import librosa with the ufuncs that Numba compiles at import, in one process at a time.

    Two processes that fill Numba's cache of ufuncs at once damage it for good: each later beat_track is a segmentation
    fault (https://github.com/numba/numba/issues/10128).
    """
    lock = Path(tempfile.gettempdir()) / f"genre-librosa-{os.getuid()}.lock"
    with exclusive_lock(lock, "librosa is being compiled"):
        import librosa.beat  # imports whatever else has ufuncs
    return librosa


def available() -> list[str]:
    """Return the functions of librosa.feature that compute real numbers per frame from a waveform alone."""
    librosa = import_librosa()
    names = []
    for name, function in inspect.getmembers(librosa.feature, inspect.isfunction):
        parameters = inspect.signature(function).parameters
        required = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
        if "y" in parameters and not required and name != "fourier_tempogram":  # complex values
            names.append(name)
    return names


def feature_table(
    tracks: Sequence[Track], also: Sequence[str], folder: Path
) -> tuple[dict[str, Values], dict[str, SkipReason]]:
    """Compute the paper's features of every track, and further ones, in threads and cached.

    Threads rather than processes: librosa spends most of its time outside Python's lock, and a process needs seconds
    to import it (60 clips on two cores: 3.5 s sequentially, 2.2 s in threads, 6.7 s in processes).

    Args:
        also: names of functions of librosa.feature.
        folder: cache of the tracks' features.

    Returns:
        Track -> feature -> value; and track -> the reason why it has no features.
    """
    values: dict[str, Values] = {}
    bad: dict[str, SkipReason] = {}
    results = parallel_map(lambda track: track_features(track, also, folder), tracks)
    pairs = progress(zip(tracks, results, strict=True), "features", total=len(tracks))
    for track, result in pairs:
        if isinstance(result, SkipReason):
            log.warning("%s has no features: %s", display_name(track), result.text)
            bad[track.name] = result
        else:
            values[track.name] = result
    return values, bad


def track_features(track: Track, also: Sequence[str], folder: Path) -> Values | SkipReason:
    """Return a track's features, column -> value, or the reason why it has none."""
    librosa = import_librosa()

    @cache
    def samples() -> Waveform:
        assert track.path is not None, f"{track.name} has no file"
        part = audio.Slice(track.path, PAPER_SAMPLE_RATE, track.start, track.duration)
        return np.concatenate(list(audio.resampled_blocks(part)))

    def computed(function: Callable[[Waveform], Values]) -> Values:
        return function(samples())

    functions: dict[str, Callable[[Waveform], Values]] = {"document": document_features}
    functions |= {name: partial(mean_and_variance, name) for name in also}
    settings = {"librosa": version("librosa"), "sample_rate": PAPER_SAMPLE_RATE}
    try:
        results = cached_result(folder, track, settings, {name: partial(computed, f) for name, f in functions.items()})
    except BadAudio as bad:
        return bad.reason
    except librosa.util.exceptions.ParameterError as error:
        return SkipReason(SkipKind.NOT_MEASURED, str(error))
    return {column: value for values in results.values() for column, value in values.items()}


def document_features(samples: Waveform) -> Values:
    """(samples,) at 22,050 Hz -> mean spectral centroid over the frames in Hz, and tempo in BPM."""
    librosa = import_librosa()
    centroid = librosa.feature.spectral_centroid(y=samples, sr=PAPER_SAMPLE_RATE)
    tempo, _ = librosa.beat.beat_track(y=samples, sr=PAPER_SAMPLE_RATE)
    return dict(zip(PAPER_FEATURES, (float(centroid.mean()), float(np.ravel(tempo)[0])), strict=True))


def mean_and_variance(name: str, samples: Waveform) -> Values:
    """Return mean and variance over the frames of each row of a function of librosa.feature.

    The columns are named as in published tables: rms_mean, rms_var; mfcc1_mean, mfcc1_var, mfcc2_mean, …
    """
    librosa = import_librosa()
    function = getattr(librosa.feature, name)
    rate: dict[str, Any] = {"sr": PAPER_SAMPLE_RATE} if "sr" in inspect.signature(function).parameters else {}
    rows = np.atleast_2d(function(y=samples, **rate)).astype(np.float64)
    values: Values = {}
    for number, row in enumerate(rows, start=1):
        column = name if len(rows) == 1 else f"{name}{number}"
        values |= {f"{column}_mean": float(row.mean()), f"{column}_var": float(row.var())}
    return values


def all_columns(values: Iterable[Values]) -> list[str]:
    """Return the name of every feature once, in order of first occurrence."""
    return list(dict.fromkeys(name for row in values for name in row))
