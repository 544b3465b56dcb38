"""Where in a spectrogram a convolutional network finds a genre (Grad-CAM, Selvaraju et al. 2017)."""

import textwrap

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from genre.data.datamodule import MusicData
from genre.evaluation import figures
from genre.evaluation.predictions import Predictions
from genre.models.classifier import Classifier

CHARACTERS = 36  # of a heading's line


def last_convolution(network: nn.Module) -> nn.Conv2d | None:
    """The last convolution that is wider than one pixel (a shortcut's sees nothing around it); None without any."""
    wide = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1]
    return wide[-1] if wide else None


def grad_cam(network: nn.Module, layer: nn.Conv2d, pictures: Tensor, genres: Tensor) -> Tensor:
    """What speaks for a genre, in evaluation mode.

    Each channel of the layer counts by the mean gradient of the genre's logit; what speaks against it is left out.

    Args:
        pictures: (batch, 1, height, width).
        genres: (batch,) the place of each.

    Returns:
        (batch, height, width) in [0, 1], 1 where most speaks for it; all 0 where nothing does.
    """
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        # cuDNN's recurrence would want training
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            logits = network(pictures.detach().clone().requires_grad_())
            wanted = logits.gather(1, genres[:, None].clone().to(logits.device)).sum()
            (gradient,) = torch.autograd.grad(wanted, kept[0])
    finally:
        hook.remove()
    weighed = F.relu((gradient.mean((-2, -1), keepdim=True) * kept[0].detach()).sum(1, keepdim=True))
    wide = F.interpolate(weighed, pictures.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return wide / wide.amax((-2, -1), keepdim=True).clamp_min(1e-12)


def grad_cam_figure(classifier: Classifier, data: MusicData, predictions: Predictions, title: str) -> Figure | None:
    """The most confident track that is right above the most confident that is wrong; None without convolutions."""
    layer = last_convolution(classifier.network)
    if layer is None:
        return None
    classifier.eval()
    return figures.grad_cam(
        [explain(classifier, layer, data, predictions, place) for place in select_examples(predictions)], title
    )


def select_examples(predictions: Predictions) -> list[int]:
    """The most confident of those that are right, and of those that are wrong, where there are such tracks."""
    best = predictions.probabilities.max(1)
    groups = (np.flatnonzero(predictions.correct), np.flatnonzero(~predictions.correct))
    return [int(group[best[group].argmax()]) for group in groups if len(group)]


def explain(
    classifier: Classifier, layer: nn.Conv2d, data: MusicData, predictions: Predictions, place: int
) -> figures.Explanation:
    """One track: what speaks for its most probable genre, and for the true one that was missed or else the next."""
    ranking = np.argsort(-predictions.probabilities[place], kind="stable")
    missed = [g for g in ranking if predictions.targets[place, g] and g != ranking[0]]
    chosen = torch.tensor([int(ranking[0]), int((missed or [ranking[1]])[0])])
    row = torch.tensor([data.row_of[predictions.names[place]]])
    crops = data.pipeline.pictures(data.first, row)[0]
    crop = crops[int(predictions.logits[place, :, chosen[0]].argmax())][None]
    maps = grad_cam(classifier.network, layer, crop.repeat(2, 1, 1, 1), chosen).cpu().numpy()
    labels = [f"for {predictions.genres[g]} ({predictions.probabilities[place, g]:.0%})" for g in chosen.tolist()]
    said = (
        "right"
        if predictions.correct[place]
        else f"said to be {predictions.genre_names(predictions.predicted[place]) or 'nothing'}"
    )
    sentence = f"{predictions.genre_names(predictions.targets[place])}, {said}".replace(";", " & ")
    heading = "\n".join([predictions.names[place][-CHARACTERS:], *textwrap.wrap(sentence, CHARACTERS)])
    return figures.Explanation(heading, crop[0, 0].cpu().numpy(), dict(zip(labels, maps, strict=True)))
