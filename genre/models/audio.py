"""Any published network that hears waveforms, frozen or fine-tuned, under a new head."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from genre.errors import UserError
from genre.models.fine_tuning import fine_tune
from genre.models.frozen import FrozenBackbone, fingerprint
from genre.models.onnx_audio import build_onnx, open_onnx
from genre.models.published import AudioNetwork
from genre.models.torchaudio_bundles import BUNDLE_PREFIX, BundleNetwork
from genre.models.transformers_audio import build_transformers, open_transformers
from genre.paths import ONNX_SUFFIX, expanded
from genre.ranges import Count, DropoutProbability, Positive, SampleRate, Seconds, WholeNumber, checked

CLIPS_AT_ONCE = {"cpu": 2, "cuda": 16}  # more do not fit a processor's cache


class AudioBackbone(FrozenBackbone):
    """A published network that hears waveforms, in evaluation mode, under a head on its features' mean over time.

    Args:
        genres: number of logits.
        name: a folder that transformers' ``save_pretrained`` wrote, a name on the Hugging Face hub, one of torchaudio's
            bundles ('torchaudio/HUBERT_BASE'), or an ONNX file.
        sample_rate: of the waveforms, in Hz.
        seconds: length of the clips.
        layers: whose features the head gets: 'last'; 'mean' of all; 'weighted', a mean whose weights it learns; or a
            number, 0 being what enters the first layer of a network of transformers.
        normalize: whether each feature is normalised over the batch.
        unfreeze: number of blocks, counted from the last, that are trained with the head.
        lora: rank of changes of attention's weights that are trained with the head; 0: none.
        unfreeze_lr: learning rate of these blocks and changes.
        dense_units: width of the dense layer; 0: none.
        dropout: probability after the dense layer.
        cached_views: random views per track that are cached while only the head is trained; 0: none, the network runs
            in every epoch.
        architecture: of a checkpoint, instead of ``name``: the network is built with random weights.

    Raises:
        ValueError: if a value is out of range, or does not go with the network; the message names the key.
        UserError: if the network cannot be opened.
    """

    grad_cam_layer = None  # it has no picture

    @checked
    def __init__(
        self,
        genres: Count,
        name: str,
        sample_rate: SampleRate,
        seconds: Seconds,
        layers: Literal["last", "mean", "weighted"] | WholeNumber = "last",
        normalize: bool = True,
        unfreeze: WholeNumber = 0,
        lora: WholeNumber = 0,
        unfreeze_lr: Positive = 1e-5,
        dense_units: WholeNumber = 128,
        dropout: DropoutProbability = 0.5,
        cached_views: WholeNumber = 8,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.chosen_layers, self.cached_views, self.unfreeze_lr = layers, cached_views, unfreeze_lr
        samples = round(sample_rate * seconds)
        built = build_audio(architecture, samples) if architecture else open_by_name(name, sample_rate, samples)
        self.backbone = built.eval().requires_grad_(False)
        self.architecture = self.backbone.architecture
        check_clips(name, self.backbone, sample_rate, seconds)
        check_layers(name, layers, self.backbone.widths)
        self.fingerprint = fingerprint(self.backbone.state_dict().values())
        self.learns = bool(unfreeze or lora)
        blocks = [list(block.parameters()) for block in self.backbone.blocks]
        fine_tune(self.backbone, blocks, unfreeze, lora)
        count = len(self.backbone.widths) if layers == "weighted" else 1
        width = count * self.backbone.widths[layers if isinstance(layers, int) else -1]
        self.add_head(genres, width, normalize, dense_units, dropout, count)

    def embed(self, picture: Tensor) -> Tensor:
        """Waveforms (batch, 1, samples) in [-1, 1] -> features (batch, width)."""
        clips = picture[:, 0]
        if torch.is_grad_enabled() or torch.compiler.is_exporting():
            return self.features_of(clips)
        at_once = CLIPS_AT_ONCE.get(clips.device.type, CLIPS_AT_ONCE["cuda"])
        return torch.cat([self.features_of(part) for part in clips.split(at_once)])

    def features_of(self, clips: Tensor) -> Tensor:
        """(batch, samples) -> the features of the chosen layers, (batch, width)."""
        layers = self.backbone(clips)
        if isinstance(self.chosen_layers, int):
            return layers[self.chosen_layers]
        if self.chosen_layers == "last":
            return layers[-1]
        return torch.stack(layers).mean(dim=0) if self.chosen_layers == "mean" else torch.cat(layers, dim=1)

    @property
    def feature_identity(self) -> dict[str, Any] | None:
        """What the features depend on besides the waveforms; None where they change in training."""
        if self.learns:
            return None
        return {"audio": self.fingerprint, "architecture": self.architecture, "layers": self.chosen_layers}


def open_by_name(name: str, sample_rate: int, samples: int) -> AudioNetwork:
    """Open a published network by its name; see ``AudioBackbone``.

    Args:
        sample_rate: of an ONNX file's waveforms.
        samples: of the clips that it will hear.

    Raises:
        UserError: if it cannot be opened.
    """
    if name.endswith(ONNX_SUFFIX):
        return open_onnx(expanded(name), sample_rate, samples)
    if name.startswith(BUNDLE_PREFIX):
        return BundleNetwork(name.removeprefix(BUNDLE_PREFIX), published=True)
    return open_transformers(name)


def build_audio(architecture: Mapping[str, Any], samples: int) -> AudioNetwork:
    """Build the network of a checkpoint, whose weights are loaded afterwards."""
    if architecture["kind"] == "onnx":
        return build_onnx(dict(architecture), samples)
    if architecture["kind"] == "torchaudio":
        return BundleNetwork(str(architecture["bundle"]), published=False)
    return build_transformers(architecture)


def check_clips(name: str, network: AudioNetwork, sample_rate: int, seconds: float) -> None:
    """Refuse clips that a network does not hear.

    Raises:
        UserError: naming the key and the network's own value.
    """
    if network.sample_rate != sample_rate:
        raise UserError(
            f"spectrogram.sample_rate={sample_rate} is not what {name} hears; set "
            f"spectrogram.sample_rate={network.sample_rate}"
        )
    if seconds > network.seconds:
        raise UserError(
            f"view.seconds={seconds:g} is longer than the {network.seconds:g} s that {name} hears at once; set "
            f"view=segments view.seconds={int(network.seconds)}"
        )


def check_layers(name: str, layers: str | int, widths: Sequence[int]) -> None:
    """Refuse a choice of layers that a network does not have.

    Raises:
        ValueError: naming the key.
    """
    if isinstance(layers, int) and layers >= len(widths):
        raise ValueError(f"model.layers={layers} exceeds {len(widths) - 1}, the last of {name}")
    if layers in ("mean", "weighted") and len(widths) == 1:
        raise ValueError(f"model.layers={layers} needs the features of several layers, {name} gives one; use last")
