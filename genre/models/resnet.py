"""A small residual network: stages of residual blocks, then global average pooling."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from genre.ranges import Count, DropoutProbability, checked


class ResNet(nn.Module):
    """A strided convolution, stages of residual blocks, global average pooling; logits.

    Few channels and early downsampling: sized for some hundred tracks and a CPU.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        filters: output channels of each stage; the first convolution and each stage halve height and width.
        blocks: residual blocks per stage.
        dropout: probability before the logits.

    Raises:
        ValueError: if a value is out of range; the message names the key.
    """

    @checked
    def __init__(
        self,
        genres: Count,
        size: Count,
        filters: Sequence[Count] = (32, 64, 128, 256),
        blocks: Count = 1,
        dropout: DropoutProbability = 0.3,
    ) -> None:
        super().__init__()
        if not filters or size < 4 * 2 ** len(filters):
            raise ValueError(f"model.filters={list(filters)} does not fit pictures of {size} pixels")
        self.stem = nn.Sequential(normalized_convolution(1, filters[0], 5, stride=2), nn.ReLU())
        channels = [filters[0], *filters]
        self.stages = nn.Sequential(*(stage(*pair, blocks) for pair in zip(channels, filters, strict=False)))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(filters[-1], genres))

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> logits (batch, genres)."""
        logits: Tensor = self.head(self.stages(self.stem(picture)).mean(dim=(-2, -1)))
        return logits


class ResidualBlock(nn.Module):
    """Two convolutions added to a shortcut, which is the identity if input and output have the same shape.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        stride: factor by which height and width shrink.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            normalized_convolution(inputs, outputs, 3, stride), nn.ReLU(), normalized_convolution(outputs, outputs, 3)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else normalized_convolution(inputs, outputs, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, inputs, height, width) -> (batch, outputs, height / stride, width / stride), 0 or more."""
        return F.relu(self.residual(maps) + self.shortcut(maps))


def stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """Residual blocks with the same number of channels; the first halves height and width."""
    rest = (ResidualBlock(outputs, outputs) for _ in range(blocks - 1))
    return nn.Sequential(ResidualBlock(inputs, outputs, stride=2), *rest)


def normalized_convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, then batch normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
