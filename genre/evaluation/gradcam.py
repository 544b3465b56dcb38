"""Grad-CAM: the parts of a picture that a convolutional network finds a genre in (Selvaraju et al. 2017)."""

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
from genre.models.networks import crop_logits, last_convolution

LINE_LENGTH = 34  # characters, of a heading


def grad_cam(network: nn.Module, layer: nn.Conv2d, pictures: Tensor, genres: Tensor) -> Tensor:
    """Return the Grad-CAM map of one genre per picture, in evaluation mode.

    The layer's channels are weighted by the mean gradient of the genre's logit, summed, and clipped at 0.

    Args:
        pictures: (batch, 1, height, width).
        genres: (batch,) index of the genre.

    Returns:
        (batch, height, width) in [0, 1], 1 at the maximum; all 0 without positive evidence.
    """
    outputs: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        # cuDNN's recurrent layers have gradients in training mode only
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            logits = crop_logits(network, pictures.detach().clone().requires_grad_()[:, None]).mean(dim=1)
            wanted = logits.gather(1, genres[:, None].clone().to(logits.device)).sum()
            (gradient,) = torch.autograd.grad(wanted, outputs[0])
    finally:
        hook.remove()
    weighted = F.relu((gradient.mean((-2, -1), keepdim=True) * outputs[0].detach()).sum(1, keepdim=True))
    wide = F.interpolate(weighted, pictures.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return wide / wide.amax((-2, -1), keepdim=True).clamp_min(1e-12)


def grad_cam_figure(classifier: Classifier, data: MusicData, predictions: Predictions, title: str) -> Figure | None:
    """Return maps of the most confident right and wrong track; None if the network has no convolution."""
    layer = last_convolution(classifier.network)
    if layer is None:
        return None
    classifier.eval()
    rows = [explain(classifier, layer, data, predictions, index) for index in select_examples(predictions)]
    return figures.grad_cam_panels(rows, title)


def select_examples(predictions: Predictions) -> list[int]:
    """Return the indices of the most confident right track and the most confident wrong track, where they exist."""
    highest = predictions.probabilities.max(1)
    groups = (np.flatnonzero(predictions.correct), np.flatnonzero(~predictions.correct))
    return [int(group[highest[group].argmax()]) for group in groups if len(group)]


def explain(
    classifier: Classifier, layer: nn.Conv2d, data: MusicData, predictions: Predictions, index: int
) -> figures.Explanation:
    """Return the maps of one track for its most probable genre, and for a true one that was missed or the second."""
    probabilities = predictions.probabilities[index]
    ranking = np.argsort(-probabilities, kind="stable")
    missed = [genre for genre in ranking if predictions.targets[index, genre] and genre != ranking[0]]
    genres = torch.tensor([int(ranking[0]), int((missed or [ranking[1]])[0])])
    row = torch.tensor([data.row_of[predictions.names[index]]])
    pictures = data.pipeline.pictures(data.first, row)[0]
    logits = torch.as_tensor(predictions.logits[index, :, genres[0]]).view(len(pictures), -1)
    crop = int(logits.amax(dim=1).argmax())
    picture = pictures[crop][None]
    maps = grad_cam(classifier.network, layer, picture.repeat(2, 1, 1, 1), genres).cpu().numpy()
    labels = [f"for {predictions.genres[genre]} ({probabilities[genre]:.0%})" for genre in genres.tolist()]
    return figures.Explanation(
        title=explanation_title(predictions, index),
        picture=picture[0, 0].cpu().numpy(),
        maps=dict(zip(labels, maps, strict=True)),
        begin=crop_begin(data, row, crop),
        seconds=data.pipeline.view.seconds,
        band_edges=data.pipeline.log_mel_spectrogram.log_mel.band_edges(),
    )


def explanation_title(predictions: Predictions, index: int) -> str:
    """Return the name of a track, its true genres and the predicted ones, in lines that fit above a picture."""
    true = predictions.genre_names(predictions.targets[index])
    predicted = predictions.genre_names(predictions.predicted[index]) or "none"
    sentence = f"{true}, predicted correctly" if predictions.correct[index] else f"{true}, predicted as {predicted}"
    return "\n".join(
        [
            figures.shorten(predictions.names[index], LINE_LENGTH),
            *textwrap.wrap(sentence.replace(";", " & "), LINE_LENGTH),
        ]
    )


def crop_begin(data: MusicData, row: Tensor, crop: int) -> float:
    """Return where a crop begins in its track, in seconds."""
    begin, _ = data.pipeline.crops(data.first, row, None)
    return float(begin[0, crop]) / data.first.rate
