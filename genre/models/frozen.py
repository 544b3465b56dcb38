"""What networks with a frozen backbone share: the head that is trained on its features."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.data.backbone_features import HeadLayers


class FeatureNorm(nn.BatchNorm1d):
    """Normalisation of each feature over the batch, (batch, width); a batch of one track by the running statistics."""

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(features)


class FrozenBackbone(nn.Module):
    """A backbone in evaluation mode under a head: normalisation, a dense layer, dropout, logits.

    A subclass has ``embed``, from pictures to features, and calls ``add_head`` at the end of its constructor.

    Attributes:
        cached_views: number of random views per track whose features are cached; 0: none, the backbone runs in every
            epoch.
    """

    head_arguments: ClassVar[frozenset[str]] = frozenset({"dense_units", "dropout"})
    cached_views: int
    head: nn.Module

    def add_head(self, genres: int, width: int, normalized: bool, dense_units: int, dropout: float) -> None:
        """Add a head with new weights.

        Args:
            genres: number of logits.
            width: of the features.
            normalized: True to normalise each feature over the batch first.
            dense_units: width of the dense layer.
            dropout: probability after the dense layer.
        """
        self.genres, self.width, self.normalized = genres, width, normalized
        self.rng_state = torch.get_rng_state()
        self.head_values = {"dense_units": dense_units, "dropout": dropout}
        self.head = self._next_head(dense_units, dropout)

    def _next_head(self, dense_units: int, dropout: float) -> nn.Sequential:
        """A head whose weights are the next random numbers: (batch, width) -> (batch, genres)."""
        normalization = FeatureNorm(self.width) if self.normalized else nn.Identity()
        dense, logits = nn.Linear(self.width, dense_units), nn.Linear(dense_units, self.genres)
        return nn.Sequential(normalization, dense, nn.ReLU(), nn.Dropout(dropout), logits)

    def make_head(self, **arguments: Any) -> nn.Sequential:
        """Return the head that this network would have with these ``head_arguments`` under the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.rng_state)
            return self._next_head(**self.head_values | arguments)

    def head_layers(self, head: nn.Module) -> HeadLayers:
        """Return the layers of a head from ``make_head``."""
        assert isinstance(head, nn.Sequential)
        normalization, first, _, dropout, last = head
        assert isinstance(first, nn.Linear) and isinstance(dropout, nn.Dropout) and isinstance(last, nn.Linear)
        return HeadLayers(normalization, first, dropout.p, last)

    @property
    def feature_layers(self) -> list[nn.Module]:
        """The head's first linear layer, whose inputs are the features, normalised if the head does that."""
        return [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)][:1]

    @classmethod
    def caches_features(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether a network with these constructor arguments trains its head alone, on cached features."""
        return not arguments.get("unfreeze") and arguments.get("cached_views") != 0

    def train(self, mode: bool = True) -> "FrozenBackbone":
        """Set the head's mode; the backbone stays in evaluation mode."""
        super().train(False)
        self.training = mode
        self.head.train(mode)
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1], or features (batch, width) -> logits (batch, genres)."""
        logits: Tensor = self.head(inputs if inputs.ndim == 2 else self.embed(inputs))
        return logits

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> features (batch, width)."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: the head at its learning rate."""
        return [{"params": list(self.head.parameters())}]


def fingerprint(weights: Iterable[Tensor]) -> str:
    """Return a hash of weights in float16, equal for float16 and float32 files."""
    digest = hashlib.sha256()
    for value in weights:
        digest.update(value.half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
