"""Predictions of a model for the tracks of a subset, computed in one pass over them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track as progress
from torch import Tensor, nn

from genre.data.datamodule import Batch, MusicData
from genre.evaluation.arrays import Bools, Floats
from genre.models.classifier import Classifier, losses_and_probabilities
from genre.models.postprocessing import PostProcessing
from genre.tasks import Task


@dataclass(frozen=True)
class Predictions:
    """Targets, probabilities and predicted genres of a set of tracks.

    Args:
        targets: (tracks, genres) the true genres.
        predicted: (tracks, genres).
        probabilities: (tracks, genres), the mean over the crops.
        losses: (tracks,), the mean over the crops.
        multilabel: whether a track may have several genres.
        names: (tracks,).
        genres: (genres,).
        logits: (tracks, crops, genres) at temperature 1.
        features: (tracks, width) inputs of the network's last layer, the mean over the crops.
        distances: (tracks,) from the training tracks; None if the network has none.
    """

    targets: Bools
    predicted: Bools
    probabilities: Floats
    losses: Floats
    multilabel: bool
    names: list[str]
    genres: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    distances: Floats | None = None

    @property
    def correct(self) -> Bools:
        """(tracks,) True if the predicted genres are exactly the true ones."""
        return (self.targets == self.predicted).all(1)

    @property
    def top_genre_correct(self) -> Bools:
        """(tracks,) True if the most probable genre is one of the track's."""
        top = self.probabilities.argmax(1)[:, None]
        correct: Bools = np.take_along_axis(self.targets, top, axis=1)[:, 0]
        return correct

    @property
    def confusion_counts(self) -> npt.NDArray[np.int64]:
        """(genres, genres) number of tracks by true genre (rows) and predicted genre (columns)."""
        return self.targets.astype(int).T @ self.predicted.astype(int)

    def genre_names(self, has_genre: Bools) -> str:
        """Return the genres of one row, separated by ';': (genres,) -> 'pop;rock'."""
        return ";".join(genre for genre, has in zip(self.genres, has_genre, strict=True) if has)


def predict_subset(classifier: Classifier, data: MusicData, subset: str, music_alone: bool = False) -> Predictions:
    """Run a model over a subset in evaluation mode, in float32, without augmentation.

    Args:
        music_alone: whether metadata is left out.
    """
    indices = data.batches(subset)
    fetched = (data.fetch(index) for index in progress(indices, f"evaluating {subset}", len(indices), transient=True))
    batches = (batch._replace(metadata=None) if music_alone else batch for batch in fetched)
    return predict_batches(classifier, batches, data.track_names(subset), data.genres)


@torch.inference_mode()
def predict_batches(
    classifier: Classifier, batches: Iterable[Batch], names: list[str], genres: tuple[str, ...]
) -> Predictions:
    """Run a model over batches of inputs, of which there must be at least one."""
    parts, distances = [], []
    with last_layer_inputs(classifier.network) as inputs:
        for batch in batches:
            classifier.eval().to(batch.inputs.device)
            logits, far = classifier.outputs(batch)
            distances += [] if far is None else [far.cpu()]
            losses, probabilities = losses_and_probabilities(classifier.task, logits, batch.targets)
            features = inputs.pop().flatten(0, -2).unflatten(0, (len(logits), -1)).float().mean(dim=1)
            parts.append([value.cpu() for value in (batch.targets, losses, probabilities, logits, features)])
    targets, losses, probabilities, logits, features = (torch.cat(part) for part in zip(*parts, strict=True))
    return Predictions(
        targets=targets.bool().numpy(),
        predicted=classifier.task.decide(probabilities).numpy(),
        probabilities=probabilities.double().numpy(),
        losses=losses.double().numpy(),
        multilabel=classifier.task.multilabel,
        names=names,
        genres=genres,
        logits=logits.numpy(),
        features=features.numpy(),
        distances=torch.cat(distances).double().numpy() if distances else None,
    )


def concatenated(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of one model, or of alike ones, for several sets of tracks as those for all."""
    arrays = ["targets", "predicted", "probabilities", "losses", "logits", "features"]
    arrays += [] if parts[0].distances is None else ["distances"]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return replace(parts[0], names=[name for part in parts for name in part.names], **joined)


def apply_temperature(predictions: Predictions, task: Task, postprocessing: PostProcessing) -> Predictions:
    """Return losses and probabilities at the fitted temperature, and what the task predicts from them."""
    if postprocessing.temperature is None:
        return predictions
    logits = postprocessing.scale(torch.from_numpy(predictions.logits))
    losses, probabilities = losses_and_probabilities(task, logits, torch.from_numpy(predictions.targets).float())
    return replace(
        predictions,
        losses=losses.double().numpy(),
        probabilities=probabilities.double().numpy(),
        predicted=task.decide(probabilities).numpy(),
    )


def apply_thresholds(predictions: Predictions, task: Task, postprocessing: PostProcessing) -> Predictions:
    """Return the final predictions: at the tuned thresholds if the task asks for them."""
    probabilities = torch.from_numpy(predictions.probabilities).float()
    return replace(predictions, predicted=postprocessing.predicted(task, probabilities).numpy())


def uncertain_tracks(predictions: Predictions, postprocessing: PostProcessing) -> Bools | None:
    """Return which tracks are uncertain, (tracks,); None if no threshold was fitted."""
    distances = None if predictions.distances is None else torch.from_numpy(predictions.distances)
    uncertain = postprocessing.uncertain(torch.from_numpy(predictions.probabilities), distances)
    return None if uncertain is None else uncertain.numpy()


@contextmanager
def last_layer_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the inputs of the last linear layer at each call; the network's output if it has no linear layer."""
    collected: list[Tensor] = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]

    def keep_inputs(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        collected.append(inputs[0])

    def keep_output(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        collected.append(output)

    hook = layers[-1].register_forward_pre_hook(keep_inputs) if layers else network.register_forward_hook(keep_output)
    try:
        yield collected
    finally:
        hook.remove()
