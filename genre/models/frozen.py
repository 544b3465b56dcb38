"""What networks with a frozen backbone share: the head that is trained on its features."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.data.backbone_features import HeadLayers

FARTHEST = 5.0  # standard deviations that a feature counts at most: a few features must not decide alone


class FeatureNorm(nn.BatchNorm1d):
    """Normalisation of each feature over the batch, (batch, width); a batch of one track by the running statistics."""

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(features)

    def distances(self, features: Tensor) -> Tensor:
        """Mean square of the features, standardised by the running statistics: (batch, width) -> (batch,)."""
        standardized = F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)
        return standardized.clamp(-FARTHEST, FARTHEST).square().mean(dim=1)


class LayerMean(nn.Module):
    """The mean of features of several layers, with learnt weights that are positive and add up to 1.

    Args:
        layers: whose features lie behind one another.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, layers * width) -> (batch, width)."""
        return self.weights.softmax(0) @ features.unflatten(1, (len(self.weights), -1))


class FrozenBackbone(nn.Module):
    """A backbone in evaluation mode under a head: normalisation, a dense layer, dropout, logits.

    A subclass has ``embed``, from the network's input to features, and calls ``add_head`` at the end of its
    constructor. Where it lets some of the backbone's parameters require gradients, these learn with the head.

    Attributes:
        cached_views: number of random views per track whose features are cached; 0: none, the backbone runs in every
            epoch.
        unfreeze_lr: learning rate of what learns besides the head.
    """

    head_arguments: ClassVar[frozenset[str]] = frozenset({"dense_units", "dropout"})
    cached_views: int
    unfreeze_lr = 0.0
    head: nn.Module

    def add_head(
        self, genres: int, width: int, normalized: bool, dense_units: int, dropout: float, layers: int = 1
    ) -> None:
        """Add a head with new weights.

        Args:
            genres: number of logits.
            width: of the features.
            normalized: True to normalise each feature over the batch first.
            dense_units: width of the dense layer; 0: none, and the logits are linear in the features.
            dropout: probability after the dense layer.
            layers: whose features lie behind one another; of several, the head learns their mean.
        """
        self.genres, self.width, self.normalized, self.layers = genres, width, normalized, layers
        self.rng_state = torch.get_rng_state()
        self.head_values = {"dense_units": dense_units, "dropout": dropout}
        self.head = self._next_head(dense_units, dropout)

    def _next_head(self, dense_units: int, dropout: float) -> nn.Sequential:
        """A head whose weights are the next random numbers: (batch, width) -> (batch, genres)."""
        width = self.width // self.layers
        first: list[nn.Module] = [FeatureNorm(width) if self.normalized else nn.Identity()]
        if self.layers > 1:
            first.insert(0, LayerMean(self.layers))
        if not dense_units:
            return nn.Sequential(*first, nn.Linear(width, self.genres))
        dense, logits = nn.Linear(width, dense_units), nn.Linear(dense_units, self.genres)
        return nn.Sequential(*first, dense, nn.ReLU(), nn.Dropout(dropout), logits)

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
    def feature_layers(self) -> Sequence[nn.Module]:
        """The head's first linear layer, whose inputs are the features, normalised if the head does that."""
        return [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)][:1]

    @classmethod
    def caches_features(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether heads with these constructor arguments train in one pass over the same cached features."""
        alone = (arguments.get("unfreeze"), arguments.get("lora"), arguments.get("layers") == "weighted")
        return not any(alone) and arguments.get("cached_views") != 0 and arguments.get("dense_units") != 0

    def train(self, mode: bool = True) -> "FrozenBackbone":
        """Set the head's mode; the backbone stays in evaluation mode."""
        super().train(False)
        self.training = mode
        self.head.train(mode)
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """The network's input (batch, 1, ...), or features (batch, width) -> logits (batch, genres)."""
        logits: Tensor = self.head(inputs if inputs.ndim == 2 else self.embed(inputs))
        return logits

    def logits_and_distances(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """As ``forward``; and the distances from the training tracks (batch,), None if features are not normalised."""
        features = inputs if inputs.ndim == 2 else self.embed(inputs)
        assert isinstance(self.head, nn.Sequential)
        norm = self.head[0]
        return self.head(features), norm.distances(features) if isinstance(norm, FeatureNorm) else None

    def embed(self, picture: Tensor) -> Tensor:
        """Pictures (batch, 1, size, size), or waveforms (batch, 1, samples) -> features (batch, width)."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: the head at its learning rate, what learns with it at ``unfreeze_lr``."""
        head = list(self.head.parameters())
        own = {id(parameter) for parameter in head}
        learning = [value for value in self.parameters() if value.requires_grad and id(value) not in own]
        return [{"params": head}, *([{"params": learning, "lr": self.unfreeze_lr}] if learning else [])]


def fingerprint(weights: Iterable[Tensor]) -> str:
    """Return a hash of weights in float16, equal for float16 and float32 files."""
    digest = hashlib.sha256()
    for value in weights:
        digest.update(value.half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
