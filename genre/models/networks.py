"""What the rest of the program asks of a network, of whatever kind it is."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class NetworkOutputs(NamedTuple):
    """What a network computes of tracks.

    Args:
        logits: (batch, crops, genres).
        distances: (batch,) from the training tracks, means over the crops; None if the network has none.
    """

    logits: Tensor
    distances: Tensor | None


def last_convolution(network: nn.Module) -> nn.Conv2d | None:
    """Return the convolution whose maps have the picture's axes and say most of the decision; None without any.

    That is the network's own ``grad_cam_layer``, or the last wider than one pixel, which a shortcut's is not.
    """
    if hasattr(network, "grad_cam_layer"):
        layer: nn.Conv2d | None = network.grad_cam_layer  # type: ignore[assignment]
        return layer
    wide = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1]
    return wide[-1] if wide else None


def crop_logits(network: nn.Module, inputs: Tensor) -> Tensor:
    """Logits of a network's inputs; the members of an ensemble count as further crops.

    Args:
        inputs: pictures (batch, crops, 1, size, size) or features (batch, crops, width).

    Returns:
        (batch, crops, genres), for an ensemble (batch, crops * members, genres), members next to each other.
    """
    return per_track(network(flat_crops(inputs)), inputs)


def crop_outputs(network: nn.Module, inputs: Tensor) -> NetworkOutputs:
    """As ``crop_logits``; and the distances, from the same pass."""
    logits, distances = logits_and_distances(network, flat_crops(inputs))
    if distances is not None:
        distances = distances.float().unflatten(0, inputs.shape[:2]).mean(dim=1)
    return NetworkOutputs(per_track(logits, inputs), distances)


def logits_and_distances(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
    """A network's own ``logits_and_distances``; the logits alone if it has none."""
    own: Any = getattr(network, "logits_and_distances", None)
    return own(inputs) if own else (network(inputs), None)


def flat_crops(inputs: Tensor) -> Tensor:
    """The crops of all tracks in one batch: (batch, crops, ...) -> (batch * crops, ...)."""
    flat = inputs.flatten(0, 1)
    return flat.contiguous(memory_format=torch.channels_last) if flat.ndim == 4 else flat


def per_track(logits: Tensor, inputs: Tensor) -> Tensor:
    """Logits of flattened crops -> float32 (batch, crops, genres), members as further crops."""
    return logits.float().reshape(inputs.shape[0], -1, logits.shape[-1])
