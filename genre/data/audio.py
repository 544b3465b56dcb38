"""Decode an audio file, or a slice of it, to mono at one sample rate; memory is bounded whatever the header says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from genre.errors import BadAudio, SkipKind

SHORTEST = 1.0  # seconds
SILENT_PEAK = 1e-4
PAPER_SAMPLE_RATE = 22_050  # Hz; also the default of librosa.load
SAMPLE_RATES = (1_000, 768_000)  # Hz; a header outside this range is wrong
INT16_MAX = 32767.0
INT16_RANGE = 32768.0
UNSCALED_PEAKS = (0.1, 1.0)  # a clip with a peak outside is scaled to full scale
DECODED_SAMPLES = 1 << 21  # per block, over all channels


def read_audio(
    path: Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> npt.NDArray[np.int16]:
    """Decode mono audio by libsndfile, resampled by soxr (as librosa does): (samples,) int16.

    16-bit samples are returned as they are. A clip whose peak is below 0.1 or above 1 is scaled to full scale; the
    pipeline does not depend on the gain, because a log-mel is relative to its own maximum.

    Args:
        path: wav, mp3, flac, ogg, opus, au, aiff, … of any sample rate; channels are averaged.
        sample_rate: of the result, in Hz.
        start: of the slice, in seconds.
        duration: of the slice, in seconds; None reads to the end.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s or silent, or contains NaN.
    """
    samples, loudest = read_scaled(path, sample_rate, start, duration, INT16_RANGE)
    if loudest < SILENT_PEAK:
        raise BadAudio(SkipKind.SILENT, f"silent (peak under {SILENT_PEAK:g})")
    if not UNSCALED_PEAKS[0] <= loudest <= UNSCALED_PEAKS[1]:
        samples, _ = read_scaled(path, sample_rate, start, duration, INT16_MAX / loudest)
    return samples


def read_scaled(
    path: Path, sample_rate: int, start: float, duration: float | None, gain: float
) -> tuple[npt.NDArray[np.int16], float]:
    """A slice of a file times a gain, (samples,) int16, and its peak before the gain."""
    blocks, loudest = [], 0.0
    for block in resampled_blocks(path, sample_rate, start, duration):
        blocks.append(to_int16(block, gain))
        loudest = max(loudest, peak(block))
    return np.concatenate(blocks), loudest


def resampled_blocks(
    path: Path, sample_rate: int, start: float, duration: float | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a slice of a file in mono at one sample rate, in blocks (samples,) float32.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s, or contains NaN.
    """
    with open_audio(path) as file:
        rate = file.samplerate
        if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
            raise BadAudio(SkipKind.SAMPLE_RATE, f"has a sample rate of {rate} Hz")
        stream = soxr.ResampleStream(rate, sample_rate, 1) if rate != sample_rate else None
        for block in decoded_blocks(path, file, start, duration):
            mono = block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]
            if not np.isfinite(peak(mono)):
                raise BadAudio(SkipKind.NOT_A_NUMBER, "has samples that are not numbers")
            yield stream.resample_chunk(mono) if stream else mono
        if stream:
            yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file; errors inside the context become BadAudio.

    Raises:
        BadAudio: if the file cannot be opened, or an error occurs while it is read.
    """
    try:
        path.open("rb").close()  # the system's error message is clearer than libsndfile's
        with soundfile.SoundFile(path) as file:
            yield file
    except OSError as error:
        raise BadAudio(SkipKind.UNREADABLE, f"unreadable: {error.strerror}") from None
    except soundfile.SoundFileError as error:
        message = str(error).rsplit(": ", 1)[-1].strip()
        problem = "not audio" if "does not exist" in message else message
        raise BadAudio(SkipKind.UNREADABLE, f"unreadable: {problem}") from None


def decoded_blocks(
    path: Path, file: soundfile.SoundFile, start: float, duration: float | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a slice of an open file, in blocks (samples, channels) float32.

    Raises:
        BadAudio: if the slice is too short or begins beyond the end; after the last block, if the file is truncated.
    """
    if is_truncated(path):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    rate, begin = file.samplerate, round(start * file.samplerate)
    if begin >= file.frames:
        raise BadAudio(SkipKind.START_BEYOND_END, f"starts at {start:g} s, beyond its end ({file.frames / rate:.2f} s)")
    requested = file.frames - begin if duration is None else min(file.frames - begin, round(duration * rate))
    if requested < SHORTEST * rate:
        raise too_short(requested / rate)
    if begin:
        file.seek(begin)
    remaining, size = requested, DECODED_SAMPLES // file.channels
    while remaining and len(block := file.read(min(remaining, size), dtype="float32", always_2d=True)):
        remaining -= len(block)
        yield block
    if remaining and has_exact_length(path, file):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    if requested - remaining < SHORTEST * rate:
        raise too_short((requested - remaining) / rate)


def too_short(seconds: float) -> BadAudio:
    """The error of a file or slice of less than the shortest usable length."""
    return BadAudio(SkipKind.TOO_SHORT, f"shorter than {SHORTEST:g} s ({seconds:.2f} s)")


def has_exact_length(path: Path, file: soundfile.SoundFile) -> bool:
    """Return whether the file's header gives its exact length; for an MP3 without such a header it is an estimate."""
    if file.format != "MPEG" and file.format != "MP3":
        return True
    with path.open("rb") as raw:
        tag = raw.read(10)
        if tag[:3] == b"ID3":
            raw.seek(10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True)))
        else:
            raw.seek(0)
        first = raw.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def is_truncated(path: Path) -> bool:
    """Return whether a RIFF, AIFF or AU file is shorter than its header announces; libsndfile does not report that."""
    with path.open("rb") as file:
        header, size = file.read(12), file.seek(0, 2)
    kind = header[:4]
    if kind == b".snd":
        offset, data = (int.from_bytes(header[at : at + 4], "big") for at in (4, 8))
        return data != 0xFFFFFFFF and offset + data > size + 1
    if kind not in (b"RIFF", b"FORM"):
        return False
    announced = int.from_bytes(header[4:8], "little" if kind == b"RIFF" else "big")
    streamed = announced in (0, 0x7FFFFFFF - 8, 0xFFFFFFFF)  # placeholders of programs that write to a pipe
    return not streamed and announced + 8 > size + 1


def to_int16(samples: npt.NDArray[np.float32], gain: float) -> npt.NDArray[np.int16]:
    """Samples times a gain, rounded and clipped: (samples,) int16."""
    scaled = samples * np.float32(gain)
    np.rint(scaled, out=scaled)
    return scaled.clip(-32768, 32767, out=scaled).astype(np.int16)


def peak(samples: npt.NDArray[np.float32]) -> float:
    """Largest absolute value; NaN if a sample is NaN, 0 for no samples."""
    return float(np.maximum(samples.max(), -samples.min())) if len(samples) else 0.0
