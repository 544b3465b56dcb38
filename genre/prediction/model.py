"""A trained run as one module: from waveforms to probabilities."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genre.config.build import build_pipeline, recorded_settings, trained_network
from genre.data.audio import Recording, Slice, decode_slice, decode_waveform, read_recording
from genre.data.pipeline import Pipeline, single_threaded
from genre.data.store import Key, Store
from genre.data.store_builder import parallel_map
from genre.errors import BadAudio, SkipKind, UserError
from genre.models import checkpoint
from genre.models.frozen import fingerprint
from genre.models.networks import crop_logits
from genre.models.pretrained import read_network
from genre.prediction.prediction import Prediction, Timeline
from genre.transforms.views import Segments

WINDOWS_AT_ONCE = 16
REMAINDER = 0.1  # of a window or hop at the end that gets no further window
SHORTEST_MUSIC = 0.1  # seconds
KEPT_SECONDS = 900.0  # of longer music, the samples are not kept: it is decoded anew for each pass
MOST_CHANNELS = 64  # an array with more has its axes exchanged

Music = str | os.PathLike[str] | npt.NDArray[np.floating] | Tensor


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

    @property
    def identity(self) -> str:
        """A hash of all that its answers depend on."""
        fitted = self.postprocessing.metadata()
        about = [
            fingerprint(value.cpu() for value in self.network.state_dict().values()),
            self.genres,
            self.pipeline.settings,
            fitted,
        ]
        return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:16]

    def predicted_genres(self, probabilities: Sequence[float]) -> tuple[str, ...]:
        """Return the predicted genres: (genres,) -> ('pop', 'rock')."""
        predicted = self.postprocessing.predicted(self.task, torch.tensor(probabilities)).tolist()
        return tuple(genre for genre, chosen in zip(self.genres, predicted, strict=True) if chosen)

    def predicted_names(self, probabilities: Sequence[float]) -> str:
        """Return the predicted genres, joined by ';': (genres,) -> 'pop;rock'."""
        return ";".join(self.predicted_genres(probabilities))

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
        begins = self.hop_begins(len(waveform), hop)
        clips = (waveform[begin : begin + self.window] for begin in begins.tolist())
        return self.spans(begins, len(waveform)), self.clip_probabilities(clips)

    @property
    def window(self) -> int:
        """The length of a crop of the view, in samples."""
        return round(self.pipeline.view.seconds * self.sample_rate)

    def hop_begins(self, samples: int, hop: float | None) -> Tensor:
        """Return the first sample of each window over time, (windows,); see ``over_time``."""
        return window_begins(samples, self.window, (hop or self.pipeline.view.seconds / 2) * self.sample_rate)

    def spans(self, begins: Tensor, samples: int) -> Tensor:
        """Return begin and end in seconds, (windows, 2), of the windows of a track with so many samples."""
        return torch.stack([begins, (begins + self.window).clamp_max(samples)], dim=1) / self.sample_rate

    @torch.inference_mode()
    def clip_probabilities(self, clips: Iterable[Tensor]) -> Tensor:
        """Clips (window,) in [-1, 1] on any device -> probabilities (windows, genres); each clip is one crop."""
        view, rest = self.pipeline.view, iter(clips)
        pipeline = replace(self.pipeline, view=replace(view, crops=1)) if isinstance(view, Segments) else self.pipeline
        batches = iter(lambda: list(islice(rest, WINDOWS_AT_ONCE)), [])
        return torch.cat([self.view_probabilities(torch.stack(batch), pipeline) for batch in batches])

    def predict_recording(self, recording: Recording, name: str, timeline: bool, hop: float | None) -> Prediction:
        """Predict decoded music; see ``predict``."""
        probabilities = tuple(self.track_probabilities(recording).tolist())
        return Prediction(
            name, recording.length / self.sample_rate, tuple(self.genres), probabilities,
            self.predicted_genres(probabilities), self.is_uncertain(probabilities),
            self.recording_over_time(recording, hop) if timeline else None,
        )  # fmt: skip

    def track_probabilities(self, recording: Recording) -> Tensor:
        """Return the probabilities of a whole track, (genres,).

        If the crops of the view, end to end, are as long as the track, they are taken as in the evaluation of the run;
        else as many evenly spaced windows as reach from the beginning to the end without gaps.
        """
        view = self.pipeline.view
        crops = view.crops if isinstance(view, Segments) else 1
        if recording.length <= (crops + REMAINDER) * self.window:
            (whole,) = scaled(recording.clips([0], recording.length))
            return self(whole[None])[0].cpu()
        begins = window_begins(recording.length, self.window, self.window)
        return self.clip_probabilities(scaled(recording.clips(begins.tolist(), self.window))).cpu().double().mean(0)

    def recording_over_time(self, recording: Recording, hop: float | None) -> Timeline:
        """Return the genres of a recording over time."""
        begins = self.hop_begins(recording.length, hop)
        probabilities = self.clip_probabilities(scaled(recording.clips(begins.tolist(), self.window)))
        spans = self.spans(begins, recording.length).double().numpy()
        return Timeline(tuple(self.genres), spans, probabilities.double().cpu().numpy())

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str, too
        self, music: Music, sample_rate: int | None = None, timeline: bool = False, hop: float | None = None
    ) -> Prediction: ...
    @overload
    def predict(
        self, music: Sequence[Music], sample_rate: int | None = None, timeline: bool = False, hop: float | None = None
    ) -> list[Prediction]: ...
    def predict(
        self,
        music: Music | Sequence[Music],
        sample_rate: int | None = None,
        timeline: bool = False,
        hop: float | None = None,
    ) -> Prediction | list[Prediction]:
        """Predict the genres of a file or waveform, or of each of a list.

        Args:
            music: path of a file, or waveform (samples,) or (channels, samples) in [-1, 1].
            sample_rate: of waveforms, in Hz.
            timeline: whether genres over time are predicted, too.
            hop: seconds between their windows; None: half a window.

        Raises:
            UserError: if a file or waveform cannot be used.

        Example:
            >>> genre.load().predict("song.mp3")
            <Prediction song.mp3 (3:24): rock 61%, blues 20%, jazz 8%>
        """

        def one(piece: Music) -> Prediction:
            name = Path(piece).name if isinstance(piece, str | os.PathLike) else "waveform"
            try:
                return self.predict_recording(self.recording(piece, sample_rate), name, timeline, hop)
            except BadAudio as bad:
                raise UserError(f"{name} cannot be predicted: {bad}") from None

        if isinstance(music, str | os.PathLike | np.ndarray | Tensor):
            return one(music)
        with single_threaded() if len(music) > 1 and self.device.type == "cpu" else nullcontext():
            return list(parallel_map(one, music))

    def recording(self, music: Music, sample_rate: int | None = None) -> Recording:
        """Decode a file or waveform; see ``predict``.

        Raises:
            BadAudio: if it cannot be decoded.
            UserError: if it is a waveform of an unknown sample rate, or no waveform.
        """
        if isinstance(music, str | os.PathLike):
            decode = decode_slice(Slice(Path(music).expanduser(), self.sample_rate, shortest=SHORTEST_MUSIC))
            return read_recording(decode, str(music), KEPT_SECONDS * self.sample_rate)
        if sample_rate is None:
            raise UserError("a waveform needs its sample rate: predict(waveform, sample_rate)")
        values = waveform_channels(music)
        if len(values) < SHORTEST_MUSIC * sample_rate:
            raise BadAudio(SkipKind.TOO_SHORT, f"shorter than {SHORTEST_MUSIC:g} s ({len(values)} samples)")
        return read_recording(decode_waveform(values, sample_rate, self.sample_rate), "waveform")

    def view_probabilities(self, waveform: Tensor, pipeline: Pipeline) -> Tensor:
        """(batch, samples) in [-1, 1] -> probabilities (batch, genres), averaged over the crops of the view."""
        tracks, samples = waveform.shape
        offsets = torch.arange(tracks + 1) * samples
        values = waveform.flatten() * 32768  # stores hold waveforms on the scale of int16
        store = Store(Key("waveform", {}, None), [], self.sample_rate, offsets, values)
        pictures = pipeline.pictures(store, torch.arange(tracks))
        return self.postprocessing.probabilities(self.task, crop_logits(self.network, pictures))


def window_begins(samples: int, window: int, hop: float) -> Tensor:
    """Return the first sample of each window, (windows,): evenly spaced, about ``hop`` samples apart, to the end."""
    last = max(0, samples - window)
    count = 1 + max(0, math.ceil(last / hop - REMAINDER))
    return torch.linspace(0, last, count, dtype=torch.float64).round().long()


def scaled(clips: Iterable[npt.NDArray[np.int16]]) -> Iterator[Tensor]:
    """Clips of 16 bits -> in [-1, 1]."""
    return (torch.from_numpy(clip).float() / 32768 for clip in clips)


def waveform_channels(music: npt.NDArray[np.floating] | Tensor) -> npt.NDArray[np.float32]:
    """A waveform (samples,) or (channels, samples) -> (samples, channels).

    Raises:
        UserError: if it is something else.
    """
    values = music.detach().cpu().numpy() if isinstance(music, Tensor) else np.asarray(music)
    if values.ndim not in (1, 2) or not np.issubdtype(values.dtype, np.floating):
        raise UserError(
            f"a waveform is (samples,) or (channels, samples) of floats in [-1, 1], not {values.dtype}{values.shape}"
        )
    if values.ndim == 2 and len(values) > MOST_CHANNELS:
        raise UserError(f"a waveform of shape {values.shape} has its axes exchanged; it should be (channels, samples)")
    return np.ascontiguousarray(np.atleast_2d(values).T, np.float32)


def load(run: str | Path | None = None, trust: Sequence[str] = ()) -> Model:
    """Load a trained model, in evaluation mode, on the CPU.

    Args:
        run: the folder that train.py printed; None loads the model that comes with the program.
        trust: modules of your own that the run names, such as ``["mynets"]``; they are imported.

    Example:
        >>> genre.load().predict("song.mp3")

    Raises:
        UserError: if ``run`` is neither the folder of a finished run nor a checkpoint, or names other modules.
    """
    return Model(read_network(run), trust).eval()
