"""A small residual network: stages of residual blocks, then the average over the whole picture."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ResNet(nn.Module):
    """A strided convolution, stages of residual blocks, global average pooling; logits.

    Few channels and an early halving: sized for some hundred tracks and a CPU.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        filters: of each stage; the first convolution and each stage halve height and width.
        blocks: residual blocks a stage.
        dropout: probability before the logits.

    Raises:
        ValueError: naming the key whose value cannot be.
    """

    def __init__(
        self, genres: int, size: int, filters: Sequence[int] = (32, 64, 128, 256), blocks: int = 1, dropout: float = 0.3
    ) -> None:
        super().__init__()
        if not filters or min(filters) < 1 or size < 4 * 2 ** len(filters):
            raise ValueError(f"model.filters={list(filters)} does not fit pictures of {size} pixels")
        if blocks < 1:
            raise ValueError(f"model.blocks={blocks} must be at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout} must be at least 0 and below 1")
        self.stem = nn.Sequential(normalised(1, filters[0], 5, stride=2), nn.ReLU())
        channels = [filters[0], *filters]
        self.stages = nn.Sequential(*(stage(*pair, blocks) for pair in zip(channels, filters, strict=False)))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(filters[-1], genres))

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> logits (batch, genres)."""
        logits: Tensor = self.head(self.stages(self.stem(picture)).mean(dim=(-2, -1)))
        return logits


class Block(nn.Module):
    """Two convolutions beside a shortcut, which is the identity wherever the shapes allow it.

    Args:
        inputs: channels.
        outputs: channels.
        stride: by which height and width shrink.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            normalised(inputs, outputs, 3, stride), nn.ReLU(), normalised(outputs, outputs, 3)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else normalised(inputs, outputs, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, inputs, height, width) -> (batch, outputs, height / stride, width / stride), not negative."""
        return F.relu(self.residual(maps) + self.shortcut(maps))


def stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """Residual blocks of one width; the first halves height and width."""
    return nn.Sequential(Block(inputs, outputs, stride=2), *(Block(outputs, outputs) for _ in range(blocks - 1)))


def normalised(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """A convolution and batch normalisation, which makes a bias superfluous."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
