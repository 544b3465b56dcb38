"""A trained model in operations that exporters know: from waveforms of any length to probabilities."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.models.networks import crop_outputs
from genre.prediction.model import Model
from genre.transforms.spectrogram import ArchiveSpectrogram, DocumentSpectrogram, LogMel, decibels
from genre.transforms.views import evenly_spaced


class WaveformGraph(nn.Module):
    """The same outputs as of a ``Model``, without stores, loops over clips and Fourier transforms.

    Every shape behind the crops is static, apart from their number, which is what exporters handle best.

    Args:
        model: that is exported; its network is shared.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.task, self.postprocessing = model.network, model.task, model.postprocessing
        self.view = model.pipeline.view
        self.spectrogram = copy.deepcopy(model.spectrogram)
        if isinstance(self.spectrogram, DocumentSpectrogram):
            self.spectrogram.log_mel = ConvolvedLogMel(self.spectrogram.log_mel)  # type: ignore[assignment]
        self.span = round(self.view.seconds * model.sample_rate)
        self.tolerance = round(self.spectrogram.length_tolerance * model.sample_rate)

    def forward(self, waveform: Tensor, positions: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Probabilities of tracks that are equally long, and their distances if the run has a threshold for them.

        Args:
            waveform: (batch, samples) in [-1, 1].
            positions: (crops,) of the crops, from 0 (the beginning) to 1 (the end); None: those of the view.

        Returns:
            (batch, genres); or these and (batch,).
        """
        begins, lengths = self.spans(waveform, positions)
        clips = cut_crops(waveform, begins, lengths, self.span + self.tolerance)
        batch, crops = clips.shape[:2]
        log_mel = self.spectrogram(clips.flatten(0, 1), lengths.repeat(batch), self.view.seconds)
        pictures = self.spectrogram.picture(log_mel).unflatten(0, (batch, crops))
        logits, distances = crop_outputs(self.network, pictures)
        probabilities = self.postprocessing.probabilities(self.task, logits)
        if distances is None or self.postprocessing.uncertain_beyond is None:
            return probabilities
        return probabilities, distances

    def spans(self, waveform: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        """First sample and length of each crop, (crops,) each."""
        samples = torch.full((1,), waveform.shape[1], dtype=torch.int64)

        def spans(lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
            if positions is None:
                return self.view.spans(lengths, span, tolerance)
            return evenly_spaced(lengths, span, positions)

        if isinstance(self.spectrogram, ArchiveSpectrogram):
            begins, lengths = self.spectrogram.crops_at_columns(spans, samples, self.view.seconds)
        else:
            begins, lengths = spans(samples, self.span, self.tolerance)
        return begins[0], lengths[0]


def cut_crops(waveform: Tensor, begins: Tensor, lengths: Tensor, longest: int) -> Tensor:
    """Cut crops of each waveform, with silence behind a crop's end and a track's.

    Args:
        waveform: (batch, samples).
        begins: (crops,) first samples.
        lengths: (crops,) in samples.
        longest: samples of the result, at least each of ``lengths``.

    Returns:
        (batch, crops, longest).
    """
    offsets = torch.arange(longest)
    places = begins[:, None] + offsets
    last = torch.full((1,), waveform.shape[1] - 1, dtype=torch.int64)
    inside = (offsets < lengths[:, None]) & (places <= last)
    return waveform[:, torch.minimum(places, last)] * inside


class ConvolvedLogMel(nn.Module):
    """A ``LogMel`` whose Fourier transform is a product with windowed cosines and sines.

    Args:
        log_mel: whose values it has.
    """

    def __init__(self, log_mel: LogMel) -> None:
        super().__init__()
        self.n_fft, self.hop_length = log_mel.n_fft, log_mel.hop_length
        self.basis: Tensor
        self.bank: Tensor
        self.register_buffer("basis", fourier_basis(len(log_mel.bank), log_mel.window), persistent=False)
        self.register_buffer("bank", torch.cat([log_mel.bank, log_mel.bank]).T, persistent=False)

    def forward(self, waveform: Tensor, numbers: Tensor | None = None) -> Tensor:
        """(batch, samples) in [-1, 1] -> (batch, n_mels, frames) in [-80, 0] dB; see ``LogMel``."""
        padded = F.pad(waveform, (self.n_fft // 2, self.n_fft // 2))
        if numbers is None:
            parts = F.conv1d(padded[:, None], self.basis, stride=self.hop_length)
        else:
            places = numbers[..., None] * self.hop_length + torch.arange(self.n_fft)
            frames = padded.gather(1, places.flatten(1)).view(places.shape)
            parts = (frames @ self.basis[:, 0].T).transpose(1, 2)
        return decibels(self.bank @ parts.square())


def fourier_basis(bins: int, window: Tensor) -> Tensor:
    """Kernels of the real parts of ``bins`` frequencies, then of the imaginary ones: (2 * bins, 1, n_fft)."""
    n_fft = len(window)
    cycles = torch.outer(torch.arange(bins), torch.arange(n_fft)) % n_fft
    angles = cycles.double() * (2 * torch.pi / n_fft)
    return (torch.cat([angles.cos(), angles.sin()]) * window.double()).float()[:, None]
