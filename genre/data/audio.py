"""From one audio file, or a slice of it, to mono samples at one rate, in bounded memory whatever its header says."""

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
RATES = (1_000, 768_000)  # Hz; whatever a header says beyond that is not music's
FULL_SCALE = 32767.0
UNIT = 32768.0
KEPT_PEAKS = (0.1, 1.0)
BLOCK = 1 << 21  # samples, over all channels, that are decoded at once


def read_audio(
    path: Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> npt.NDArray[np.int16]:
    """Decode mono audio by libsndfile, resampled by soxr (as librosa does): (samples,) int16.

    16-bit music keeps its very values. Music quieter or louder than 16 bits hold well is scaled to full scale; nothing
    that follows depends on the gain, since every clip is measured against its own maximum.

    Args:
        path: wav, mp3, flac, ogg, opus, au, aiff, … of any rate and any number of channels, which are averaged.
        sample_rate: of the result, in Hz.
        start: of the slice, in seconds.
        duration: of the slice, in seconds; None reads to the end.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s or silent, or holds NaN.
    """
    samples, loudest = read_scaled(path, sample_rate, start, duration, UNIT)
    if loudest < SILENT_PEAK:
        raise BadAudio(SkipKind.SILENT, f"silent (peak under {SILENT_PEAK:g})")
    if not KEPT_PEAKS[0] <= loudest <= KEPT_PEAKS[1]:
        samples, _ = read_scaled(path, sample_rate, start, duration, FULL_SCALE / loudest)
    return samples


def read_scaled(
    path: Path, sample_rate: int, start: float, duration: float | None, gain: float
) -> tuple[npt.NDArray[np.int16], float]:
    """A slice of a file, times a gain: (samples,) int16; and its peak before that."""
    pieces, loudest = [], 0.0
    for block in resampled_blocks(path, sample_rate, start, duration):
        pieces.append(to_int16(block, gain))
        loudest = max(loudest, peak(block))
    return np.concatenate(pieces), loudest


def resampled_blocks(
    path: Path, sample_rate: int, start: float, duration: float | None
) -> Iterator[npt.NDArray[np.float32]]:
    """A slice of a file in mono at one rate, block by block: (samples,) float32 each.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s, or holds NaN.
    """
    with open_audio(path) as file:
        rate = file.samplerate
        if not RATES[0] <= rate <= RATES[1]:
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
    """An audio file; whatever is wrong with it inside is a reason to leave it out."""
    try:
        path.open("rb").close()  # what hinders us is clearer from the system than from libsndfile
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
    """A slice of an open file, block by block: (samples, channels) each.

    Raises:
        BadAudio: if it is too short, or once all of it is read and it was not all there.
    """
    if is_truncated(path):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    rate, begin = file.samplerate, round(start * file.samplerate)
    if begin >= file.frames:
        raise BadAudio(SkipKind.START_BEYOND_END, f"starts at {start:g} s, beyond its end ({file.frames / rate:.2f} s)")
    wanted = file.frames - begin if duration is None else min(file.frames - begin, round(duration * rate))
    if wanted < SHORTEST * rate:
        raise too_short(wanted / rate)
    if begin:
        file.seek(begin)
    left = wanted
    while left and len(block := file.read(min(left, BLOCK // file.channels), dtype="float32", always_2d=True)):
        left -= len(block)
        yield block
    if left and has_exact_length(path, file):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    if wanted - left < SHORTEST * rate:
        raise too_short((wanted - left) / rate)


def too_short(seconds: float) -> BadAudio:
    """The error of a file or slice of less than the shortest usable length."""
    return BadAudio(SkipKind.TOO_SHORT, f"shorter than {SHORTEST:g} s ({seconds:.2f} s)")


def has_exact_length(path: Path, file: soundfile.SoundFile) -> bool:
    """Whether a file's length stands in its header; that of an MP3 without such a header is only estimated."""
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
    """Whether a RIFF, AIFF or AU file ends before its header says so, which libsndfile does not tell."""
    with path.open("rb") as file:
        header, size = file.read(12), file.seek(0, 2)
    kind = header[:4]
    if kind == b".snd":
        offset, data = (int.from_bytes(header[at : at + 4], "big") for at in (4, 8))
        return data != 0xFFFFFFFF and offset + data > size + 1
    if kind not in (b"RIFF", b"FORM"):
        return False
    announced = int.from_bytes(header[4:8], "little" if kind == b"RIFF" else "big")
    streamed = announced in (0, 0x7FFFFFFF - 8, 0xFFFFFFFF)  # written by programs that never went back
    return not streamed and announced + 8 > size + 1


def to_int16(samples: npt.NDArray[np.float32], gain: float) -> npt.NDArray[np.int16]:
    """Samples times a gain, rounded: (samples,) int16."""
    read_scaled = samples * np.float32(gain)
    np.rint(read_scaled, out=read_scaled)
    return read_scaled.clip(-32768, 32767, out=read_scaled).astype(np.int16)


def peak(samples: npt.NDArray[np.float32]) -> float:
    """The largest absolute value; nan where one is, 0 of nothing."""
    return float(np.maximum(samples.max(), -samples.min())) if len(samples) else 0.0
