"""Multiclass and multilabel classification: everything that differs between the two."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genre.ranges import OpenShare, PartShare, Share, checked_dataclass


class Task(ABC):
    """Targets, losses, probabilities, predictions and accuracy. Networks end in logits and do not know the task."""

    multilabel: bool
    class_weights: bool
    calibrate: bool
    certain: float
    label_smoothing: float

    @abstractmethod
    def labels(self, genres: tuple[str, ...]) -> tuple[str, ...]:
        """The genres of a track that are targets."""

    @abstractmethod
    def losses(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Logits and targets (batch, genres), class weights (genres,) -> losses (batch,)."""

    @abstractmethod
    def class_weights_of(self, targets: Tensor) -> Tensor:
        """Class weights that give every genre equal importance: targets (tracks, genres) -> (genres,)."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (..., genres) -> probabilities (..., genres)."""

    @abstractmethod
    def decide(self, probabilities: Tensor) -> Tensor:
        """Probabilities (..., genres) -> predictions (..., genres) of bool."""

    @abstractmethod
    def smooth_targets(self, target: Tensor) -> Tensor:
        """Targets of training with label smoothing, (batch, genres) -> (batch, genres)."""

    @abstractmethod
    def mix_targets(self, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """Targets of a mixture: targets of both tracks (batch, genres), share of the first in power (batch,)."""

    def correct(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """True where the predicted genres equal the targets: (batch, genres) twice -> (batch,) of bool."""
        return (self.decide(probabilities) == self.decide(target)).all(-1)

    def targets(self, tracks: Sequence[tuple[str, ...]], genres: Sequence[str]) -> Tensor:
        """Genres per track -> targets (tracks, genres) of 0 and 1."""
        index = {genre: column for column, genre in enumerate(genres)}
        targets = torch.zeros(len(tracks), len(genres))
        columns = [[index[name] for name in self.labels(names)] for names in tracks]
        counts = torch.tensor([len(own) for own in columns], dtype=torch.long)
        rows = torch.arange(len(tracks)).repeat_interleave(counts)
        targets[rows, torch.tensor([column for own in columns for column in own], dtype=torch.long)] = 1
        return targets


@checked_dataclass
class Multiclass(Task):
    """A track has one genre; of several, the first counts.

    Args:
        class_weights: True to give every genre equal importance.
        calibrate: True to fit a temperature on validation.
        certain: required accuracy of the most probable genre among the tracks not marked uncertain, from 0 to 1.
        label_smoothing: share of each training target that is spread over all genres (Szegedy et al. 2016).
    """

    class_weights: bool = False
    calibrate: bool = False
    certain: Share = 0.9
    label_smoothing: PartShare = 0.0
    multilabel = False

    def labels(self, genres: tuple[str, ...]) -> tuple[str, ...]:
        """The first genre."""
        return genres[:1]

    def losses(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """(batch, genres), (batch, genres) that add up to 1 -> cross-entropy, (batch,)."""
        return F.cross_entropy(logits, target, weights, reduction="none")

    def class_weights_of(self, targets: Tensor) -> Tensor:
        """Mean number of tracks per genre, divided by the genre's number."""
        counts = targets.sum(0).clamp_min(1)
        return counts.mean() / counts

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., genres) -> probabilities that add up to 1, (..., genres)."""
        return logits.softmax(-1)

    def decide(self, probabilities: Tensor) -> Tensor:
        """(..., genres) -> the most probable genre, (..., genres) of bool with one true."""
        return F.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).bool()

    def smooth_targets(self, target: Tensor) -> Tensor:
        """Targets that still add up to 1."""
        return target * (1 - self.label_smoothing) + self.label_smoothing / target.shape[-1]

    def mix_targets(self, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """Targets weighted by the shares (mixup, Zhang et al. 2018)."""
        return share[:, None] * target + (1 - share[:, None]) * other


@checked_dataclass
class Multilabel(Task):
    """A track has any number of genres; each is a binary label.

    Args:
        threshold: a genre is predicted if its probability exceeds this (0.2 in the paper, which found that higher
            values mostly predict one genre).
        thresholds: of the final predictions: 'fixed' is ``threshold``, 'shared' is one threshold tuned on validation,
            'per_genre' is one tuned threshold per genre, the nearer to the shared one the fewer tracks it has.
        class_weights: True to weight a genre's positives as much as its negatives.
        calibrate: True to fit a temperature on validation.
        certain: required accuracy of the most probable genre among the tracks not marked uncertain, from 0 to 1.
        label_smoothing: training targets of 0 and 1 become half of it and 1 minus that half (Szegedy et al. 2016).
    """

    threshold: OpenShare = 0.2
    thresholds: Literal["fixed", "shared", "per_genre"] = "fixed"
    class_weights: bool = False
    calibrate: bool = False
    certain: Share = 0.9
    label_smoothing: PartShare = 0.0
    multilabel = True

    def labels(self, genres: tuple[str, ...]) -> tuple[str, ...]:
        """All genres."""
        return genres

    def losses(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """(batch, genres), (batch, genres) of 0 and 1 -> binary cross-entropy, mean over the genres, (batch,)."""
        losses = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="none")
        return losses.mean(-1)

    def class_weights_of(self, targets: Tensor) -> Tensor:
        """Ratio of negatives to positives per genre."""
        counts = targets.sum(0).clamp_min(1)
        return (len(targets) - counts).clamp_min(1) / counts

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., genres) -> independent probabilities, (..., genres)."""
        return logits.sigmoid()

    def decide(self, probabilities: Tensor) -> Tensor:
        """(..., genres) -> genres above the threshold, (..., genres) of bool."""
        return probabilities > self.threshold

    def smooth_targets(self, target: Tensor) -> Tensor:
        """Targets as far from 0 and 1."""
        return target * (1 - self.label_smoothing) + self.label_smoothing / 2

    def mix_targets(self, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """The union of both tracks' genres, whatever the shares."""
        return torch.maximum(target, other.where(share[:, None] < 1, 0))
