"""What a model of waveforms offers, be it a run or an exported file. PyTorch is imported when it is first needed."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:  # an exported file is opened in a fraction of the seconds that importing PyTorch takes
    import torch
    from torch import Tensor

    from genre.models.postprocessing import PostProcessing
    from genre.tasks import Task

WINDOWS_AT_ONCE = 64


class WaveformModel:
    """From waveforms to probabilities, and from these to what is predicted.

    Attributes:
        folder: of the run; None for a file by itself.
        genres: in the order of the probabilities.
        sample_rate: of the waveforms, in Hz.
        seconds: length of a window, which is what the network is given at once.
        task: decides which genres are predicted.
        postprocessing: fitted after training.
        columns: of the catalogue that the run used beside the music.
        synthetic: whether the model learnt from synthetic music.
    """

    folder: Path | None
    genres: tuple[str, ...]
    sample_rate: int
    seconds: float
    task: "Task"
    postprocessing: "PostProcessing"
    columns: tuple[str, ...]
    synthetic: bool

    if TYPE_CHECKING:  # a run has them from torch.nn.Module

        def __call__(self, waveform: Any) -> Any:
            """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""

        def to(self, device: "torch.device") -> Self:
            """Move the model to a device."""

    @property
    @abstractmethod
    def device(self) -> "torch.device":
        """The device on which the network computes."""

    @abstractmethod
    def window_probabilities(self, windows: "Tensor") -> "Tensor":
        """(batch, samples) of one window at most -> probabilities (batch, genres)."""

    def predicted_names(self, probabilities: Sequence[float]) -> str:
        """Return the predicted genres, joined by ';': (genres,) -> 'pop;rock'."""
        import torch

        predicted = self.postprocessing.predicted(self.task, torch.tensor(probabilities)).tolist()
        return ";".join(genre for genre, chosen in zip(self.genres, predicted, strict=True) if chosen)

    def is_uncertain(self, probabilities: Sequence[float]) -> bool | None:
        """Return whether the highest of (genres,) is below the run's threshold; None if the run has no threshold."""
        import torch

        uncertain = self.postprocessing.uncertain(torch.tensor(probabilities, dtype=torch.float64))
        return None if uncertain is None else bool(uncertain)

    def over_time(self, waveform: "Tensor", hop: float | None = None) -> "tuple[Tensor, Tensor]":
        """Return the probabilities in windows from the beginning to the end of a track.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate`` Hz.
            hop: distance between the beginnings of windows in seconds, approximately; None: half a window.

        Returns:
            Begin and end of each window in seconds (windows, 2), and probabilities (windows, genres).
        """
        import torch

        window = round(self.seconds * self.sample_rate)
        begins = window_begins(len(waveform), window, (hop or self.seconds / 2) * self.sample_rate)
        probabilities = []
        for batch in begins.split(WINDOWS_AT_ONCE):
            clips = torch.stack([waveform[begin : begin + window] for begin in batch.tolist()])
            probabilities.append(self.window_probabilities(clips))
        ends = (begins + window).clamp_max(len(waveform))
        return torch.stack([begins, ends], dim=1) / self.sample_rate, torch.cat(probabilities)


def window_begins(samples: int, window: int, hop: float) -> "Tensor":
    """Return the first sample of each window, (windows,): evenly spaced, about ``hop`` samples apart, to the end."""
    import torch

    last = max(0, samples - window)
    count = 1 + max(0, math.ceil(last / hop - 0.1))  # a remainder of a tenth of a hop gets no further window
    return torch.linspace(0, last, count, dtype=torch.float64).round().long()
