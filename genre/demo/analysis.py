"""What the page shows of a song: its genres, also over time, its spectrogram, and where a network finds a genre."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from matplotlib.image import imsave
from torch import Tensor, nn

from genre.data.store import waveform_store
from genre.evaluation.figures import TICK_FREQUENCIES
from genre.evaluation.gradcam import grad_cam
from genre.models.networks import last_convolution
from genre.prediction.model import Model
from genre.prediction.prediction import Prediction
from genre.prediction.waveforms import WaveformModel, window_begins
from genre.transforms.spectrogram import FLOOR_DB, DocumentSpectrogram, LogMel
from genre.transforms.views import Whole

WIDEST = 1600  # columns of an image; those of a longer song are averaged
PEAKS = 400  # of the waveform
PICTURES_AT_ONCE = 16


@dataclass(frozen=True)
class Candidate:
    """A model of the page.

    Args:
        name: that the page shows.
        model: a run, or an exported file.
    """

    name: str
    model: WaveformModel

    @property
    def layer(self) -> nn.Conv2d | None:
        """The convolution whose maps Grad-CAM weights; None if the network has none, or lies in an exported file."""
        return last_convolution(self.model.network) if isinstance(self.model, Model) else None

    def description(self) -> dict[str, Any]:
        """Name, genres, whether it can show its evidence for one, and what a listener should know."""
        return {
            "name": self.name,
            "genres": list(self.model.genres),
            "explains": self.layer is not None,
            "notes": list(model_notes(self.model)),
        }


def model_notes(model: WaveformModel) -> Iterator[str]:
    """Yield what limits the answers of a model."""
    if model.synthetic:
        yield "It learnt from synthetic music; what it says about real music means nothing."
    if model.columns:
        yield f"It also knows {', '.join(model.columns)} of tracks; here it answers from the music alone."


def analysis(candidate: Candidate, waveform: Tensor) -> dict[str, Any]:
    """Return what a model says about a song, as JSON values.

    Args:
        waveform: (samples,) in [-1, 1] at the model's sample rate, on its device.

    Returns:
        ``probabilities`` (genres,); the names of the ``predicted`` genres; whether it is ``uncertain``, or None, and
        ``notes`` that say why;
        ``spans`` in seconds (windows, 2) and ``over_time`` (windows, genres); ``spectrogram``, a PNG as a data URL;
        ``ticks``, pairs of a frequency in Hz and its height in the spectrogram, from 0 to 1.
    """
    model = candidate.model
    answer = model.predict(waveform, model.sample_rate)
    spans, over_time = model.over_time(waveform)
    return {
        "probabilities": answer.probabilities,
        "predicted": answer.predicted,
        "uncertain": answer.uncertain,
        "notes": list(uncertainty_notes(model, answer)),
        "spans": spans.tolist(),
        "over_time": over_time.tolist(),
        "spectrogram": png_url(whole_log_mel(model, waveform), "magma"),
        "ticks": frequency_ticks(model),
    }


def uncertainty_notes(model: WaveformModel, answer: Prediction) -> Iterator[str]:
    """Yield why an answer is uncertain."""
    if answer.distance is not None and model.postprocessing.is_foreign(torch.tensor(answer.distance)):
        yield "It sounds unlike the music that the model learnt from."
    if model.is_uncertain(answer.probabilities):
        yield "Its highest probability is below the threshold of certainty."


@torch.inference_mode()
def whole_log_mel(model: WaveformModel, waveform: Tensor) -> npt.NDArray[np.float32]:
    """Return the log-mel of a whole song, (n_mels, columns) in [0, 1], of at most ``WIDEST`` columns."""
    if isinstance(model, Model) and isinstance(model.spectrogram, DocumentSpectrogram):
        view = Whole(len(waveform) / model.sample_rate)
        store = waveform_store(waveform[None], model.sample_rate)
        log_mel = replace(model.pipeline, view=view).log_mels(store, torch.tensor([0]))[0, 0]
    else:
        log_mel = 1 - shown_bands(model)(waveform[None])[0] / FLOOR_DB
    columns = min(WIDEST, log_mel.shape[-1])
    return F.adaptive_avg_pool2d(log_mel[None], (len(log_mel), columns))[0].cpu().numpy()


def shown_bands(model: WaveformModel) -> LogMel:
    """The mel bands that are shown: a run's own; librosa's defaults where a network hears waveforms, and for an
    exported file, which says its rate alone."""
    if isinstance(model, Model) and isinstance(model.spectrogram, DocumentSpectrogram):
        return model.spectrogram.log_mel
    return LogMel(model.sample_rate, n_fft=2048, hop_length=512, n_mels=128, f_max=model.sample_rate / 2)


def frequency_ticks(model: WaveformModel) -> list[tuple[int, float]]:
    """Return frequencies in Hz with their height in the spectrogram, from 0 to 1."""
    edges = shown_bands(model).band_edges()
    hertz = [tick for tick in TICK_FREQUENCIES if tick < edges[-1]]
    bands = len(edges) - 2
    return list(zip(hertz, (np.interp(hertz, edges, np.arange(bands + 2) - 0.5) / bands).tolist(), strict=True))


def evidence(candidate: Candidate, waveform: Tensor, genre: str) -> npt.NDArray[np.float32]:
    """Return the Grad-CAM map of a genre over a whole song: that of each window, one behind the other.

    Args:
        waveform: (samples,) in [-1, 1] at the model's sample rate, on its device.

    Returns:
        (size, columns) in [0, 1], row 0 the lowest band; 1 is the strongest evidence within its window.
    """
    model, layer = candidate.model, candidate.layer
    assert isinstance(model, Model) and layer is not None, f"{candidate.name} has no convolution"
    seconds, index = model.pipeline.view.seconds, model.genres.index(genre)
    length = round(seconds * model.sample_rate)
    begins = window_begins(len(waveform), length, length)
    total = max(len(waveform), length)
    width = min(WIDEST, round(model.spectrogram.size * total / length))
    stitched = torch.zeros(model.spectrogram.size, width)
    for batch in begins.split(PICTURES_AT_ONCE):
        pictures = window_pictures(model, waveform, batch, length)
        maps = grad_cam(model.network, layer, pictures, torch.full((len(batch),), index)).cpu()
        for begin, cam in zip(batch.tolist(), maps, strict=True):
            left, right = (round(at * width / total) for at in (begin, begin + length))
            wide = F.interpolate(cam[None, None], (len(cam), right - left), mode="bilinear", align_corners=False)[0, 0]
            stitched[:, left:right] = stitched[:, left:right].maximum(wide)
    return stitched[:, : round(width * len(waveform) / total)].numpy()


@torch.no_grad()
def window_pictures(model: Model, waveform: Tensor, begins: Tensor, length: int) -> Tensor:
    """Return the pictures of windows of a song, (windows, 1, size, size); a shorter song is padded with silence."""
    clips = torch.stack([waveform[begin : begin + length] for begin in begins.tolist()])
    view = Whole(model.pipeline.view.seconds)
    store = waveform_store(clips, model.sample_rate)
    return replace(model.pipeline, view=view).pictures(store, torch.arange(len(begins)))[:, 0]


def waveform_peaks(waveform: Tensor) -> list[float]:
    """Return the loudest sample of each of at most ``PEAKS`` parts of a song, relative to the loudest of all."""
    loudest = F.adaptive_max_pool1d(waveform.abs()[None], min(PEAKS, len(waveform)))[0]
    return (loudest / loudest.max().clamp_min(1e-9)).tolist()


def png_url(values: npt.NDArray[np.float32], colours: str) -> str:
    """Return (rows, columns) in [0, 1], row 0 at the bottom, as a PNG in a data URL."""
    buffer = io.BytesIO()
    imsave(buffer, values, cmap=colours, vmin=0, vmax=1, origin="lower", format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
