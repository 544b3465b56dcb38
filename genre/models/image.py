"""Any network of timm for photographs, on the picture, frozen or fine-tuned, under a new head."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from genre.errors import UserError
from genre.extras import import_extra
from genre.models.fine_tuning import fine_tune
from genre.models.frozen import FrozenBackbone, fingerprint
from genre.models.published import hub_failure
from genre.paths import expanded
from genre.ranges import Count, DropoutProbability, PictureSize, Positive, WholeNumber, checked

FILE_NAME = "model.safetensors"  # of timm's networks on the hub


class ImageBackbone(FrozenBackbone):
    """A network of timm, in evaluation mode, under a head on its pooled features; grey pictures as RGB.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        name: of a network of timm with its weights: 'resnet50.a1_in1k'.
        weights: a .safetensors file of such a network; None downloads it from the Hugging Face hub.
        normalize: whether each feature is normalised over the batch.
        unfreeze: number of blocks, counted from the last, that are trained with the head.
        lora: rank of changes of attention's weights that are trained with the head; 0: none.
        unfreeze_lr: learning rate of these blocks and changes.
        dense_units: width of the dense layer; 0: none.
        dropout: probability after the dense layer.
        cached_views: random views per track that are cached while only the head is trained; 0: none, the network runs
            in every epoch.
        architecture: of a checkpoint, instead of the weights: the network is built with random ones.

    Raises:
        ValueError: if a value is out of range, or does not go with the network; the message names the key.
        UserError: if the network cannot be opened.
    """

    @checked
    def __init__(
        self,
        genres: Count,
        size: PictureSize,
        name: str,
        weights: str | None = None,
        normalize: bool = True,
        unfreeze: WholeNumber = 0,
        lora: WholeNumber = 0,
        unfreeze_lr: Positive = 1e-5,
        dense_units: WholeNumber = 128,
        dropout: DropoutProbability = 0.5,
        cached_views: WholeNumber = 8,
        architecture: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.unfreeze_lr, self.cached_views = unfreeze_lr, cached_views
        self.backbone = open_timm(name, size, weights, published=architecture is None).eval().requires_grad_(False)
        self.architecture = architecture or {"kind": "timm"}
        about: Any = self.backbone.pretrained_cfg
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(about["mean"]).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(about["std"]).view(1, -1, 1, 1), persistent=False)
        self.fingerprint = fingerprint(self.backbone.state_dict().values())
        self.learns = bool(unfreeze or lora)
        fine_tune(self.backbone, blocks_of(self.backbone), unfreeze, lora)
        with torch.no_grad():
            width = self.embed(torch.zeros(1, 1, size, size)).shape[1]
        self.add_head(genres, width, normalize, dense_units, dropout)

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) grey in [0, 1] -> features (batch, width)."""
        features: Tensor = self.backbone((picture.expand(-1, len(self.mean[0]), -1, -1) - self.mean) / self.std)
        return features.float()

    @property
    def feature_identity(self) -> dict[str, Any] | None:
        """What the features depend on besides the pictures; None where they change in training."""
        transform = [self.mean.flatten().tolist(), self.std.flatten().tolist()]
        return None if self.learns else {"image": self.fingerprint, "transform": transform}


def open_timm(name: str, size: int, weights: str | None, published: bool) -> nn.Module:
    """Open a network of timm without its classifier.

    Args:
        size: of the pictures.
        weights: a file; None downloads them.
        published: False for random weights.

    Raises:
        UserError: if there is no such network, or its weights cannot be had or do not fit.
    """
    timm = import_extra("timm", "hub", "networks by name")
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"{name[:6]}*")[:5] or ["resnet50", "convnext_tiny"])
        raise UserError(f"model.name={name} is no network of timm, which knows {near}, …")
    arguments: dict[str, Any] = {"num_classes": 0}
    if timm.get_pretrained_cfg(name) and timm.get_pretrained_cfg(name).fixed_input_size:
        arguments["img_size"] = size
    file = timm_file(name, timm, weights) if published else None
    if file:
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}
    try:
        network: nn.Module = timm.create_model(name, **arguments)
        missing = missing_weights(network, file) if file else []
    except (RuntimeError, SafetensorError, OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"model.name={name} cannot be built with spectrogram.size={size} ({reason[:200]})") from error
    if missing:  # timm leaves them random
        raise UserError(f"{file} lacks weights of model.name={name} ({missing[0]}, …); give its own file")
    return network


def missing_weights(network: nn.Module, file: Path) -> list[str]:
    """The names of a network's weights that a file lacks."""
    with safe_open(file, "pt") as content:
        known = set(content.keys())
    return sorted(name for name in network.state_dict().keys() - known if not name.endswith("num_batches_tracked"))


def timm_file(name: str, timm: Any, weights: str | None) -> Path:
    """The file with the weights of a network of timm, from the disk or the hub.

    Raises:
        UserError: if it is missing or no .safetensors file, or cannot be downloaded.
    """
    if weights is not None:
        path = expanded(weights)
        if not path.is_file() or path.suffix != ".safetensors":
            raise UserError(f"model.weights={weights} is no .safetensors file of {name}")
        return path
    from huggingface_hub import hf_hub_download

    repository = timm.get_pretrained_cfg(name).hf_hub_id if timm.get_pretrained_cfg(name) else None
    if not repository:
        raise UserError(f"model.name={name} has no published weights; set model.weights to a .safetensors file")
    try:
        return Path(hf_hub_download(repository, FILE_NAME))
    except (OSError, ValueError) as error:  # the hub's errors are both
        remedy = f"set model.weights to the {FILE_NAME} in FOLDER"
        raise hub_failure("model.name", repository, error, remedy) from error


def blocks_of(network: Any) -> list[list[nn.Parameter]]:
    """The parameters of each of a network's blocks, from the first to the last, as timm groups them."""
    timm = import_extra("timm", "hub", "networks by name")
    named = dict(network.named_parameters())
    groups = timm.models.group_parameters(network, network.group_matcher(coarse=True))
    return [[named[name] for name in groups[number]] for number in sorted(groups)]
