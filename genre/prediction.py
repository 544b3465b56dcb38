"""A trained run as one module, from waveform to probabilities."""

from pathlib import Path

import torch
from torch import Tensor, nn

from genre import checkpoint, config
from genre.store import Key, Store


class Model(nn.Module):
    """A run's best network behind its own front end.

    Args:
        saved: the run's checkpoint.
    """

    def __init__(self, saved: checkpoint.Checkpoint) -> None:
        super().__init__()
        self.genres = saved.genres
        self.task = config.task_of(saved.config)
        self.pipeline = config.pipeline_of(saved.config)
        self.spectrogram = self.pipeline.spectrogram
        self.sample_rate = self.spectrogram.sample_rate
        self.network = config.network_of(saved.config, len(saved.genres))
        self.network.load_state_dict(saved.weights)

    @torch.inference_mode()
    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""
        tracks, samples = waveform.shape
        offsets = torch.arange(tracks + 1) * samples
        scaled = waveform.flatten() * 32768  # a store keeps the values of int16
        store = Store(Key("waveform", {}, None), [], self.sample_rate, offsets, scaled)
        pictures = self.pipeline.pictures(store, torch.arange(tracks))
        logits = self.network(pictures.flatten(0, 1)).float().unflatten(0, pictures.shape[:2])
        return self.task.probabilities(logits).mean(dim=1)


def load(run: str | Path) -> Model:
    """A run's best model, in evaluation mode, on the CPU.

    Example:
        >>> model = genre.load("outputs/train/cnn-multiclass/2026-11-22_09-00-00")
        >>> dict(zip(model.genres, model(waveform)[0].tolist()))

    Raises:
        Mistake: if ``run`` is no run folder.
    """
    return Model(checkpoint.read(run)).eval()
