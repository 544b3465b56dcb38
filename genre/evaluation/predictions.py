"""What a model says of the tracks of a subset: one pass over them, kept whole for whatever asks afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track as progress
from torch import Tensor, nn

from genre.data.datamodule import Batch, MusicData
from genre.evaluation.metrics import Bools, Judged
from genre.models.classifier import Classifier, losses_and_probabilities


@dataclass(frozen=True)
class Outcome(Judged):
    """What a model says of the tracks of a subset.

    Args:
        names: (tracks,).
        genres: (genres,).
        logits: (tracks, crops, genres).
        features: (tracks, width) what the network's last layer works on, the mean over the crops.
    """

    names: list[str]
    genres: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]

    @property
    def correct(self) -> Bools:
        """(tracks,) whether all that is predicted is true and the other way round."""
        return (self.targets == self.predicted).all(1)

    @property
    def confusion_counts(self) -> npt.NDArray[np.int64]:
        """(genres, genres) in how many tracks of one genre another is predicted."""
        return self.targets.astype(int).T @ self.predicted.astype(int)

    def genre_names(self, which: Bools) -> str:
        """The genres of a row of bools, ';' between."""
        return ";".join(genre for genre, has in zip(self.genres, which, strict=True) if has)


def predict_subset(classifier: Classifier, data: MusicData, subset: str) -> Outcome:
    """Run a model over a subset in evaluation mode, in float32, without augmentation."""
    batches = data.batches(subset)
    shown = progress(batches, f"evaluating {subset}", transient=True, total=len(batches))
    return predict_batches(classifier, (data.fetch(index) for index in shown), data.track_names(subset), data.genres)


@torch.inference_mode()
def predict_batches(
    classifier: Classifier, batches: Iterable[Batch], names: list[str], genres: tuple[str, ...]
) -> Outcome:
    """What a model says of batches of inputs, of which there must be one at least."""
    parts = []
    with last_inputs(classifier.network) as seen:
        for batch in batches:
            classifier.eval().to(batch.inputs.device)
            logits = classifier(batch.inputs)
            losses, probabilities = losses_and_probabilities(classifier.task, logits, batch.targets)
            features = seen.pop().unflatten(0, logits.shape[:2]).float().mean(dim=1)
            parts.append([value.cpu() for value in (batch.targets, losses, probabilities, logits, features)])
    targets, losses, probabilities, logits, features = (torch.cat(part) for part in zip(*parts, strict=True))
    return Outcome(
        targets=targets.bool().numpy(),
        predicted=classifier.task.decide(probabilities).numpy(),
        probabilities=probabilities.double().numpy(),
        losses=losses.double().numpy(),
        multilabel=classifier.task.multilabel,
        names=names,
        genres=genres,
        logits=logits.numpy(),
        features=features.numpy(),
    )


@contextmanager
def last_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, each call of the network leaves what its last linear layer works on, or else its output."""
    seen: list[Tensor] = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]

    def keep_inputs(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])

    def keep_output(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen.append(output)

    hook = layers[-1].register_forward_pre_hook(keep_inputs) if layers else network.register_forward_hook(keep_output)
    try:
        yield seen
    finally:
        hook.remove()
