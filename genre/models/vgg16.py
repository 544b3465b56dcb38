"""VGG16 (Simonyan & Zisserman 2015) pre-trained on photographs, frozen, with a new head, as in the paper."""

import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.error import URLError

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, Unit
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from genre.errors import UserError
from genre.models.frozen import FrozenBackbone, fingerprint
from genre.ranges import Count, DropoutProbability, Positive, WholeNumber, checked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """Published weights and the input transform that they need.

    Args:
        mean: per channel, subtracted from RGB in [0, 1].
        std: per channel, divides the difference.
        file: first part of the published file's name.
        fingerprint: ``fingerprint`` of the convolutions; empty if unknown.
        licence: as stated by the publisher.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    file: str
    fingerprint: str
    licence: str


PRETRAINED = {
    "IMAGENET1K_FEATURES": Pretrained(  # the original Caffe weights, the same as in Keras
        (0.48235, 0.45882, 0.40784),
        (1 / 255, 1 / 255, 1 / 255),
        "vgg16_features-amdegroot",
        "bf3033a8a4c48651",
        "CC BY 4.0 (Visual Geometry Group, University of Oxford)",
    ),
    "IMAGENET1K_V1": Pretrained(  # retrained by torchvision
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "vgg16-397923af", "", "BSD 3-Clause (torchvision)"
    ),
}
BLOCKS = (5, 10, 17, 24, 31)  # index after each block's last layer, its pooling
CHANNELS = (64, 128, 256, 512, 512)


class VGG16(FrozenBackbone):
    """VGG16's convolutions, frozen and in evaluation mode; a dense layer, dropout and logits.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        weights: a torchvision name (downloaded), a .safetensors or .pth file with ``features.*``, or 'random'.
        transform: name of the weights whose input transform applies; 'auto' identifies published weights and uses
            IMAGENET1K_FEATURES for others.
        features: 'flattened': output of the last pooling (the paper); 'pooled': mean, maximum and standard deviation
            over the picture of every channel of ``blocks``.
        blocks: blocks that are pooled, 1 to 5.
        enlarge: factor by which pictures are enlarged first, so that the convolutions see finer details.
        unfreeze: number of blocks, counted from the last, that are trained with the head.
        unfreeze_lr: learning rate of those blocks.
        dense_units: width of the dense layer.
        dropout: probability after the dense layer.
        cached_views: random views per track that are cached while only the head is trained; 0: none, the convolutions
            run in every epoch.

    Raises:
        ValueError: if a value is out of range; the message names the key.
        UserError: if the weights cannot be loaded.
    """

    @checked
    def __init__(
        self,
        genres: Count,
        size: Annotated[int, Ge(32), Unit("pixels")],  # five poolings halve it to 1
        weights: str = "IMAGENET1K_FEATURES",
        transform: Literal["auto", "IMAGENET1K_FEATURES", "IMAGENET1K_V1"] = "auto",
        features: Literal["flattened", "pooled"] = "flattened",
        blocks: Sequence[Annotated[int, Ge(1), Le(5)]] = (2, 3, 4, 5),
        enlarge: Annotated[int, Ge(1), Le(4)] = 1,
        unfreeze: Annotated[int, Ge(0), Le(5)] = 0,
        unfreeze_lr: Positive = 1e-5,
        dense_units: Count = 128,
        dropout: DropoutProbability = 0.5,
        cached_views: WholeNumber = 8,
    ) -> None:
        super().__init__()
        if not blocks:
            raise ValueError("model.blocks=[] must name at least one block from 1 to 5")
        self.pooled_blocks = tuple(sorted(blocks)) if features == "pooled" else ()
        self.unfreeze, self.unfreeze_lr, self.cached_views = unfreeze, unfreeze_lr, cached_views
        self.enlarge = enlarge
        self.features = make_layers(cfgs["D"], batch_norm=False)
        name = load_weights(self.features, weights)
        self.fingerprint = fingerprint(self.features.state_dict().values())
        published = PRETRAINED[name if transform == "auto" else transform]
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(published.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(published.std).view(1, 3, 1, 1), persistent=False)
        width = (
            sum(3 * CHANNELS[block - 1] for block in self.pooled_blocks) or CHANNELS[-1] * (enlarge * size // 32) ** 2
        )
        self.add_head(genres, width, bool(self.pooled_blocks), dense_units, dropout)
        self.features.requires_grad_(False)
        self.unfrozen_layers.requires_grad_(True)

    @property
    def unfrozen_layers(self) -> nn.Sequential:
        """The layers of the blocks that are trained."""
        return self.features[([0, *BLOCKS][-1 - self.unfreeze]) :]

    @property
    def grad_cam_layer(self) -> nn.Conv2d:
        """The last convolution that the head's features depend on."""
        used = self.features[: BLOCKS[max(self.pooled_blocks, default=5) - 1]]
        return [layer for layer in used if isinstance(layer, nn.Conv2d)][-1]

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) grey in [0, 1] -> features (batch, width)."""
        return self.embed_rgb(picture.expand(-1, 3, -1, -1))

    def embed_rgb(self, picture: Tensor) -> Tensor:
        """(batch, 3, size, size) RGB in [0, 1] -> features (batch, width)."""
        maps = self.block_maps(picture, self.pooled_blocks or (5,))
        if not self.pooled_blocks:
            return maps[0].flatten(1)
        return torch.cat([pool_statistics(block.float()) for block in maps], dim=1)

    def block_maps(self, picture: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """(batch, 3, size, size) RGB in [0, 1] -> each block's output, (batch, channels, side / 2**block, same).

        ``side`` is ``enlarge * size``.
        """
        if self.enlarge > 1:
            picture = F.interpolate(picture, scale_factor=self.enlarge, mode="bilinear")
        values = ((picture - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps, ends = [], BLOCKS[: max(blocks)]
        for block, (first, end) in enumerate(zip([0, *ends], ends, strict=False), start=1):
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
        identity = {"vgg16": self.fingerprint, "transform": transform, "blocks": list(self.pooled_blocks)}
        return identity | ({"enlarge": self.enlarge} if self.enlarge > 1 else {})


def pool_statistics(maps: Tensor) -> Tensor:
    """Mean, maximum and standard deviation per channel: (batch, channels, height, width) -> (batch, 3 * channels)."""
    flat = maps.flatten(2)
    return torch.cat([flat.mean(-1), flat.amax(-1), flat.std(-1, correction=0)], dim=1)


def load_weights(features: nn.Sequential, weights: str) -> str:
    """Load weights into the convolutions; return the name in PRETRAINED whose input transform they need.

    Raises:
        UserError: if the weights are missing, damaged or another network's.
    """
    if weights == "random":
        return "IMAGENET1K_FEATURES"
    state = download_weights(weights) if weights in PRETRAINED else read_weights(Path(weights).expanduser())
    prefix = "features."
    state = {name.removeprefix(prefix): value.float() for name, value in state.items() if name.startswith(prefix)}
    try:
        features.load_state_dict(state)
    except RuntimeError:
        raise UserError(f"model.weights={weights} does not hold VGG16's convolutions (features.0.weight …)") from None
    return weights if weights in PRETRAINED else identify_weights(features, Path(weights).name)


def identify_weights(features: nn.Sequential, file: str) -> str:
    """Return the name of the published weights in a file, identified by content or file name."""
    for name, known in PRETRAINED.items():
        if fingerprint(features.state_dict().values()) == known.fingerprint or file.startswith(known.file):
            return name
    log.warning("%s holds unknown weights; model.transform=auto uses IMAGENET1K_FEATURES' input transform", file)
    return "IMAGENET1K_FEATURES"


def download_weights(name: str) -> dict[str, Tensor]:
    """Return torchvision's weights, from its cache or downloaded.

    Raises:
        UserError: if the download fails.
    """
    weights = VGG16_Weights[name]
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"cannot download model.weights={name} ({reason}): fetch them elsewhere (curl -LO {weights.url}, "
            f"{weights.meta['_file_size']:.0f} MB) and set model.weights or GENRE_VGG16 to the file, or "
            "model.weights=random for untrained convolutions"
        ) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file.

    Raises:
        UserError: if the file is missing, truncated or not a weights file.
    """
    if not path.is_file():
        names = ", ".join(PRETRAINED)
        raise UserError(f"model.weights={path} does not exist; give a file, one of {names}, or random")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}
    except (SafetensorError, RuntimeError, EOFError, OSError, AttributeError, IndexError, KeyError, pickle.PickleError):
        raise UserError(f"model.weights={path} is truncated or not a weights file; download it again") from None
