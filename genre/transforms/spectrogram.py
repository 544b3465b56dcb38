"""From waveforms to what networks read: log-mels as pictures.

A log-mel outside LogMel is in [0, 1]: 1 is the clip's loudest bin, 0 is 80 dB below it.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.transforms import MelScale

from genre.ranges import Count, Hertz, PartShare, PictureSize, Positive, SampleCount, SampleRate, checked

FLOOR_DB = -80.0
POWER_FLOOR = 1e-10  # librosa's amin
LINEAR_MEL, MEL_STEP = 15, math.log(6.4) / 27  # Slaney's scale is linear up to 1 kHz, which is mel 15
CLIP_SECONDS = 30.0  # of the archive's clips
FRAMES_AT_ONCE = 64  # on a CPU; the spectrum of a whole clip does not fit its cache

Spans = Callable[[Tensor, int, int], tuple[Tensor, Tensor]]  # as View.spans


class LogMel(nn.Module):
    """Mel spectrogram in decibels below each clip's own maximum.

    Equals ``librosa.power_to_db(librosa.feature.melspectrogram(...), ref=np.max)`` within 0.01 dB: Slaney bands,
    power spectrum, frames centred with zero padding (reflection, torchaudio's default, is 5 to 16 dB off at the edges).
    The mel filters are torchaudio's, the Fourier transform is torch's: on a CPU in less than half of torchaudio's time.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of the Fourier transform, in samples.
        hop_length: distance between frames, in samples.
        n_mels: number of mel bands.
        f_max: upper edge of the highest band, in Hz.

    Raises:
        ValueError: if ``f_max`` is above half the sample rate.
    """

    @checked
    def __init__(
        self, sample_rate: SampleRate, n_fft: SampleCount, hop_length: SampleCount, n_mels: Count, f_max: Hertz
    ) -> None:
        super().__init__()
        if f_max > sample_rate / 2:
            raise ValueError(f"spectrogram.f_max={f_max:g} Hz is above half the sample rate ({sample_rate / 2:g} Hz)")
        self.n_fft, self.hop_length, self.n_mels, self.f_max = n_fft, hop_length, n_mels, f_max
        self.window: Tensor
        self.bank: Tensor
        bank = MelScale(n_mels, sample_rate, 0.0, f_max, n_fft // 2 + 1, norm="slaney", mel_scale="slaney").fb
        used = int(bank.any(dim=1).nonzero().max()) + 1  # the bins below f_max
        self.register_buffer("bank", bank[:used], persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, waveform: Tensor, numbers: Tensor | None = None) -> Tensor:
        """(batch, samples) in [-1, 1] -> (batch, n_mels, frames) in [-80, 0] dB; silence is -80 throughout.

        Args:
            numbers: (batch, frames) of the frames that are computed, of which the loudest bin is 0 dB; None: all.
        """
        with torch.autocast(waveform.device.type, enabled=False):  # half precision overflows in the power spectrum
            return decibels(self.power(waveform.float(), numbers))

    def band_edges(self) -> npt.NDArray[np.float64]:
        """Return the edges of the overlapping mel bands on Slaney's scale, (n_mels + 2,) in Hz."""
        mel = np.linspace(0, mel_of(self.f_max), self.n_mels + 2)
        return np.where(mel < LINEAR_MEL, mel * 200 / 3, 1000 * np.exp((mel - LINEAR_MEL) * MEL_STEP))

    def power(self, waveform: Tensor, numbers: Tensor | None = None) -> Tensor:
        """(batch, samples) -> mel power, (batch, n_mels, frames); see ``forward``."""
        padded = F.pad(waveform, (self.n_fft // 2, self.n_fft // 2))
        frames = padded.unfold(-1, self.n_fft, self.hop_length)
        if waveform.device.type == "cpu":
            chosen = [None] * len(frames) if numbers is None else list(numbers)
            clips = zip(frames, chosen, strict=True)
            powers = [torch.cat([self.frame_power(part) for part in frame_parts(*clip)]) for clip in clips]
            return torch.stack(powers).transpose(-2, -1)
        if numbers is not None:
            frames = frames[torch.arange(len(frames), device=frames.device)[:, None], numbers]
        return self.frame_power(frames).transpose(-2, -1)

    def frame_power(self, frames: Tensor) -> Tensor:
        """(..., n_fft) samples -> (..., n_mels); squaring the parts is four times as fast as squaring the magnitude."""
        spectrum = torch.fft.rfft(frames * self.window)[..., : len(self.bank)]
        return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag) @ self.bank


def frame_parts(frames: Tensor, numbers: Tensor | None) -> Iterator[Tensor]:
    """Frames (frames, n_fft) in parts that fit a CPU's cache; all of them, or those with the numbers."""
    if numbers is None:
        yield from frames.split(FRAMES_AT_ONCE)
    else:
        yield from (frames[some] for some in numbers.split(FRAMES_AT_ONCE))


def mel_of(frequency: float) -> float:
    """Hz -> mel on Slaney's scale."""
    if frequency > 1000:
        return LINEAR_MEL + math.log(frequency / 1000) / MEL_STEP
    return frequency * 3 / 200


def decibels(power: Tensor) -> Tensor:
    """(batch, n_mels, frames) power -> dB below each clip's maximum, floored at -80; silence is -80 throughout."""
    peak = power.amax(dim=(-2, -1), keepdim=True)
    level = 10 * (power.clamp_min(POWER_FLOOR).log10() - peak.clamp_min(POWER_FLOOR).log10())
    return level.clamp_min(FLOOR_DB).where(peak > POWER_FLOOR, FLOOR_DB)


class NetworkInput(nn.Module):
    """From clips to what a network reads.

    Attributes:
        sample_rate: of the clips, in Hz.
        length_tolerance: seconds by which a whole track's length may differ from the view's.
        size: height and width of the pictures, in pixels; 0 if the network reads none.
    """

    sample_rate: int
    length_tolerance = 0.0
    size = 0

    @abstractmethod
    def forward(self, waveform: Tensor, lengths: Tensor, seconds: float) -> Tensor:
        """What is the same in all views of a clip.

        Args:
            waveform: (batch, samples) in [-1, 1].
            lengths: (batch,) samples of each clip without padding.
            seconds: nominal length of the clips.

        Returns:
            (batch, ...).
        """

    @abstractmethod
    def picture(self, values: Tensor) -> Tensor:
        """What ``forward`` gave -> the network's input, (batch, 1, ...)."""

    @abstractmethod
    def random_inputs(self, count: int, seconds: float) -> Tensor:
        """Inputs of views of so many seconds that are noise, (count, 1, ...), to measure a network's speed with."""


class DocumentSpectrogram(NetworkInput):
    """The paper's spectrogram: 1 is the clip's maximum, 0 is 80 dB below it.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of the Fourier transform, in samples.
        hop_length: distance between frames, in samples.
        n_mels: number of mel bands.
        f_max: upper edge of the highest band, in Hz.
        size: height and width of the picture, in pixels.
    """

    cache_dtype = torch.float16

    @checked
    def __init__(
        self,
        sample_rate: SampleRate,
        n_fft: SampleCount,
        hop_length: SampleCount,
        n_mels: Count,
        f_max: Hertz,
        size: PictureSize = 128,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.size = size
        self.log_mel = LogMel(sample_rate, n_fft, hop_length, n_mels, f_max)

    def forward(self, waveform: Tensor, lengths: Tensor, seconds: float) -> Tensor:
        """Log-mels of clips that may be padded at their ends.

        Args:
            waveform: (batch, samples) in [-1, 1].
            lengths: (batch,) samples of each clip without padding; here padding counts as silence.
            seconds: nominal length of the clips.

        Returns:
            (batch, n_mels, frames) in [0, 1].
        """
        return self.rescaled(self.log_mel(waveform))

    @property
    def keeps_archived(self) -> bool:
        """Whether whole clips of an archive are used as they are; else they are rescaled as parts are."""
        return True

    def columns(self, seconds: float) -> int:
        """Number of columns of a clip's log-mel."""
        return 1 + round(seconds * self.sample_rate) // self.log_mel.hop_length

    def rescaled(self, level: Tensor) -> Tensor:
        """dB below the maximum (batch, n_mels, frames) -> log-mel in [0, 1]."""
        return 1 - level / FLOOR_DB

    def picture(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, n_mels, frames) -> picture (batch, 1, size, size), row 0 the lowest band."""
        size = (self.size, self.size)
        return F.interpolate(log_mel[:, None], size, mode="bilinear", antialias=True, align_corners=False)

    def random_inputs(self, count: int, seconds: float) -> Tensor:
        """Pictures (count, 1, size, size) in [0, 1]."""
        return torch.rand(count, 1, self.size, self.size)


class ArchiveSpectrogram(DocumentSpectrogram):
    """The spectrogram of the log-mel archive: fewer columns, relative to the clip's own minimum, 256 levels.

    The minimum is where resamplers and encoders differ: in the highest bands and in single quiet bins. For music from
    other sources than the archive's, black is better put a little higher (``black_share``), at a level that music at
    44.1 kHz and as MP3 shares within 0.1 dB.

    Args:
        columns_per_second: number of frames per second that become columns.
        black_share: share of a clip's values that are 0, counted in the bands below ``black_below``; the loudest value
            is 1, and frames between the columns do not count. 0: only the minimum of all frames, as in the archive.
        black_below: upper edge of the bands in which quiet values are counted, in Hz; None: all bands.
    """

    length_tolerance = 1.0  # seconds: the archive has 387 columns of every clip of about 30 s
    cache_dtype = torch.uint8

    @checked
    def __init__(
        self,
        sample_rate: SampleRate,
        n_fft: SampleCount,
        hop_length: SampleCount,
        n_mels: Count,
        f_max: Hertz,
        size: PictureSize = 128,
        columns_per_second: Positive = 12.9,
        black_share: PartShare = 0.0,
        black_below: Hertz | None = None,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop_length, n_mels, f_max, size)
        self.columns_per_second, self.black_share = columns_per_second, black_share
        self.counted_bands = int((self.log_mel.band_edges()[2:] <= (black_below or f_max)).sum())
        if not self.counted_bands:
            raise ValueError(f"spectrogram.black_below={black_below:g} Hz is below the first mel band")

    def forward(self, waveform: Tensor, lengths: Tensor, seconds: float) -> Tensor:
        """Log-mels with columns spread over each clip's own length: (batch, samples) -> (batch, n_mels, columns)."""
        last = lengths.to(waveform.device).double() / self.log_mel.hop_length
        frames = 1 + last.long()
        count = self.columns(seconds)
        middles = (torch.arange(count, device=last.device, dtype=torch.float64) + 0.5) / (count + 0.5)
        columns = (middles * (1 + last if self.black_share else frames)[:, None]).long()
        columns = torch.minimum(columns, frames[:, None] - 1)
        if self.black_share:
            return self.rescaled(self.log_mel(waveform, columns))
        level = self.log_mel(waveform)
        beyond = torch.arange(level.shape[-1], device=level.device) >= frames[:, None, None]
        picked = level.gather(-1, columns[:, None].expand(-1, level.shape[1], -1))
        return self.quantized(picked, level.masked_fill(beyond, 0).amin(dim=(-2, -1), keepdim=True))

    def columns(self, seconds: float) -> int:
        """Number of columns of a clip's log-mel."""
        return round(self.columns_per_second * seconds)

    def rescaled(self, level: Tensor) -> Tensor:
        """dB below the maximum (batch, n_mels, columns) -> log-mel from each clip's own black, in 256 levels."""
        counted = level[:, : self.counted_bands].flatten(1)
        count = 1 + int(self.black_share * (counted.shape[1] - 1))
        return self.quantized(level, counted.topk(count, largest=False).values[:, -1, None, None])

    def crops_at_columns(self, spans: Spans, lengths: Tensor, seconds: float) -> tuple[Tensor, Tensor]:
        """Evaluation crops of whole tracks that have the columns of crops of their archived log-mels.

        Args:
            spans: a view's, here of columns.
            lengths: (batch,) samples of each track.
            seconds: nominal length of a crop.

        Returns:
            First sample and number of samples of each crop, (batch, crops) each.
        """
        number, step = self.grid(lengths)
        begin, length = spans(number, self.columns(seconds), round(self.length_tolerance * self.columns_per_second))
        samples = ((length + 0.5) * step[:, None]).round().long() - self.log_mel.hop_length
        whole = length == number[:, None]
        return (begin * step[:, None]).round().long(), lengths[:, None].where(whole, samples)

    def grid(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The number of columns of whole tracks and the samples from one to the next: (batch,) samples -> two (batch,).

        A track of about 30 s has as many columns as in the archive, spread over its own length.
        """
        seconds, frames = lengths.double() / self.sample_rate, 1 + lengths // self.log_mel.hop_length
        clip = (seconds - CLIP_SECONDS).abs() <= self.length_tolerance
        number = (seconds * self.columns_per_second).round().long().where(~clip, self.columns(CLIP_SECONDS))
        spread = frames.double() * self.log_mel.hop_length / (number + 0.5)
        return number, spread.where(clip, self.sample_rate / self.columns_per_second)

    @property
    def keeps_archived(self) -> bool:
        """Only where the archive's own black is asked for."""
        return not self.black_share

    def quantized(self, level: Tensor, lowest: Tensor) -> Tensor:
        """dB -> the archive's levels 0 to 255, as [0, 1]; a constant clip is all zeros."""
        scaled = (level - lowest).clamp_min(0) / (0 - lowest).clamp_min(1e-6)
        return ((scaled * 256).floor().clamp_max(255) / 255).where(lowest < level.amax((-2, -1), keepdim=True), 0)


def from_cached(log_mel: Tensor) -> Tensor:
    """Cached log-mel (batch, columns, n_mels), uint8 or float16 -> (batch, n_mels, columns) in [0, 1]."""
    unit = log_mel.float() / 255 if log_mel.dtype == torch.uint8 else log_mel.float()
    return unit.transpose(-2, -1)


def to_cached(log_mel: Tensor, dtype: torch.dtype) -> Tensor:
    """Log-mel (batch, n_mels, columns) in [0, 1] -> (batch, columns, n_mels) of a cache's dtype."""
    transposed = log_mel.transpose(-2, -1)
    return (transposed * 255).round().to(dtype) if dtype == torch.uint8 else transposed.to(dtype)


def to_power(log_mel: Tensor) -> Tensor:
    """Log-mel (batch, n_mels, columns) in [0, 1] -> mel power relative to the clip's maximum; 0 at the floor."""
    return (10 ** ((log_mel - 1) * -FLOOR_DB / 10)).where(log_mel > 0, 0)
