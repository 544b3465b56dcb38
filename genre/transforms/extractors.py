"""What transformers' feature extractors compute, on the device, in batches and in operations that exporters know.

Each takes clips of one length, (batch, samples) in [-1, 1] at its ``sample_rate``, and has the constructor arguments of
the extractor of transformers after which it is named.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.compliance.kaldi import get_mel_banks
from torchaudio.functional import melscale_fbanks

KALDI_FRAME, KALDI_HOP, KALDI_LOWEST = 0.025, 0.01, 20.0  # seconds, seconds, Hz
PREEMPHASIS = 0.97
POWER_FLOORS = {"kaldi": torch.finfo(torch.float32).eps, "clap": 1e-10}


class PowerSpectrum(nn.Module):
    """Power of the Fourier transform of frames that are multiplied with Hann's window.

    While a network is exported the transform is a convolution, since not every runtime has it.

    Args:
        frame: length of a frame, in samples.
        n_fft: to which frames are padded with zeros.
        hop_length: distance between frames, in samples.
        kaldi: True to remove each frame's mean, and for pre-emphasis within it, before a symmetric window.
    """

    def __init__(self, frame: int, n_fft: int, hop_length: int, kaldi: bool = False) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.kaldi = n_fft, hop_length, kaldi
        self.window: Tensor
        self.basis: Tensor
        window = torch.hann_window(frame, periodic=not kaldi, dtype=torch.float64)
        cycles = torch.outer(torch.arange(n_fft // 2 + 1), torch.arange(frame)) % n_fft
        angles = cycles.double() * (2 * math.pi / n_fft)
        basis = torch.cat([angles.cos(), angles.sin()]) @ self.shaped(torch.eye(frame).double(), window).T
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("basis", basis.float()[:, None], persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, n_fft / 2 + 1), without frames that reach beyond the end."""
        if torch.compiler.is_exporting():
            real, imaginary = F.conv1d(waveform[:, None], self.basis, stride=self.hop_length).chunk(2, dim=1)
            return (real.square() + imaginary.square()).transpose(1, 2)
        precise = waveform if waveform.device.type == "mps" else waveform.double()  # float32 loses 1e-4 of quiet bands
        frames = precise.unfold(-1, len(self.window), self.hop_length)
        spectrum = torch.fft.rfft(self.shaped(frames, self.window), self.n_fft)
        return (spectrum.real.square() + spectrum.imag.square()).float()

    def shaped(self, frames: Tensor, window: Tensor) -> Tensor:
        """(..., frame) -> what is transformed, (..., frame)."""
        if self.kaldi:
            frames = frames - frames.mean(dim=-1, keepdim=True)
            before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
            frames = frames - PREEMPHASIS * before
        return frames * window


class ASTInput(nn.Module):
    """``ASTFeatureExtractor``: Kaldi's log-mel filter bank, (batch, max_length, num_mel_bins).

    Shorter clips are padded with zeros behind the logarithm, before the normalisation, as the extractor does.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.sample_rate: int = values["sampling_rate"]
        self.max_length: int = values["max_length"]
        self.seconds = (self.max_length - 1) * KALDI_HOP + KALDI_FRAME
        normalized: bool = values["do_normalize"]
        self.mean: float = values["mean"] if normalized else 0.0
        self.std: float = values["std"] if normalized else 0.5
        frame = int(self.sample_rate * KALDI_FRAME)
        n_fft = 1 << (frame - 1).bit_length()
        self.spectrum = PowerSpectrum(frame, n_fft, int(self.sample_rate * KALDI_HOP), kaldi=True)
        bands = get_mel_banks(values["num_mel_bins"], n_fft, self.sample_rate, KALDI_LOWEST, 0.0, 100.0, -500.0, 1.0)[0]
        self.bank: Tensor
        self.register_buffer("bank", F.pad(bands, (0, 1)).T.contiguous(), persistent=False)

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        """(batch, samples) -> the network's keyword arguments."""
        log_mel = (self.spectrum(waveform) @ self.bank).clamp_min(POWER_FLOORS["kaldi"]).log()[:, : self.max_length]
        padded = F.pad(log_mel, (0, 0, 0, self.max_length - log_mel.shape[1]))
        return {"input_values": (padded - self.mean) / (self.std * 2)}


class ClapInput(nn.Module):
    """``ClapFeatureExtractor``: log-mel in dB, (batch, channels, frames, feature_size).

    With fusion (four channels), windows of at most ``max_length_s`` are four times the same, as in the extractor.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.sample_rate: int = values["sampling_rate"]
        self.seconds: float = values["max_length_s"]
        self.samples = round(self.seconds * self.sample_rate)
        self.padding: str = values["padding"]
        self.fusion: bool = values["truncation"] == "fusion"
        n_fft, hop_length = values["fft_window_size"], values["hop_length"]
        self.spectrum = PowerSpectrum(n_fft, n_fft, hop_length)
        kind: dict[str, Any] = {"mel_scale": "htk"} if self.fusion else {"norm": "slaney", "mel_scale": "slaney"}
        edges = float(values["frequency_min"]), float(values["frequency_max"])
        bank = melscale_fbanks(n_fft // 2 + 1, *edges, values["feature_size"], self.sample_rate, **kind)
        self.bank: Tensor
        self.register_buffer("bank", bank, persistent=False)

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        """(batch, samples) -> the network's keyword arguments."""
        waveform = self.padded(waveform)
        half = self.spectrum.n_fft // 2
        reflected = F.pad(waveform[:, None], (half, half), mode="reflect")[:, 0]
        log_mel = 10 * (self.spectrum(reflected) @ self.bank).clamp_min(POWER_FLOORS["clap"]).log10()
        if not self.fusion:
            return {"input_features": log_mel[:, None]}
        never = torch.zeros(len(waveform), 1, dtype=torch.bool, device=waveform.device)
        return {"input_features": log_mel[:, None].expand(-1, 4, -1, -1), "is_longer": never}

    def padded(self, waveform: Tensor) -> Tensor:
        """Repeat shorter clips, or pad them with silence, as ``padding`` says: -> (batch, max_length_s)."""
        missing = self.samples - waveform.shape[1]
        if missing > 0 and self.padding != "pad":
            whole = self.samples // waveform.shape[1]
            waveform = waveform.repeat(1, whole + (self.padding == "repeat"))[:, : self.samples]
        return F.pad(waveform, (0, self.samples - waveform.shape[1]))


class Wav2Vec2Input(nn.Module):
    """``Wav2Vec2FeatureExtractor``: the samples, if ``do_normalize`` with mean 0 and variance 1 per clip."""

    seconds = math.inf

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.sample_rate: int = values["sampling_rate"]
        self.normalized: bool = values["do_normalize"]

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        """(batch, samples) -> the network's keyword arguments."""
        if self.normalized:
            deviation = (waveform.var(dim=1, correction=0, keepdim=True) + 1e-7).sqrt()
            waveform = (waveform - waveform.mean(dim=1, keepdim=True)) / deviation
        return {"input_values": waveform}


EXTRACTORS: dict[str, type[ASTInput] | type[ClapInput] | type[Wav2Vec2Input]] = {
    "ASTFeatureExtractor": ASTInput,
    "ClapFeatureExtractor": ClapInput,
    "Wav2Vec2FeatureExtractor": Wav2Vec2Input,
}
