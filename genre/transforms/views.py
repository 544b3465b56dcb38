"""Which parts of a track a model sees: the whole, or short crops of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class View(ABC):
    """The crops of a track, in rows of the store that they are cut from (samples or columns).

    ``span`` is the length of a crop in rows; a track whose length differs from it by at most ``tolerance`` rows may be
    taken whole. The methods map lengths (batch,) to the crops' first rows and lengths, (batch, crops) each.
    """

    seconds: float

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"view.seconds={self.seconds:g} must be positive")

    @property
    @abstractmethod
    def random(self) -> bool:
        """Whether training sees other spans in each epoch."""

    @abstractmethod
    def train_spans(self, lengths: Tensor, span: int, tolerance: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """One span a track in training, drawn on the CPU."""

    @abstractmethod
    def spans(self, lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
        """The spans of evaluation."""


@dataclass(frozen=True)
class Whole(View):
    """One picture a track, as in the source document: longer tracks give their middle, shorter are padded with silence.

    Args:
        seconds: how much of the track the picture spans.
    """

    seconds: float = 30.0

    @property
    def random(self) -> bool:
        return False

    def train_spans(self, lengths: Tensor, span: int, tolerance: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """The same as at evaluation."""
        return self.spans(lengths, span, tolerance)

    def spans(self, lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
        """The middle, or all where the length is about right."""
        exact = (lengths - span).abs() <= tolerance
        begin = torch.where(exact, 0, (lengths - span).clamp_min(0) // 2)
        return begin[:, None], torch.where(exact, lengths, span)[:, None]


@dataclass(frozen=True)
class Segments(View):
    """Short crops: one at random in training, several evenly spread at evaluation, whose probabilities are averaged.

    Args:
        seconds: length of a crop.
        crops: how many at evaluation.
    """

    seconds: float = 5.0
    crops: int = 8

    @property
    def random(self) -> bool:
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crops < 1:
            raise ValueError(f"view.crops={self.crops} must be at least 1")

    def train_spans(self, lengths: Tensor, span: int, tolerance: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """One crop, anywhere."""
        room = (lengths - span).clamp_min(0)
        begin = (torch.rand(len(lengths), generator=generator) * (room + 1)).long().clamp_max(room)
        return begin[:, None], torch.full_like(begin, span)[:, None]

    def spans(self, lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
        """Crops from the beginning to the end."""
        room = (lengths - span).clamp_min(0)
        places = torch.linspace(0, 1, self.crops) if self.crops > 1 else torch.tensor([0.5])
        begin = (room[:, None] * places).round().long()
        return begin, torch.full_like(begin, span)
