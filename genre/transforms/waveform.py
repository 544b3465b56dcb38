"""Waveforms as networks read them that have a spectrogram of their own, or none."""

import torch
from torch import Tensor

from genre.ranges import SampleRate, checked
from genre.transforms.spectrogram import NetworkInput


class WaveformInput(NetworkInput):
    """The samples themselves.

    Args:
        sample_rate: in Hz.
    """

    @checked
    def __init__(self, sample_rate: SampleRate) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.register_buffer("placed", torch.empty(0), persistent=False)  # on the device where the pipeline computes

    def forward(self, waveform: Tensor, lengths: Tensor, seconds: float) -> Tensor:
        """(batch, samples) in [-1, 1] -> the same."""
        return waveform

    def picture(self, values: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1, samples)."""
        return values[:, None]

    def random_inputs(self, count: int, seconds: float) -> Tensor:
        """Noise, (count, 1, samples)."""
        return 0.1 * torch.randn(count, 1, round(seconds * self.sample_rate))
