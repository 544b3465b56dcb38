"""From one audio file, or a slice of it, to mono samples at one rate."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from genre.errors import BadAudio

SHORTEST = 1.0  # seconds
SILENT_PEAK = 1e-4
FULL_SCALE = 32767.0
KEPT_PEAKS = (0.1, 1.0)


def read(path: Path, sample_rate: int, start: float = 0.0, duration: float | None = None) -> npt.NDArray[np.float32]:
    """Decode mono audio by libsndfile, resampled by soxr (as librosa does): (samples,) float32.

    Args:
        path: wav, mp3, flac, ogg, opus, au, aiff, … of any rate and any number of channels, which are averaged.
        sample_rate: of the result, in Hz.
        start: of the slice, in seconds.
        duration: of the slice, in seconds; None reads to the end.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s or silent, or holds NaN.
    """
    try:
        samples, rate = decode(path, start, duration)
    except (soundfile.SoundFileError, OSError) as error:
        raise BadAudio(f"unreadable: {str(error).rsplit(': ', 1)[-1].strip()}") from None
    if len(samples) < SHORTEST * rate:
        raise BadAudio(f"shorter than {SHORTEST:g} s ({len(samples) / rate:.2f} s)")
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    loudest = peak(mono)
    if not np.isfinite(loudest):
        raise BadAudio("has samples that are not numbers")
    if loudest < SILENT_PEAK:
        raise BadAudio(f"silent (peak under {SILENT_PEAK:g})")
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate)


def decode(path: Path, start: float, duration: float | None) -> tuple[npt.NDArray[np.float32], int]:
    """A slice of a file -> (samples, channels) float32, and its rate in Hz."""
    with soundfile.SoundFile(path) as file:
        begin = round(start * file.samplerate)
        if begin >= file.frames:
            raise BadAudio(f"starts at {start:g} s, beyond its end ({file.frames / file.samplerate:.2f} s)")
        wanted = file.frames - begin
        if duration is not None:
            wanted = min(wanted, round(duration * file.samplerate))
        if begin:
            file.seek(begin)
        samples = file.read(wanted, dtype="float32", always_2d=True)
        if len(samples) < wanted or cut_short(path):
            raise BadAudio("truncated")
        return samples, file.samplerate


def cut_short(path: Path) -> bool:
    """Whether a RIFF file ends before its header says so, which libsndfile does not tell."""
    with path.open("rb") as file:
        header = file.read(12)
        announced = int.from_bytes(header[4:8], "little") + 8
        streamed = announced - 8 in (0, 0x7FFFFFFF - 8, 0xFFFFFFFF)  # written by programs that never went back
        return header[:4] == b"RIFF" and not streamed and announced > file.seek(0, 2) + 1


def to_int16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Samples as they are kept: (samples,) int16.

    16-bit music keeps its very values. Music quieter or louder than 16 bits hold well is scaled to full scale; nothing
    that follows depends on the gain, since every clip is measured against its own maximum.
    """
    loudest = peak(samples)
    kept = KEPT_PEAKS[0] <= loudest <= KEPT_PEAKS[1]
    scaled = samples * np.float32(32768.0 if kept else FULL_SCALE / loudest)
    np.rint(scaled, out=scaled)
    return scaled.clip(-32768, 32767, out=scaled).astype(np.int16)


def peak(samples: npt.NDArray[np.float32]) -> float:
    """The largest absolute value; nan where one is."""
    return float(np.maximum(samples.max(), -samples.min()))
