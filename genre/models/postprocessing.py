"""From a network's outputs to predictions: temperature, thresholds, and what makes a track uncertain.

Training, evaluation and prediction all use this class; ``genre.evaluation.fitting`` fits it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from genre.tasks import Multilabel, Task


@dataclass(frozen=True)
class PostProcessing:
    """Parameters fitted after training, on validation tracks; ``most_common_set`` comes from training tracks.

    Args:
        temperature: logits are divided by it; None leaves them unchanged.
        uncertain_below: a track is uncertain if its highest probability is lower; None without validation tracks.
        uncertain_beyond: a track is uncertain if its distance from the training tracks is larger; None without
            validation tracks, for networks that have no distance, and for runs of earlier versions.
        thresholds: (genres,) float64, a track has a genre if its probability exceeds the genre's; None for multiclass.
        most_common_set: (genres,) bool, the most frequent set of genres in training; None for runs of earlier versions.
    """

    temperature: float | None = None
    uncertain_below: float | None = None
    uncertain_beyond: float | None = None
    thresholds: Tensor | None = None
    most_common_set: Tensor | None = None

    def scale(self, logits: Tensor) -> Tensor:
        """Return the logits divided by the temperature; any shape."""
        return logits if self.temperature is None else logits / self.temperature

    def probabilities(self, task: Task, logits: Tensor) -> Tensor:
        """Return the mean probabilities over crops: (batch, crops, genres) -> (batch, genres)."""
        return task.probabilities(self.scale(logits)).mean(dim=1)

    def predicted(self, task: Task, probabilities: Tensor) -> Tensor:
        """Return which genres are predicted: (..., genres) -> (..., genres) of bool.

        Tuned thresholds are used if the task asks for them, otherwise the task decides.
        """
        if self.thresholds is None or not isinstance(task, Multilabel) or task.thresholds == "fixed":
            return task.decide(probabilities)
        return probabilities > self.thresholds.to(probabilities.device)

    def uncertain(self, probabilities: Tensor, distances: Tensor | None = None) -> Tensor | None:
        """Return which tracks are uncertain, by either threshold; None if none was fitted.

        Args:
            probabilities: (..., genres).
            distances: (...) from the training tracks; None: unknown.

        Returns:
            (...) of bool.
        """
        if self.uncertain_below is None:
            return None
        unclear = probabilities.amax(-1) < self.uncertain_below
        return unclear if distances is None else unclear | self.is_foreign(distances)

    def is_foreign(self, distances: Tensor) -> Tensor:
        """Return which distances from the training tracks are too large to be certain, (...) -> (...) of bool."""
        return distances > (float("inf") if self.uncertain_beyond is None else self.uncertain_beyond)

    def metadata(self) -> dict[str, Any]:
        """Return the fitted parameters as plain values for a checkpoint."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {k: v.tolist() if isinstance(v, Tensor) else v for k, v in values.items() if v is not None}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Self:
        """Return the parameters in a checkpoint's metadata; other keys are ignored."""
        values = {part.name: metadata.get(part.name) for part in fields(cls)}
        for name, dtype in (("thresholds", torch.float64), ("most_common_set", torch.bool)):
            values[name] = None if values[name] is None else torch.tensor(values[name], dtype=dtype)
        return cls(**values)
