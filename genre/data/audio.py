"""Decode an audio file, or a slice of it, to mono at one sample rate; memory is bounded whatever the header says."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from genre.data.catalogue import printable_name
from genre.errors import BadAudio, SkipKind
from genre.files import special_file

log = logging.getLogger(__name__)

SHORTEST = 1.0  # seconds
SILENT_PEAK = 1e-4
PAPER_SAMPLE_RATE = 22_050  # Hz; also the default of librosa.load
SAMPLE_RATES = (1_000, 768_000)  # Hz; a header outside this range is wrong
INT16_MAX = 32767.0
INT16_RANGE = 32768.0
UNSCALED_PEAKS = (0.1, 1.0)  # a clip with a peak outside is scaled to full scale
SPIKE_SAMPLES = 64  # 3 ms at 22,050 Hz: so few samples far above all others are a defect, not music
SPIKE_RATIO = 10.0  # 20 dB
CANCELLED = 0.1  # of the power that uncorrelated channels would have when averaged (two: a correlation below -0.9)
DECODED_SAMPLES = 1 << 21  # per block, over all channels
RAW_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Slice:
    """What is read of a file.

    Args:
        path: of the file.
        sample_rate: of the result, in Hz.
        start: in seconds.
        duration: in seconds; None reads to the end.
        channel: the channel that is read; None averages all.
    """

    path: Path
    sample_rate: int
    start: float = 0.0
    duration: float | None = None
    channel: int | None = None


@dataclass
class ChannelPower:
    """Sums of squares over all blocks of a file: per channel, and of the average of the channels."""

    channels: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    average: float = 0.0

    def add(self, block: npt.NDArray[np.float32], mono: npt.NDArray[np.float32]) -> None:
        """Add a block (samples, channels) and the average of its channels (samples,)."""
        self.channels = self.channels + np.einsum("ij,ij->j", block, block, dtype=np.float64)
        self.average += float(np.einsum("i,i->", mono, mono, dtype=np.float64))

    @property
    def louder_channel(self) -> int | None:
        """The loudest channel if the channels cancel each other when averaged, else None."""
        uncorrelated = self.channels.mean() / len(self.channels)
        return int(self.channels.argmax()) if self.average < CANCELLED * uncorrelated else None


def read_audio(
    path: Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> npt.NDArray[np.int16]:
    """Decode mono audio by libsndfile, resampled by soxr (as librosa does): (samples,) int16.

    16-bit samples are returned as they are. A clip whose peak is below 0.1 or above 1 is scaled to full scale; the
    pipeline does not depend on the gain, because a log-mel is relative to its own maximum. At most 64 samples that are
    more than 20 dB above all others do not count for the peak; they are clipped. Of channels that cancel each other
    when averaged, the loudest is taken, with a warning.

    Args:
        path: wav, mp3, flac, ogg, opus, au, aiff, … of any sample rate; channels are averaged.
        sample_rate: of the result, in Hz.
        start: of the slice, in seconds.
        duration: of the slice, in seconds; None reads to the end.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s or silent, or contains NaN.
    """
    part, power = Slice(path, sample_rate, start, duration), ChannelPower()
    samples, loudest = read_scaled(part, INT16_RANGE, power)
    if (channel := power.louder_channel) is not None:
        name = printable_name(str(path))
        log.warning("%s: its channels cancel each other when averaged; channel %d is taken", name, channel + 1)
        part = replace(part, channel=channel)
        samples, loudest = read_scaled(part, INT16_RANGE)
    level = peak_without_spikes(part, samples, loudest)
    if level < SILENT_PEAK:
        spike = " but for a few samples" if level < loudest else ""
        raise BadAudio(SkipKind.SILENT, f"silent (peak under {SILENT_PEAK:g}{spike})")
    if not UNSCALED_PEAKS[0] <= level <= UNSCALED_PEAKS[1]:
        samples, _ = read_scaled(part, INT16_MAX / level)
    return samples


def read_scaled(part: Slice, gain: float, power: ChannelPower | None = None) -> tuple[npt.NDArray[np.int16], float]:
    """A slice of a file times a gain, (samples,) int16, and its peak before the gain."""
    blocks, loudest = [], 0.0
    for block in resampled_blocks(part, power):
        blocks.append(to_int16(block, gain))
        loudest = max(loudest, peak(block))
    return np.concatenate(blocks), loudest


def peak_without_spikes(part: Slice, samples: npt.NDArray[np.int16], loudest: float) -> float:
    """The peak of a slice, without the few samples that are far above all others.

    Args:
        samples: (samples,) of the slice at unit gain, clipped.
        loudest: its peak with them.
    """
    if loudest < SILENT_PEAK:
        return loudest
    threshold = loudest / SPIKE_RATIO * INT16_RANGE
    if np.count_nonzero((samples > threshold) | (samples < -threshold)) > SPIKE_SAMPLES:
        return loudest
    largest = np.zeros(SPIKE_SAMPLES + 1, np.float32)
    for block in resampled_blocks(part):
        largest = np.partition(np.concatenate([largest, np.abs(block)]), -len(largest))[-len(largest) :]
    others = float(largest.min())
    return others if others * SPIKE_RATIO < loudest else loudest


def resampled_blocks(part: Slice, power: ChannelPower | None = None) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a slice of a file in mono at one sample rate, in blocks (samples,) float32.

    Args:
        power: receives the power of several channels and of their average.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s, or contains NaN.
    """
    with open_audio(part.path) as file:
        rate = file.samplerate
        if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
            raise BadAudio(SkipKind.SAMPLE_RATE, f"has a sample rate of {rate} Hz")
        stream = soxr.ResampleStream(rate, part.sample_rate, 1) if rate != part.sample_rate else None
        for block in decoded_blocks(part.path, file, part.start, part.duration):
            mono = block.mean(axis=1) if block.shape[1] > 1 and part.channel is None else block[:, part.channel or 0]
            if not np.isfinite(peak(mono)):
                raise BadAudio(SkipKind.NOT_A_NUMBER, "has samples that are not numbers")
            if power and block.shape[1] > 1:
                power.add(block, mono)
            yield stream.resample_chunk(mono) if stream else mono
        if stream:
            yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file; errors inside the context become BadAudio.

    Raises:
        BadAudio: if the file cannot be opened, or an error occurs while it is read; of kind NOT_READ if that says
            nothing about its content.
    """
    if kind := special_file(path):
        raise BadAudio(SkipKind.NOT_A_FILE, f"not a file but a {kind}")
    try:
        path.open("rb").close()  # the system's error message is clearer than libsndfile's
        with soundfile.SoundFile(path) as file:
            yield file
    except OSError as error:
        raise not_read(error) from None
    except soundfile.SoundFileError as error:
        check_readable(path)
        message = str(error).rsplit(": ", 1)[-1].strip()
        problem = "not audio" if "does not exist" in message else message
        raise BadAudio(SkipKind.UNREADABLE, f"unreadable: {problem}") from None
    except BadAudio:
        check_readable(path)
        raise


def not_read(error: OSError) -> BadAudio:
    """The error of a file that the system does not let us read; that may pass (a network disk, permissions)."""
    return BadAudio(SkipKind.NOT_READ, f"unreadable: {error.strerror}")


def check_readable(path: Path) -> None:
    """Read a file to its end: libsndfile takes an error of the disk for the end of the file, or for no music.

    Raises:
        BadAudio: of kind NOT_READ, if the system does not let us read the file.
    """
    try:
        with path.open("rb", buffering=0) as file:
            while file.read(RAW_BLOCK):
                pass
    except OSError as error:
        raise not_read(error) from None


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
        raise too_short(requested / rate, start)
    if begin:
        file.seek(begin)
    remaining, size = requested, DECODED_SAMPLES // file.channels
    while remaining and len(block := file.read(min(remaining, size), dtype="float32", always_2d=True)):
        remaining -= len(block)
        yield block
    if remaining and has_exact_length(path, file):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    if requested - remaining < SHORTEST * rate:
        raise too_short((requested - remaining) / rate, start)


def too_short(seconds: float, start: float) -> BadAudio:
    """The error of a file or slice of less than the shortest usable length."""
    beginning = f" from {start:g} s on" if start else ""
    return BadAudio(SkipKind.TOO_SHORT, f"shorter than {SHORTEST:g} s ({seconds:.2f} s{beginning})")


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
