"""One genre a track, or several: all that differs between the two."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

THRESHOLDS = ("fixed", "shared", "per_genre")


class Task(ABC):
    """Targets, loss, probabilities, decision and accuracy. Networks end in logits and do not know their task."""

    multilabel: bool
    class_weights: bool
    calibrate: bool
    certain: float

    @abstractmethod
    def labels(self, genres: tuple[str, ...]) -> tuple[str, ...]:
        """The genres of a track that count here."""

    @abstractmethod
    def losses(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Logits and targets, (batch, genres) each, and what each genre counts, (genres,) -> losses (batch,)."""

    @abstractmethod
    def class_weights_of(self, targets: Tensor) -> Tensor:
        """Class weights that let rare genres count as much as common ones: (tracks, genres) -> (genres,)."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., genres) -> (..., genres)."""

    @abstractmethod
    def decide(self, probabilities: Tensor) -> Tensor:
        """(..., genres) -> which genres a track has, (..., genres) of bool."""

    @abstractmethod
    def mix_targets(self, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """Targets of two tracks sounding at once: (batch, genres) twice, share of the first (batch,) in power."""

    def correct(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Whether all that is decided is right: (batch, genres) twice -> (batch,) of bool."""
        return (self.decide(probabilities) == self.decide(target)).all(-1)

    def targets(self, tracks: Sequence[tuple[str, ...]], genres: Sequence[str]) -> Tensor:
        """Genres a track -> (tracks, genres) of 0 and 1."""
        places = {genre: place for place, genre in enumerate(genres)}
        targets = torch.zeros(len(tracks), len(genres))
        for row, names in zip(targets, tracks, strict=True):
            row[[places[name] for name in self.labels(names)]] = 1
        return targets


@dataclass(frozen=True)
class Multiclass(Task):
    """A track has one genre; one of several counts as its first.

    Args:
        class_weights: whether rare genres count as much as common ones.
        calibrate: whether a temperature is fitted on validation.
        certain: how many of the tracks that count as certain shall have their most probable genre, from 0 to 1.
    """

    class_weights: bool = False
    calibrate: bool = False
    certain: float = 0.9
    multilabel = False

    def __post_init__(self) -> None:
        check_certain(self.certain)

    def labels(self, genres: tuple[str, ...]) -> tuple[str, ...]:
        """The first genre alone."""
        return genres[:1]

    def losses(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """(batch, genres), (batch, genres) that add up to 1 -> cross-entropy, (batch,)."""
        return F.cross_entropy(logits, target, weights, reduction="none")

    def class_weights_of(self, targets: Tensor) -> Tensor:
        """The mean number of tracks a genre over its own number."""
        counts = targets.sum(0).clamp_min(1)
        return counts.mean() / counts

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., genres) -> probabilities that add up to 1, (..., genres)."""
        return logits.softmax(-1)

    def decide(self, probabilities: Tensor) -> Tensor:
        """(..., genres) -> the most probable genre, (..., genres) of bool with one true."""
        return F.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).bool()

    def mix_targets(self, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """Each genre counts by its share (mixup, Zhang et al. 2018)."""
        return share[:, None] * target + (1 - share[:, None]) * other


@dataclass(frozen=True)
class Multilabel(Task):
    """A track has any number of genres; each is a yes or no of its own.

    Args:
        threshold: a genre is predicted where its probability exceeds this (0.2 in the source document, which found
            that higher values mostly predict one genre).
        thresholds: what is decided by in the end: 'fixed' is ``threshold``, 'shared' one that is tuned on validation,
            'per_genre' one a genre.
        class_weights: whether a rare genre's yes counts as much as all its noes.
        calibrate: whether a temperature is fitted on validation.
        certain: how many of the tracks that count as certain shall have their most probable genre, from 0 to 1.
    """

    threshold: float = 0.2
    thresholds: str = "fixed"
    class_weights: bool = False
    calibrate: bool = False
    certain: float = 0.9
    multilabel = True

    def __post_init__(self) -> None:
        if self.thresholds not in THRESHOLDS:
            raise ValueError(f"task.thresholds={self.thresholds} is not one of {', '.join(THRESHOLDS)}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"task.threshold={self.threshold} must lie between 0 and 1")
        check_certain(self.certain)

    def labels(self, genres: tuple[str, ...]) -> tuple[str, ...]:
        """All of them."""
        return genres

    def losses(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """(batch, genres), (batch, genres) of 0 and 1 -> binary cross-entropy, mean over the genres, (batch,)."""
        losses = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="none")
        return losses.mean(-1)

    def class_weights_of(self, targets: Tensor) -> Tensor:
        """How many tracks lack a genre for each that has it: the weight of a yes."""
        counts = targets.sum(0).clamp_min(1)
        return (len(targets) - counts).clamp_min(1) / counts

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., genres) -> independent probabilities, (..., genres)."""
        return logits.sigmoid()

    def decide(self, probabilities: Tensor) -> Tensor:
        """(..., genres) -> which genres the track has, (..., genres) of bool."""
        return probabilities > self.threshold

    def mix_targets(self, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """Both have all their genres, however loud."""
        return torch.maximum(target, other.where(share[:, None] < 1, 0))


def check_certain(certain: float) -> None:
    """Raise a ValueError where it is no share."""
    if not 0 <= certain <= 1:
        raise ValueError(f"task.certain={certain} must lie between 0 and 1")
