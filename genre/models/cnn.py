"""The paper's network: three convolutions, each with pooling and dropout, then a dense layer."""

from collections.abc import Sequence

from torch import Tensor, nn

from genre.models.pooling import PoolReLUDropout
from genre.ranges import Count, DropoutProbability, checked


class CNN(nn.Module):
    """Three convolutions, each followed by max-pooling, ReLU and dropout; a dense layer; logits.

    Max-pooling before ReLU gives the same values as after it at a quarter of the cost. Weights are initialised as in
    Keras, which the paper used (Glorot & Bengio 2010; biases 0).

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        filters: output channels of each convolution; each stage halves height and width.
        kernel_size: of every convolution, odd.
        dropout: probability after each convolution.
        dense_units: width of the dense layer.
        dense_dropout: probability after the dense layer.

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
        dropout: DropoutProbability = 0.25,
        dense_units: Count = 128,
        dense_dropout: DropoutProbability = 0.0,
    ) -> None:
        super().__init__()
        if not filters or size < 2 ** len(filters):
            raise ValueError(f"model.filters={list(filters)} does not fit pictures of {size} pixels")
        if kernel_size % 2 == 0:
            raise ValueError(f"model.kernel_size={kernel_size} must be odd")
        channels = [1, *filters]
        self.features = nn.Sequential(
            *(convolution_block(*pair, kernel_size, dropout) for pair in zip(channels, filters, strict=False))
        )
        width = filters[-1] * (size // 2 ** len(filters)) ** 2
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(width, dense_units), nn.ReLU(), nn.Dropout(dense_dropout),
            nn.Linear(dense_units, genres),
        )  # fmt: skip
        self.apply(initialize)

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> logits (batch, genres)."""
        logits: Tensor = self.head(self.features(picture))
        return logits


def initialize(layer: nn.Module) -> None:
    """Initialise a convolution or dense layer as Keras does by default."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


def convolution_block(inputs: int, outputs: int, kernel_size: int, dropout: float) -> nn.Sequential:
    """One stage: (batch, inputs, height, width) -> (batch, outputs, height / 2, width / 2)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size, padding="same"), PoolReLUDropout(dropout))
