"""A convolutional recurrent network: it uses the order of events, which an average over time discards."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genre.models.dropout import Dropout
from genre.ranges import Count, DropoutProbability, checked

HEADS = 2  # of self-attention; divides the width, which is twice the units


class CRNN(nn.Module):
    """Convolutions that pool frequency strongly and time little, recurrence or self-attention over time; logits.

    The remaining frequency bands and the channels become the features of each time step; the steps are pooled by a
    learned weighted mean.

    Args:
        genres: number of logits.
        size: height (frequency) and width (time) of the pictures, in pixels.
        filters: output channels of each convolution; each divides frequency by 4, the first divides time by 2.
        kernel_size: of every convolution, odd.
        over_time: ``gru`` (bidirectional) or ``attention`` (one layer of self-attention).
        units: width of each direction of the GRU; self-attention is twice as wide.
        dropout: probability after each convolution and before the logits.

    Raises:
        ValueError: if a value is out of range; the message names the key.
    """

    @checked
    def __init__(
        self,
        genres: Count,
        size: Count,
        filters: Sequence[Count] = (32, 64, 128),
        kernel_size: Count = 3,
        over_time: Literal["gru", "attention"] = "gru",
        units: Count = 64,
        dropout: DropoutProbability = 0.2,
    ) -> None:
        super().__init__()
        if not filters or size < 4 ** len(filters):
            raise ValueError(f"model.filters={list(filters)} does not fit pictures of {size} pixels")
        if kernel_size % 2 == 0:
            raise ValueError(f"model.kernel_size={kernel_size} must be odd")
        channels, times = [1, *filters], [2] + [1] * (len(filters) - 1)
        self.moments = nn.Sequential(  # checkpoints hold this name
            *(
                frequency_pooling_block(*shape, kernel_size, dropout)
                for shape in zip(channels, filters, times, strict=False)
            )
        )
        self.over_time = OVER_TIME[over_time](filters[-1] * (size // 4 ** len(filters)), units)
        self.pool = WeightedMean(2 * units)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * units, genres))

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1], columns in order of time -> logits (batch, genres)."""
        steps = self.moments(picture).permute(0, 3, 1, 2).flatten(2)
        logits: Tensor = self.head(self.pool(self.over_time(steps)))
        return logits


class Recurrence(nn.Module):
    """A bidirectional GRU over time.

    Args:
        features: number of features per time step.
        units: width of each direction.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.gru = nn.GRU(features, units, batch_first=True, bidirectional=True)

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, steps, features) -> (batch, steps, 2 * units)."""
        states: Tensor = self.gru(steps)[0]
        return states


class SelfAttention(nn.Module):
    """One layer of self-attention over time, with sinusoidal position encodings.

    Args:
        features: number of features per time step.
        units: half the width of the layer.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, 2 * units)
        self.layer = nn.TransformerEncoderLayer(
            2 * units, HEADS, dim_feedforward=4 * units, dropout=0, batch_first=True, norm_first=True
        )

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, steps, features) -> (batch, steps, 2 * units)."""
        wide = self.project(steps)
        states: Tensor = self.layer(wide + position_encodings(*wide.shape[1:]).to(wide))
        return states


def position_encodings(steps: int, width: int) -> Tensor:
    """Sinusoidal position encodings (Vaswani et al. 2017): (steps, width), width even."""
    rates = 10_000 ** -torch.linspace(0, 1, width // 2)
    angles = torch.arange(steps)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class WeightedMean(nn.Module):
    """Mean over time with learned softmax weights.

    Args:
        width: number of features per time step.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, steps, width) -> (batch, width)."""
        return (self.score(steps).softmax(dim=1) * steps).sum(dim=1)


OVER_TIME: dict[str, Callable[[int, int], nn.Module]] = {"gru": Recurrence, "attention": SelfAttention}


def frequency_pooling_block(inputs: int, outputs: int, time: int, kernel_size: int, dropout: float) -> nn.Sequential:
    """One stage: height is divided by 4, width by ``time``; pooling comes first because the rest then costs less."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size, padding="same", bias=False), nn.MaxPool2d((4, time)),
        nn.BatchNorm2d(outputs), nn.ReLU(), Dropout(dropout),
    )  # fmt: skip
