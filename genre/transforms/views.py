"""Select the crops of a track: the whole track, or short segments."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from genre.ranges import Count, Seconds, checked_dataclass


class View(ABC):
    """The crops of a track, in rows of the store that they are cut from (samples or columns).

    ``span`` is the length of a crop in rows; a track whose length differs from it by at most ``tolerance`` rows may be
    taken whole. The methods map lengths (batch,) to the crops' first rows and lengths, (batch, crops) each.
    """

    seconds: float

    @property
    @abstractmethod
    def random(self) -> bool:
        """True if training crops are drawn anew in each epoch."""

    @abstractmethod
    def train_spans(self, lengths: Tensor, span: int, tolerance: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """One training crop per track, drawn on the CPU."""

    @abstractmethod
    def spans(self, lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
        """The evaluation crops."""


@checked_dataclass
class Whole(View):
    """One crop per track, as in the paper: the middle of a longer track; a shorter one is padded with silence.

    Args:
        seconds: length of the crop.
    """

    seconds: Seconds = 30.0

    @property
    def random(self) -> bool:
        return False

    def train_spans(self, lengths: Tensor, span: int, tolerance: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """The same as the evaluation crops."""
        return self.spans(lengths, span, tolerance)

    def spans(self, lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
        """The middle, or the whole track if its length is within the tolerance."""
        exact = (lengths - span).abs() <= tolerance
        begin = torch.where(exact, 0, (lengths - span).clamp_min(0) // 2)
        return begin[:, None], torch.where(exact, lengths, span)[:, None]


@checked_dataclass
class Segments(View):
    """Short crops: one random crop in training, several evenly spaced ones at evaluation, averaged in probability.

    Args:
        seconds: length of a crop.
        crops: number of crops at evaluation.
    """

    seconds: Seconds = 5.0
    crops: Count = 8

    @property
    def random(self) -> bool:
        return True

    def train_spans(self, lengths: Tensor, span: int, tolerance: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """One crop at a random position."""
        last = (lengths - span).clamp_min(0)
        begin = (torch.rand(len(lengths), generator=generator) * (last + 1)).long().clamp_max(last)
        return begin[:, None], torch.full_like(begin, span)[:, None]

    def spans(self, lengths: Tensor, span: int, tolerance: int) -> tuple[Tensor, Tensor]:
        """Evenly spaced crops from the beginning to the end."""
        return evenly_spaced(lengths, span, self.positions)

    @property
    def positions(self) -> Tensor:
        """Where the evaluation crops lie, (crops,): 0 is the beginning of a track, 1 its end."""
        return torch.linspace(0, 1, self.crops) if self.crops > 1 else torch.tensor([0.5])


def evenly_spaced(lengths: Tensor, span: int, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Crops of ``span`` rows at positions from 0 to 1, (crops,): lengths (batch,) -> two (batch, crops)."""
    last = (lengths - span).clamp_min(0)
    begin = (last[:, None] * positions).round().long()
    return begin, torch.full_like(begin, span)
