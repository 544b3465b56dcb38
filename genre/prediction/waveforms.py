"""What a model of waveforms offers, be it a run or an exported file. PyTorch is imported when it is first needed."""

import math
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast, overload

import numpy as np
import numpy.typing as npt

from genre.data.audio import Recording, Slice, decode_slice, decode_waveform, read_recording
from genre.errors import BadAudio, SkipKind, UserError
from genre.prediction.prediction import Prediction, Timeline

if TYPE_CHECKING:  # an exported file is opened in a fraction of the seconds that importing PyTorch takes
    import torch
    from torch import Tensor

    from genre.models.postprocessing import PostProcessing
    from genre.tasks import Task

    Music = str | os.PathLike[str] | npt.NDArray[np.floating] | Tensor

WINDOWS_AT_ONCE = 16
REMAINDER = 0.1  # of a window or hop at the end that gets no further window
SHORTEST_MUSIC = 0.1  # seconds
KEPT_SECONDS = 900.0  # of longer music, the samples are not kept: it is decoded anew for each pass
MOST_CHANNELS = 64  # an array with more has its axes exchanged


class WaveformOutputs(NamedTuple):
    """What a model computes of waveforms.

    Args:
        probabilities: (batch, genres).
        distances: (batch,) from the training tracks; None if the network has none.
    """

    probabilities: "Tensor"
    distances: "Tensor | None"


class WaveformModel:
    """From waveforms to probabilities, and from these to what is predicted.

    Attributes:
        folder: of the run; None for a file by itself.
        genres: in the order of the probabilities.
        sample_rate: of the waveforms, in Hz.
        seconds: length of a window, which is what the network is given at once.
        crops: windows that the evaluation of the run averages per track.
        task: decides which genres are predicted.
        postprocessing: fitted after training.
        columns: of the catalogue that the run used beside the music.
        synthetic: whether the model learnt from synthetic music.
        has_features: whether predictions have features, by which music is compared.
    """

    folder: Path | None
    genres: tuple[str, ...]
    sample_rate: int
    seconds: float
    crops: int
    task: "Task"
    postprocessing: "PostProcessing"
    columns: tuple[str, ...]
    synthetic: bool
    has_features: bool

    if TYPE_CHECKING:  # a run has them from torch.nn.Module

        def __call__(self, waveform: Any) -> Any:
            """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""

        def to(self, device: "torch.device") -> Self:
            """Move the model to a device."""

    @property
    @abstractmethod
    def device(self) -> "torch.device":
        """The device on which the network computes."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A hash of all that its answers depend on."""

    @abstractmethod
    def outputs(self, waveform: "Tensor") -> WaveformOutputs:
        """Outputs of tracks (batch, samples) in [-1, 1] at ``sample_rate`` Hz, means over their crops."""

    @abstractmethod
    def window_outputs(self, windows: "Tensor") -> WaveformOutputs:
        """Outputs of waveforms (batch, samples) of one window at most, from one crop of each."""

    def predicted_genres(self, probabilities: Sequence[float]) -> tuple[str, ...]:
        """Return the predicted genres: (genres,) -> ('pop', 'rock')."""
        import torch

        predicted = self.postprocessing.predicted(self.task, torch.tensor(probabilities)).tolist()
        return tuple(genre for genre, chosen in zip(self.genres, predicted, strict=True) if chosen)

    def is_uncertain(self, probabilities: Sequence[float], distance: float | None = None) -> bool | None:
        """Return whether a track is uncertain; None if the run has no threshold.

        Args:
            probabilities: (genres,), of which the highest may be too low.
            distance: from the training tracks, which may be too large; None: unknown.
        """
        import torch

        far = None if distance is None else torch.tensor(distance, dtype=torch.float64)
        uncertain = self.postprocessing.uncertain(torch.tensor(probabilities, dtype=torch.float64), far)
        return None if uncertain is None else bool(uncertain)

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str, too
        self, music: "Music", sample_rate: int | None = None, timeline: bool = False, hop: float | None = None
    ) -> Prediction: ...
    @overload
    def predict(
        self, music: "Sequence[Music]", sample_rate: int | None = None, timeline: bool = False, hop: float | None = None
    ) -> list[Prediction]: ...
    def predict(
        self,
        music: "Music | Sequence[Music]",
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

        def one(piece: "Music") -> Prediction:
            name = Path(piece).name if isinstance(piece, str | os.PathLike) else "waveform"
            try:
                return self.predict_recording(self.recording(piece, sample_rate), name, timeline, hop)
            except BadAudio as bad:
                raise UserError(f"{name} cannot be predicted: {bad}") from None

        if isinstance(music, str | os.PathLike) or hasattr(music, "ndim"):
            return one(cast("Music", music))
        from genre.data.pipeline import single_threaded  # imports PyTorch
        from genre.data.store_builder import parallel_map

        with single_threaded() if len(music) > 1 and self.device.type == "cpu" else nullcontext():
            return list(parallel_map(one, music))

    def recording(self, music: "Music", sample_rate: int | None = None) -> Recording:
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

    def predict_recording(self, recording: Recording, name: str, timeline: bool, hop: float | None) -> Prediction:
        """Predict decoded music; see ``predict``."""
        from genre.models.features import kept_features, mean_features  # imports PyTorch

        with kept_features() as kept:
            outputs = self.track_outputs(recording)
        features = mean_features(kept)
        probabilities = tuple(outputs.probabilities[0].tolist())
        distance = None if outputs.distances is None else outputs.distances.item()
        return Prediction(
            name, recording.length / self.sample_rate, tuple(self.genres), probabilities,
            self.predicted_genres(probabilities), self.is_uncertain(probabilities, distance),
            self.recording_over_time(recording, hop) if timeline else None, distance,
            None if features is None else features.numpy(),
        )  # fmt: skip

    def track_outputs(self, recording: Recording) -> WaveformOutputs:
        """Return the outputs of a whole track, a batch of one.

        If the crops of the view, end to end, are as long as the track, they are taken as in the evaluation of the run;
        else as many evenly spaced windows as reach from the beginning to the end without gaps.
        """
        if recording.length <= (self.crops + REMAINDER) * self.window:
            (whole,) = scaled(recording.clips([0], recording.length))
            return self.outputs(whole[None])
        begins = window_begins(recording.length, self.window, self.window)
        windows = self.clip_outputs(scaled(recording.clips(begins.tolist(), self.window)))
        far = windows.distances
        return WaveformOutputs(over_windows(windows.probabilities), None if far is None else over_windows(far))

    def recording_over_time(self, recording: Recording, hop: float | None) -> Timeline:
        """Return the genres of a recording over time."""
        begins = self.hop_begins(recording.length, hop)
        probabilities = self.clip_outputs(scaled(recording.clips(begins.tolist(), self.window))).probabilities
        spans = self.spans(begins, recording.length).double().numpy()
        return Timeline(tuple(self.genres), spans, probabilities.double().cpu().numpy())

    def over_time(self, waveform: "Tensor", hop: float | None = None) -> "tuple[Tensor, Tensor]":
        """Return the probabilities in windows from the beginning to the end of a track.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate`` Hz.
            hop: distance between the beginnings of windows in seconds, approximately; None: half a window.

        Returns:
            Begin and end of each window in seconds (windows, 2), and probabilities (windows, genres).
        """
        begins = self.hop_begins(len(waveform), hop)
        clips = (waveform[begin : begin + self.window] for begin in begins.tolist())
        return self.spans(begins, len(waveform)), self.clip_outputs(clips).probabilities

    @property
    def window(self) -> int:
        """The length of a window in samples."""
        return round(self.seconds * self.sample_rate)

    def hop_begins(self, samples: int, hop: float | None) -> "Tensor":
        """Return the first sample of each window over time, (windows,); see ``over_time``."""
        return window_begins(samples, self.window, (hop or self.seconds / 2) * self.sample_rate)

    def spans(self, begins: "Tensor", samples: int) -> "Tensor":
        """Return begin and end in seconds, (windows, 2), of the windows of a track with so many samples."""
        import torch

        return torch.stack([begins, (begins + self.window).clamp_max(samples)], dim=1) / self.sample_rate

    def clip_outputs(self, clips: "Iterable[Tensor]") -> WaveformOutputs:
        """Outputs of clips (window,) in [-1, 1] on any device, a batch of them; each clip is one crop."""
        import torch

        rest = iter(clips)
        batches = iter(lambda: list(islice(rest, WINDOWS_AT_ONCE)), [])
        parts = [self.window_outputs(torch.stack(batch)) for batch in batches]
        probabilities = torch.cat([part.probabilities for part in parts])
        distances = [part.distances for part in parts if part.distances is not None]
        return WaveformOutputs(probabilities, torch.cat(distances) if distances else None)


def window_begins(samples: int, window: int, hop: float) -> "Tensor":
    """Return the first sample of each window, (windows,): evenly spaced, about ``hop`` samples apart, to the end."""
    import torch

    last = max(0, samples - window)
    count = 1 + max(0, math.ceil(last / hop - REMAINDER))
    return torch.linspace(0, last, count, dtype=torch.float64).round().long()


def over_windows(values: "Tensor") -> "Tensor":
    """The mean of values over the windows of a track, in float64: (windows, …) -> (1, …)."""
    return values.cpu().double().mean(0, keepdim=True)


def scaled(clips: Iterable[npt.NDArray[np.int16]]) -> "Iterator[Tensor]":
    """Clips of 16 bits -> in [-1, 1]."""
    import torch

    return (torch.from_numpy(clip) / 32768 for clip in clips)


def waveform_channels(music: "npt.NDArray[np.floating] | Tensor") -> npt.NDArray[np.float32]:
    """A waveform (samples,) or (channels, samples) -> (samples, channels).

    Raises:
        UserError: if it is something else.
    """
    values = music if isinstance(music, np.ndarray) else music.detach().cpu().numpy()
    if values.ndim not in (1, 2) or not np.issubdtype(values.dtype, np.floating):
        raise UserError(
            f"a waveform is (samples,) or (channels, samples) of floats in [-1, 1], not {values.dtype}{values.shape}"
        )
    if values.ndim == 2 and len(values) > MOST_CHANNELS:
        raise UserError(f"a waveform of shape {values.shape} has its axes exchanged; it should be (channels, samples)")
    return np.ascontiguousarray(np.atleast_2d(values).T, np.float32)
