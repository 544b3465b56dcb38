"""What of a published network learns with its head: its last blocks, or low-rank changes of its attention."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

ADAPTED = ("q_proj", "v_proj", "query", "value", "qkv")  # names of layers in transformers, torchaudio and timm


class LowRankChange(nn.Module):
    """Adds the product of two small matrices to a weight (Hu et al. 2021); at first it is zero.

    Args:
        weight: (outputs, inputs).
        rank: of the change.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) / rank)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """(outputs, inputs) -> the same shape."""
        return weight + self.up @ self.down


def fine_tune(network: nn.Module, blocks: Sequence[Sequence[nn.Parameter]], unfreeze: int, lora: int) -> None:
    """Let parts of a frozen network learn.

    Args:
        blocks: parameters of each of its blocks, from the first to the last.
        unfreeze: number of blocks, counted from the last.
        lora: rank of changes of query and value in its attention; 0: none.

    Raises:
        ValueError: if it has fewer blocks, or no attention; the message names the key.
    """
    if unfreeze > len(blocks):
        raise ValueError(f"model.unfreeze={unfreeze} exceeds the {len(blocks)} blocks of this network that can learn")
    for parameter in [value for block in blocks[len(blocks) - unfreeze :] for value in block]:
        parameter.requires_grad_(True)
    if lora:
        adapt(network, lora)


def adapt(network: nn.Module, rank: int) -> None:
    """Let the attention of a network learn changes of a rank.

    Raises:
        ValueError: if it has none.
    """
    linear = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    layers = [layer for name, layer in linear.items() if name.rpartition(".")[2] in ADAPTED]
    if not layers:
        raise ValueError(f"model.lora={rank} adapts attention, which this network lacks; use model.unfreeze")
    for layer in layers:
        register_parametrization(layer, "weight", LowRankChange(layer.weight, min(rank, *layer.weight.shape)))
