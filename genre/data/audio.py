"""Decode an audio file, or a slice of it, to mono at one sample rate; memory is bounded whatever the header says.

libsndfile decodes, or FFmpeg what libsndfile does not read. ``read_audio`` gives a file's samples, ``read_recording``
those of a file or waveform of any length.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from genre.data.catalogue import AUDIO_SUFFIXES, OTHER_AUDIO_SUFFIXES, printable_name
from genre.data.ffmpeg import ffmpeg_blocks, ffmpeg_program, needs_ffmpeg
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
PARTS = 1024  # of a block, whose peaks tell which of its values are among the largest
SPIKE_SAMPLES = 64  # 3 ms at 22,050 Hz: so few samples far above all others are a defect, not music
SPIKE_RATIO = 10.0  # 20 dB
CANCELLED = 0.1  # of the power that uncorrelated channels would have when averaged (two: a correlation below -0.9)
DECODED_SAMPLES = 1 << 18  # per block, over all channels: what is computed of it stays in the cache
RAW_BLOCK = 1 << 20  # bytes


Block = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Slice:
    """What is read of a file.

    Args:
        path: of the file.
        sample_rate: of the result, in Hz.
        start: in seconds.
        duration: in seconds; None reads to the end.
        shortest: that it may be, in seconds.
    """

    path: Path
    sample_rate: int
    start: float = 0.0
    duration: float | None = None
    shortest: float = SHORTEST


@dataclass
class ChannelPower:
    """Sums of squares over all blocks of a file: per channel, and of the average of the channels."""

    channels: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    average: float = 0.0

    def add(self, block: Block, mono: Block) -> None:
        """Add a block (samples, channels) and the average of its channels (samples,)."""
        self.channels = self.channels + np.einsum("ij,ij->j", block, block, dtype=np.float64)
        self.average += float(np.einsum("i,i->", mono, mono, dtype=np.float64))

    @property
    def louder_channel(self) -> int | None:
        """The loudest channel if the channels cancel each other when averaged, else None."""
        uncorrelated = self.channels.mean() / len(self.channels)
        return int(self.channels.argmax()) if self.average < CANCELLED * uncorrelated else None


class Level:
    """The largest absolute values of all blocks of a file, one more than a spike may have."""

    def __init__(self) -> None:
        self.largest = np.zeros(SPIKE_SAMPLES + 1, np.float32)

    def add(self, block: Block) -> None:
        """Add a block (samples,)."""
        count, values, rest = len(self.largest), [self.largest], block
        if len(block) > PARTS:  # few parts have values above a bound, and sorting all takes long
            parts, rest = np.split(block, [len(block) // PARTS * PARTS])
            parts = parts.reshape(PARTS, -1)
            peaks = np.maximum(parts.max(axis=1), -parts.min(axis=1))
            bound = max(self.largest.min(), np.partition(peaks, -count)[-count])  # at least ``count`` values reach it
            magnitude = parts[peaks >= bound]
            np.abs(magnitude, out=magnitude)
            values.append(magnitude[magnitude >= bound])
        self.largest = np.partition(np.concatenate([*values, np.abs(rest)]), -count)[-count:]

    @property
    def peak(self) -> float:
        """The largest absolute value."""
        return float(self.largest.max())

    @property
    def without_spikes(self) -> float:
        """The largest absolute value, without the few samples that are far above all others."""
        others = float(self.largest.min())
        return others if others * SPIKE_RATIO < self.peak and self.peak >= SILENT_PEAK else self.peak


Decode = Callable[[int | None, ChannelPower | None], Iterator[Block]]  # of one channel, or of the average of all


@dataclass(frozen=True)
class Recording:
    """Music in mono at one sample rate, in 16 bits.

    Args:
        length: in samples.
        samples: (samples,); None of a recording that is too long to be kept.
        decode: yields it in blocks (samples,).
    """

    length: int
    samples: Int16 | None
    decode: Callable[[], Iterator[Int16]]

    def clips(self, begins: Iterable[int], window: int) -> Iterator[Int16]:
        """Yield the clips (window,) at rising begins, the last possibly shorter, in one pass."""
        blocks = self.decode() if self.samples is None else iter([self.samples])
        buffer, first = np.empty(0, np.int16), 0  # of the buffer, in the recording
        for begin in begins:
            while first + len(buffer) < begin + window and (block := next(blocks, None)) is not None:
                keep = buffer[max(0, begin - first) :]
                first += len(buffer) - len(keep)
                buffer = np.concatenate([keep, block]) if len(keep) else block
            yield buffer[begin - first : begin - first + window]


def readable_suffixes() -> frozenset[str]:
    """The suffixes of audio files that can be decoded on this machine: more where FFmpeg is installed."""
    return AUDIO_SUFFIXES | OTHER_AUDIO_SUFFIXES if ffmpeg_program() else AUDIO_SUFFIXES


def read_audio(path: Path, sample_rate: int, start: float = 0.0, duration: float | None = None) -> Int16:
    """Decode mono audio, resampled by soxr (as librosa does): (samples,) int16; see ``read_recording``.

    Args:
        path: wav, mp3, flac, ogg, opus, au, aiff, … of any sample rate, m4a, wma, … where FFmpeg is installed.
        sample_rate: of the result, in Hz.
        start: of the slice, in seconds.
        duration: of the slice, in seconds; None reads to the end.

    Raises:
        BadAudio: if the file cannot be read, is truncated, shorter than 1 s or silent, or contains NaN.
    """
    recording = read_recording(decode_slice(Slice(path, sample_rate, start, duration)), str(path))
    assert recording.samples is not None
    return recording.samples


def read_recording(decode: Decode, name: str, kept: float = math.inf) -> Recording:
    """Read music on the scale of 16 bits.

    16-bit samples are returned as they are. A clip whose peak is below 0.1 or above 1 is scaled to full scale; the
    pipeline does not depend on the gain, because a log-mel is relative to its own maximum. At most 64 samples that are
    more than 20 dB above all others do not count for the peak; they are clipped. Of channels that cancel each other
    when averaged, the loudest is taken, with a warning.

    Args:
        decode: ``decode_slice`` of a file or ``decode_waveform``.
        name: for the warning.
        kept: samples of the longest recording that is kept in memory.

    Raises:
        BadAudio: if it is silent, or cannot be decoded.
    """
    power, channel = ChannelPower(), None
    length, samples, level = read_scaled(decode(None, power), INT16_RANGE, kept)
    if (channel := power.louder_channel) is not None:
        log.warning(
            "%s: its channels cancel each other when averaged; channel %d is taken", printable_name(name), channel + 1
        )
        length, samples, level = read_scaled(decode(channel, None), INT16_RANGE, kept)
    peak_level = level.without_spikes
    if peak_level < SILENT_PEAK:
        spike = " but for a few samples" if peak_level < level.peak else ""
        raise BadAudio(SkipKind.SILENT, f"silent (peak under {SILENT_PEAK:g}{spike})")
    gain = INT16_RANGE
    if not UNSCALED_PEAKS[0] <= peak_level <= UNSCALED_PEAKS[1]:
        gain = INT16_MAX / peak_level
        if samples is not None:
            _, samples, _ = read_scaled(decode(channel, None), gain, kept)
    return Recording(length, samples, lambda: (to_int16(block, gain) for block in decode(channel, None)))


def read_scaled(blocks: Iterable[Block], gain: float, kept: float) -> tuple[int, Int16 | None, Level]:
    """Music times a gain: its number of samples, the samples (samples,) int16 unless there are more than ``kept``, and
    its level before the gain."""
    parts, length, level = [], 0, Level()
    for block in blocks:
        length += len(block)
        level.add(block)
        if length <= kept:
            parts.append(to_int16(block, gain))
        else:
            parts.clear()
    return length, np.concatenate(parts) if length <= kept else None, level


def decode_slice(part: Slice) -> Decode:
    """Decode a slice of a file with ``resampled_blocks``."""
    return partial(resampled_blocks, part)


def decode_waveform(waveform: Block, sample_rate: int, target: int) -> Decode:
    """Decode a waveform (samples, channels) at ``sample_rate`` Hz, resampled to ``target`` Hz."""
    return lambda channel, power: resampled(mono_blocks([waveform], channel, power), sample_rate, target)


def resampled_blocks(part: Slice, channel: int | None = None, power: ChannelPower | None = None) -> Iterator[Block]:
    """Yield a slice of a file in mono at one sample rate, in blocks (samples,) float32.

    Args:
        channel: the channel that is read; None averages all.
        power: receives the power of several channels and of their average.

    Raises:
        BadAudio: if the file cannot be read, is truncated or too short, or contains NaN.
    """
    with decoder(part) as (rate, blocks, _):
        if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
            raise BadAudio(SkipKind.SAMPLE_RATE, f"has a sample rate of {rate} Hz")
        yield from resampled(mono_blocks(blocks, channel, power), rate, part.sample_rate)


class Decoding(NamedTuple):
    """An opened file.

    Args:
        rate: sample rate in Hz.
        blocks: (samples, channels) each.
        format: libsndfile's name for it; empty if FFmpeg decodes.
    """

    rate: int
    blocks: Iterator[Block]
    format: str


@contextmanager
def decoder(part: Slice) -> Iterator[Decoding]:
    """Open a slice of a file with libsndfile or FFmpeg.

    Raises:
        BadAudio: if it cannot be decoded.
    """
    with readable_file(part.path):
        if needs_ffmpeg(part.path):
            with ffmpeg_blocks(part.path, part.start, part.duration, DECODED_SAMPLES) as (rate, blocks):
                yield Decoding(rate, long_enough(blocks, rate, part), "")
        else:
            with open_audio(part.path) as file:
                yield Decoding(file.samplerate, decoded_blocks(file, part), file.format)


def mono_blocks(blocks: Iterable[Block], channel: int | None, power: ChannelPower | None) -> Iterator[Block]:
    """Yield one channel, or the average of all: blocks (samples, channels) -> (samples,).

    Raises:
        BadAudio: if a sample is not a number.
    """
    for block in blocks:
        mono = block.mean(axis=1) if block.shape[1] > 1 and channel is None else block[:, channel or 0]
        if not np.isfinite(peak(mono)):
            raise BadAudio(SkipKind.NOT_A_NUMBER, "has samples that are not numbers")
        if power and block.shape[1] > 1:
            power.add(block, mono)
        yield mono


def resampled(blocks: Iterable[Block], rate: int, target: int) -> Iterator[Block]:
    """Yield blocks (samples,) at ``rate`` Hz as blocks at ``target`` Hz."""
    if rate == target:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target, 1)
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextmanager
def readable_file(path: Path) -> Iterator[None]:
    """Refuse what cannot be opened; errors of the system inside the context become BadAudio.

    Raises:
        BadAudio: of kind NOT_READ if the error says nothing about the content.
    """
    if kind := special_file(path):
        raise BadAudio(SkipKind.NOT_A_FILE, f"not a file but a {kind}")
    try:
        path.open("rb").close()  # the system's error message is clearer than a decoder's
        yield
    except OSError as error:
        raise not_read(error) from None


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file with libsndfile; errors inside the context become BadAudio.

    Raises:
        BadAudio: if the file cannot be opened, or an error occurs while it is read; of kind NOT_READ if that says
            nothing about its content.
    """
    with readable_file(path):
        try:
            with soundfile.SoundFile(path) as file:
                yield file
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


def decoded_blocks(file: soundfile.SoundFile, part: Slice) -> Iterator[Block]:
    """Yield a slice of an open file, in blocks (samples, channels) float32.

    Raises:
        BadAudio: if the slice is too short or begins beyond the end; after the last block, if the file is truncated.
    """
    if is_truncated(part.path):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    rate, begin = file.samplerate, round(part.start * file.samplerate)
    if begin >= file.frames:
        raise BadAudio(
            SkipKind.START_BEYOND_END, f"starts at {part.start:g} s, beyond its end ({file.frames / rate:.2f} s)"
        )
    requested = file.frames - begin if part.duration is None else min(file.frames - begin, round(part.duration * rate))
    if requested < part.shortest * rate:
        raise too_short(requested / rate, part)
    if begin:
        file.seek(begin)
    yield from long_enough(requested_blocks(file, requested, part.path), rate, part)


def requested_blocks(file: soundfile.SoundFile, requested: int, path: Path) -> Iterator[Block]:
    """Yield the next samples of an open file; see ``decoded_blocks``."""
    remaining, size = requested, DECODED_SAMPLES // file.channels
    while remaining and len(block := file.read(min(remaining, size), dtype="float32", always_2d=True)):
        remaining -= len(block)
        yield block
    if remaining and has_exact_length(path, file):
        raise BadAudio(SkipKind.TRUNCATED, "truncated")


def long_enough(blocks: Iterable[Block], rate: int, part: Slice) -> Iterator[Block]:
    """Yield the blocks of a slice; after the last, raise BadAudio if they were too few samples."""
    samples = 0
    for block in blocks:
        samples += len(block)
        yield block
    if samples < part.shortest * rate:
        raise too_short(samples / rate, part)


def too_short(seconds: float, part: Slice) -> BadAudio:
    """The error of a file or slice of less than the shortest usable length."""
    beginning = f" from {part.start:g} s on" if part.start else ""
    return BadAudio(SkipKind.TOO_SHORT, f"shorter than {part.shortest:g} s ({seconds:.2f} s{beginning})")


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


def to_int16(samples: Block, gain: float) -> Int16:
    """Int16 times a gain, rounded and clipped: (samples,) int16."""
    scaled = samples * np.float32(gain)
    np.rint(scaled, out=scaled)
    return scaled.clip(-32768, 32767, out=scaled).astype(np.int16)


def peak(samples: Block) -> float:
    """Largest absolute value; NaN if a sample is NaN, 0 for no samples."""
    return float(np.maximum(samples.max(), -samples.min())) if len(samples) else 0.0
