"""A trained run as one module: from waveforms to probabilities."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from genre.config.build import build_pipeline, recorded_settings, trained_network
from genre.data.pipeline import Pipeline
from genre.data.store import waveform_store
from genre.data.synthetic import read_synthetic
from genre.models import checkpoint
from genre.models.features import keep_features
from genre.models.frozen import fingerprint
from genre.models.networks import crop_outputs
from genre.prediction.waveforms import WaveformModel, WaveformOutputs
from genre.transforms.views import Segments


class Model(nn.Module, WaveformModel):
    """A trained network with its pipeline before it and its post-processing after it.

    Args:
        saved: its checkpoint.
        trust: modules whose classes it may name beside this program's.
    """

    def __init__(self, saved: checkpoint.Checkpoint, trust: Sequence[str] = ()) -> None:
        super().__init__()
        self.folder = saved.folder
        self.genres = saved.genres
        settings = recorded_settings(saved, trust)
        self.synthetic = settings.data.reader.target is read_synthetic
        self.task = settings.task.build()
        self.pipeline = build_pipeline(settings)
        self.spectrogram = self.pipeline.spectrogram
        self.sample_rate, self.seconds = self.spectrogram.sample_rate, self.pipeline.view.seconds
        self.crops = self.pipeline.view.crops if isinstance(self.pipeline.view, Segments) else 1
        self.network = trained_network(saved, settings)
        self.has_features = keep_features(self.network)
        self.postprocessing = saved.music_postprocessing  # waveforms have no metadata
        self.columns = tuple(settings.metadata.columns)

    @property
    def device(self) -> torch.device:
        """The device of network and pipeline."""
        return self.pipeline.device

    @property
    def identity(self) -> str:
        """A hash of all that its answers depend on."""
        weights = fingerprint(value.cpu() for value in self.network.state_dict().values())
        about = [weights, self.genres, self.pipeline.settings, self.postprocessing.metadata()]
        return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:16]

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""
        return self.outputs(waveform).probabilities

    @torch.inference_mode()
    def outputs(self, waveform: Tensor) -> WaveformOutputs:
        """Outputs of tracks (batch, samples) in [-1, 1] at ``sample_rate`` Hz, means over their crops."""
        return self.view_outputs(waveform, self.pipeline)

    @torch.inference_mode()
    def window_outputs(self, windows: Tensor) -> WaveformOutputs:
        """Outputs of waveforms (batch, samples) of one window at most, from one crop of each."""
        view = self.pipeline.view
        pipeline = replace(self.pipeline, view=replace(view, crops=1)) if isinstance(view, Segments) else self.pipeline
        return self.view_outputs(windows, pipeline)

    def view_outputs(self, waveform: Tensor, pipeline: Pipeline) -> WaveformOutputs:
        """Outputs of waveforms (batch, samples) in [-1, 1], means over the crops of the view."""
        pictures = pipeline.pictures(waveform_store(waveform, self.sample_rate), torch.arange(len(waveform)))
        logits, distances = crop_outputs(self.network, pictures)
        return WaveformOutputs(self.postprocessing.probabilities(self.task, logits), distances)
