"""A trained run as one module: from waveforms to probabilities."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from genre.config.build import build_pipeline, recorded_settings, trained_network
from genre.data.pipeline import Pipeline
from genre.data.store import Key, Store
from genre.models import checkpoint
from genre.models.networks import crop_logits
from genre.models.pretrained import read_network
from genre.transforms.views import Segments

WINDOWS_AT_ONCE = 64


class Model(nn.Module):
    """A trained network with its pipeline before it and its post-processing after it.

    Args:
        saved: its checkpoint.
        trust: modules whose classes it may name beside this program's.
    """

    def __init__(self, saved: checkpoint.Checkpoint, trust: Sequence[str] = ()) -> None:
        super().__init__()
        self.genres = saved.genres
        settings = recorded_settings(saved, trust)
        self.learnt_from = settings.data.reader.target
        self.task = settings.task.build()
        self.pipeline = build_pipeline(settings)
        self.spectrogram = self.pipeline.spectrogram
        self.sample_rate = self.spectrogram.sample_rate
        self.network = trained_network(saved, settings)
        self.postprocessing = saved.music_postprocessing  # waveforms have no metadata
        self.columns = tuple(settings.metadata.columns)

    @property
    def device(self) -> torch.device:
        """The device of network and pipeline."""
        return self.pipeline.device

    def predicted_names(self, probabilities: Sequence[float]) -> str:
        """Return the predicted genres, joined by ';': (genres,) -> 'pop;rock'."""
        predicted = self.postprocessing.predicted(self.task, torch.tensor(probabilities)).tolist()
        return ";".join(genre for genre, chosen in zip(self.genres, predicted, strict=True) if chosen)

    def is_uncertain(self, probabilities: Sequence[float]) -> bool | None:
        """Return whether the highest of (genres,) is below the run's threshold; None if the run has no threshold."""
        uncertain = self.postprocessing.uncertain(torch.tensor(probabilities, dtype=torch.float64))
        return None if uncertain is None else bool(uncertain)

    @torch.inference_mode()
    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""
        return self.view_probabilities(waveform, self.pipeline)

    @torch.inference_mode()
    def over_time(self, waveform: Tensor, hop: float | None = None) -> tuple[Tensor, Tensor]:
        """Return the probabilities in windows of the view's length, from the beginning to the end of a track.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate`` Hz.
            hop: distance between the beginnings of windows in seconds, approximately; None: half a window.

        Returns:
            Begin and end of each window in seconds (windows, 2), and probabilities (windows, genres).
        """
        view = self.pipeline.view
        window = round(view.seconds * self.sample_rate)
        begins = window_begins(len(waveform), window, (hop or view.seconds / 2) * self.sample_rate)
        pipeline = replace(self.pipeline, view=replace(view, crops=1)) if isinstance(view, Segments) else self.pipeline
        probabilities = []
        for batch in begins.split(WINDOWS_AT_ONCE):
            clips = torch.stack([waveform[begin : begin + window] for begin in batch.tolist()])
            probabilities.append(self.view_probabilities(clips, pipeline))
        ends = (begins + window).clamp_max(len(waveform))
        return torch.stack([begins, ends], dim=1) / self.sample_rate, torch.cat(probabilities)

    def view_probabilities(self, waveform: Tensor, pipeline: Pipeline) -> Tensor:
        """(batch, samples) in [-1, 1] -> probabilities (batch, genres), averaged over the crops of the view."""
        tracks, samples = waveform.shape
        offsets = torch.arange(tracks + 1) * samples
        scaled = waveform.flatten() * 32768  # stores hold waveforms on the scale of int16
        store = Store(Key("waveform", {}, None), [], self.sample_rate, offsets, scaled)
        pictures = pipeline.pictures(store, torch.arange(tracks))
        return self.postprocessing.probabilities(self.task, crop_logits(self.network, pictures))


def window_begins(samples: int, window: int, hop: float) -> Tensor:
    """Return the first sample of each window, (windows,): evenly spaced, about ``hop`` samples apart, to the end."""
    last = max(0, samples - window)
    count = 1 + max(0, math.ceil(last / hop - 0.1))  # a remainder of a tenth of a hop gets no further window
    return torch.linspace(0, last, count, dtype=torch.float64).round().long()


def load(run: str | Path | None = None, trust: Sequence[str] = ()) -> Model:
    """Load a trained model, in evaluation mode, on the CPU.

    Args:
        run: the folder that train.py printed; None loads the model that comes with the program.
        trust: modules of your own that the run names, such as ``["mynets"]``; they are imported.

    Example:
        >>> model = genre.load()
        >>> dict(zip(model.genres, model(waveform)[0].tolist()))

    Raises:
        UserError: if ``run`` is neither the folder of a finished run nor a checkpoint, or names other modules.
    """
    return Model(read_network(run), trust).eval()
