"""What the rest of the program asks of a network, of whatever kind it is."""

import torch
from torch import Tensor, nn


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
    flat = inputs.flatten(0, 1)
    if flat.ndim == 4:
        flat = flat.contiguous(memory_format=torch.channels_last)
    logits: Tensor = network(flat).float()
    return logits.reshape(inputs.shape[0], -1, logits.shape[-1])
