"""VGG16 (Simonyan & Zisserman 2015) pre-trained on photographs, frozen, under a new head (source document)."""

import hashlib
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from genre.data.backbone_features import HeadLayers
from genre.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """What is known of published weights.

    Args:
        mean: subtracted from RGB in [0, 1].
        std: what the rest is divided by.
        file: how the published file begins.
        fingerprint: of the convolutions in float16; empty where it is not known.
        licence: as far as stated.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    file: str
    fingerprint: str
    licence: str


PRETRAINED = {
    "IMAGENET1K_FEATURES": Pretrained(  # the original Caffe weights, which Keras carries too
        (0.48235, 0.45882, 0.40784),
        (1 / 255, 1 / 255, 1 / 255),
        "vgg16_features-amdegroot",
        "bf3033a8a4c48651",
        "CC BY 4.0 (Visual Geometry Group, University of Oxford)",
    ),
    "IMAGENET1K_V1": Pretrained(  # trained again by torchvision
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "vgg16-397923af", "", "BSD 3-Clause (torchvision)"
    ),
}
BLOCKS = (5, 10, 17, 24, 31)  # where each block of layers ends, with its pooling
CHANNELS = (64, 128, 256, 512, 512)
FEATURES = ("flattened", "pooled")


class VGG16(nn.Module):
    """VGG16's convolutions, frozen and in evaluation mode, then dense, dropout and logits.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        weights: a name of torchvision's (downloaded), a .safetensors or .pth file with ``features.*``, or 'random'.
        transform: whose input transform applies; 'auto' knows the published weights and takes IMAGENET1K_FEATURES for
            others.
        features: 'flattened' is the last pooling (source document); 'pooled' are mean, maximum and deviation over the
            picture of every channel of ``blocks``.
        blocks: which blocks are pooled, 1 to 5.
        unfreeze: how many of the last blocks learn too.
        unfreeze_lr: their learning rate.
        dense_units: width of the dense layer.
        dropout: probability after it.
        cached_views: random views a track that are kept while nothing but the head learns; 0 computes live.

    Raises:
        ValueError: naming the key whose value cannot be.
        UserError: if the weights cannot be had.
    """

    head_arguments: ClassVar[frozenset[str]] = frozenset({"dense_units", "dropout"})

    def __init__(
        self,
        genres: int,
        size: int,
        weights: str = "IMAGENET1K_FEATURES",
        transform: str = "auto",
        features: str = "flattened",
        blocks: Sequence[int] = (2, 3, 4, 5),
        unfreeze: int = 0,
        unfreeze_lr: float = 1e-5,
        dense_units: int = 128,
        dropout: float = 0.5,
        cached_views: int = 8,
    ) -> None:
        super().__init__()
        check_arguments(size, transform, features, blocks, unfreeze, cached_views)
        self.pooled_blocks = tuple(sorted(blocks)) if features == "pooled" else ()
        self.unfreeze, self.unfreeze_lr, self.cached_views = unfreeze, unfreeze_lr, cached_views
        self.features = make_layers(cfgs["D"], batch_norm=False)
        name = load_weights(self.features, weights)
        self.fingerprint = fingerprint(self.features)
        published = PRETRAINED[name if transform == "auto" else transform]
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(published.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(published.std).view(1, 3, 1, 1), persistent=False)
        self.width = sum(3 * CHANNELS[block - 1] for block in self.pooled_blocks) or CHANNELS[-1] * (size // 32) ** 2
        self.genres, self.rng_state = genres, torch.get_rng_state()
        self.head_values = {"dense_units": dense_units, "dropout": dropout}
        self.head: nn.Module = self.new_head(dense_units, dropout)
        self.features.requires_grad_(False)
        self.unfrozen_layers.requires_grad_(True)

    def new_head(self, dense_units: int, dropout: float) -> nn.Sequential:
        """Normalisation where features are pooled, dense, dropout and logits: (batch, width) -> (batch, genres)."""
        return nn.Sequential(
            nn.BatchNorm1d(self.width, affine=False) if self.pooled_blocks else nn.Identity(),
            nn.Linear(self.width, dense_units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dense_units, self.genres),
        )  # fmt: skip

    def make_head(self, **arguments: Any) -> nn.Sequential:
        """Return the head that this network would have with these ``head_arguments`` under the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.rng_state)
            return self.new_head(**self.head_values | arguments)

    def head_layers(self, head: nn.Module) -> HeadLayers:
        """Return the layers of a head from ``make_head``."""
        assert isinstance(head, nn.Sequential)
        normalization, first, _, dropout, last = head
        assert isinstance(first, nn.Linear) and isinstance(dropout, nn.Dropout) and isinstance(last, nn.Linear)
        return HeadLayers(normalization, first, dropout.p, last)

    @classmethod
    def caches_features(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether a network with these constructor arguments trains its head alone, on cached features."""
        return not arguments.get("unfreeze") and arguments.get("cached_views") != 0

    @property
    def unfrozen_layers(self) -> nn.Sequential:
        """The layers of the blocks that are trained."""
        return self.features[([0, *BLOCKS][-1 - self.unfreeze]) :]

    def train(self, mode: bool = True) -> "VGG16":
        """The convolutions stay in evaluation mode, whatever the head does."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1], or (batch, width) of ``embed`` -> logits (batch, genres)."""
        logits: Tensor = self.head(inputs if inputs.ndim == 2 else self.embed(inputs))
        return logits

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) grey in [0, 1] -> what the head works on, (batch, width)."""
        return self.embed_rgb(picture.expand(-1, 3, -1, -1))

    def embed_rgb(self, picture: Tensor) -> Tensor:
        """(batch, 3, size, size) RGB in [0, 1] -> what the head works on, (batch, width)."""
        maps = self.block_maps(picture, self.pooled_blocks or (5,))
        if not self.pooled_blocks:
            return maps[0].flatten(1)
        return torch.cat([pool_statistics(block.float()) for block in maps], dim=1)

    def block_maps(self, picture: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """What blocks end in: (batch, 3, size, size) RGB in [0, 1] -> (batch, channels, size / 2**block, same) each."""
        values = ((picture - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps = []
        for block, (first, end) in enumerate(zip([0, *BLOCKS], BLOCKS, strict=False), start=1):
            values = self.features[first:end](values)
            if block in blocks:
                maps.append(values)
        return maps

    @property
    def feature_identity(self) -> dict[str, Any] | None:
        """What the features depend on besides the pictures; None where they change in training."""
        if self.unfreeze:
            return None
        transform = [self.mean.flatten().tolist(), self.std.flatten().tolist()]
        return {"vgg16": self.fingerprint, "transform": transform, "blocks": list(self.pooled_blocks)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The head at the optimiser's learning rate, unfrozen blocks at their own."""
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters())}]
        if self.unfreeze:
            groups.append({"params": list(self.unfrozen_layers.parameters()), "lr": self.unfreeze_lr})
        return groups


def check_arguments(
    size: int, transform: str, features: str, blocks: Sequence[int], unfreeze: int, cached_views: int
) -> None:
    """Refuse what cannot be.

    Raises:
        ValueError: naming the key.
    """
    if size < 32:
        raise ValueError(f"spectrogram.size={size} is too small for five poolings; 32 pixels at least")
    if transform not in ("auto", *PRETRAINED):
        raise ValueError(f"model.transform={transform} is not one of auto, {', '.join(PRETRAINED)}")
    if features not in FEATURES:
        raise ValueError(f"model.features={features} is not one of {', '.join(FEATURES)}")
    if not blocks or not set(blocks) <= {1, 2, 3, 4, 5}:
        raise ValueError(f"model.blocks={list(blocks)} must name blocks from 1 to 5")
    if not 0 <= unfreeze <= 5:
        raise ValueError(f"model.unfreeze={unfreeze} must lie between 0 and 5")
    if cached_views < 0:
        raise ValueError(f"model.cached_views={cached_views} must be 0 (live) or more")


def pool_statistics(maps: Tensor) -> Tensor:
    """Mean, maximum and deviation over the picture: (batch, channels, height, width) -> (batch, 3 * channels)."""
    flat = maps.flatten(2)
    return torch.cat([flat.mean(-1), flat.amax(-1), flat.std(-1, correction=0)], dim=1)


def load_weights(features: nn.Sequential, weights: str) -> str:
    """Fill the convolutions, and say whose input transform they need.

    Raises:
        UserError: if the weights are not there, broken, or another network's.
    """
    if weights == "random":
        return "IMAGENET1K_FEATURES"
    state = download_weights(weights) if weights in PRETRAINED else read_weights(Path(weights).expanduser())
    prefix = "features."
    state = {name.removeprefix(prefix): value.float() for name, value in state.items() if name.startswith(prefix)}
    try:
        features.load_state_dict(state)
    except RuntimeError:
        raise UserError(f"model.weights={weights} holds another network than VGG16 (features.0.weight …)") from None
    return weights if weights in PRETRAINED else identify_weights(features, Path(weights).name)


def identify_weights(features: nn.Sequential, file: str) -> str:
    """The published weights that a file holds, by its content or its name."""
    for name, known in PRETRAINED.items():
        if fingerprint(features) == known.fingerprint or file.startswith(known.file):
            return name
    log.warning("%s holds weights of its own; model.transform=auto takes IMAGENET1K_FEATURES' input transform", file)
    return "IMAGENET1K_FEATURES"


def download_weights(name: str) -> dict[str, Tensor]:
    """Torchvision's weights, from its cache or the network.

    Raises:
        UserError: if there is no network.
    """
    try:
        return dict(VGG16_Weights[name].get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"cannot download model.weights={name} ({reason}): set model.weights or GENRE_VGG16 to a .safetensors or "
            ".pth file, or model.weights=random to try without"
        ) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, nothing but tensors.

    Raises:
        UserError: if it is missing, truncated or something else.
    """
    if not path.is_file():
        names = ", ".join(PRETRAINED)
        raise UserError(f"there are no weights at model.weights={path}; give a file, one of {names}, or random")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}
    except (SafetensorError, RuntimeError, EOFError, OSError, AttributeError, IndexError, KeyError, pickle.PickleError):
        raise UserError(f"model.weights={path} is truncated or no weights file; fetch it again") from None


def fingerprint(features: nn.Sequential) -> str:
    """A hash of the convolutions, the same whether they came in float16 or float32."""
    digest = hashlib.sha256()
    for value in features.state_dict().values():
        digest.update(value.half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
