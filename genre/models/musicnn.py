"""musicnn (Pons and Serra 2019), pre-trained on the Million Song Dataset's tags, frozen, under a new head.

The network is that of https://github.com/jordipons/musicnn (ISC licence); its weights come with this package.
"""

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from genre.models.frozen import FrozenBackbone, fingerprint
from genre.ranges import Count, DropoutProbability, Hertz, Seconds, WholeNumber, checked
from genre.transforms.spectrogram import FLOOR_DB, mel_of

BANDS, HIGHEST = 96, 8_000.0  # of musicnn's own spectrogram: mel bands, and their upper edge in Hz
FRAME_RATE = 16_000 / 256  # frames per second
PATCH_SECONDS = 3.0  # of its inputs in its own training
COMPRESSION = 10_000.0  # log10(1 + COMPRESSION * power)
LOUDEST_DB = 20.0  # the power that a picture's 1 stands for; the bands' statistics adjust the rest
TIMBRAL = {38: 23, 67: 14}  # kernels by their height in bands: those of the published 204 each that are not zero
TEMPORAL = {128: 3, 64: 7, 32: 17}  # kernels by their width in frames: of 51 each
TIMBRAL_FRAMES = MIDDLE_FRAMES = 7
MIDDLE = 64
FRONT_CHANNELS = sum(TIMBRAL.values()) + sum(TEMPORAL.values())
AT_ONCE = 4  # pictures on a CPU; the maps of many do not fit its cache
WEIGHTS = "musicnn_msd.safetensors"


class MusiCNN(FrozenBackbone):
    """musicnn, frozen and in evaluation mode, on patches of about 3 s; a head on the means over the patches.

    Of each patch, mean and maximum of the maps over time are taken. musicnn's spectrogram (16 kHz, 62.5 frames per
    second, 96 bands) is approximated from the picture: interpolated over bands, with mean and deviation per band as in
    its own spectrograms of the same music. Frames between the picture's columns are linear in these, which makes the
    kernels narrower. Pictures with a column per frame lose least.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        seconds: what a picture's width covers.
        f_max: upper edge of a picture's highest band, in Hz.
        dense_units: width of the dense layer.
        dropout: probability after the dense layer.
        cached_views: random views per track that are cached; 0: none, the backbone runs in every epoch.
        stride: frames from one output of the first layer to the next, approximately; between them it is linear.
    """

    grad_cam_layer = None  # its maps have time and bands exchanged

    @checked
    def __init__(
        self,
        genres: Count,
        size: Count,
        seconds: Seconds = 10.0,
        f_max: Hertz = 8000.0,
        dense_units: Count = 128,
        dropout: DropoutProbability = 0.5,
        cached_views: WholeNumber = 8,
        stride: Count = 1,
    ) -> None:
        super().__init__()
        self.cached_views = cached_views
        self.patches = min(max(1, round(seconds / PATCH_SECONDS)), size)
        self.bands: Tensor
        self.register_buffer("bands", band_interpolation(size, f_max), persistent=False)
        self.backbone = MusiCNNBackbone(seconds * FRAME_RATE / size, stride)
        self.backbone.load_published(load_file(weights_file()))
        self.backbone.requires_grad_(False)
        self.fingerprint = fingerprint(self.backbone.state_dict().values())
        self.add_head(genres, 2 * (FRONT_CHANNELS + 3 * MIDDLE), True, dense_units, dropout)

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> features (batch, width)."""
        with torch.autocast(picture.device.type, enabled=False):
            log_mel = approximate_log_mel(picture.float(), self.bands)
        columns = log_mel.shape[-1] // self.patches
        patches = log_mel.unfold(2, columns, columns).transpose(1, 2)
        if picture.device.type != "cpu" or torch.compiler.is_exporting():
            return self.pooled(patches)
        return torch.cat([self.pooled(part) for part in patches.split(AT_ONCE)])

    def pooled(self, patches: Tensor) -> Tensor:
        """Mean and maximum of the maps over time, means over the patches: (batch, patches, 96, columns) -> features."""
        maps = self.backbone(patches.flatten(0, 1)).float()
        return torch.cat([maps.mean(-1), maps.amax(-1)], dim=1).unflatten(0, patches.shape[:2]).mean(dim=1)

    @property
    def feature_identity(self) -> dict[str, Any]:
        """What the features depend on besides the pictures."""
        return {"musicnn": self.fingerprint, "bands": fingerprint([self.bands]), "patches": self.patches}


class Resampling(NamedTuple):
    """How a kernel over frames becomes one over columns, between which the frames are linear.

    Args:
        shares: (places, frames, columns) of the columns in each frame around a place.
        padding: columns that the kernel needs before the first and behind the last.
    """

    shares: Tensor
    padding: tuple[int, int]

    @property
    def columns(self) -> int:
        """Width of the kernel over columns."""
        return self.shares.shape[-1]

    def kernels(self, kernels: Tensor) -> Tensor:
        """(channels, ..., frames) -> (channels * places, ..., columns)."""
        return torch.einsum("n...f,pfc->np...c", kernels, self.shares).flatten(0, 1)


def resampling(frames: int, frames_per_column: float, places: int) -> Resampling:
    """The resampling of kernels of so many frames for places that are evenly spaced in each column."""
    offsets = (torch.arange(frames) - (frames - 1) // 2) / frames_per_column
    centres = (torch.arange(places) + 0.5) / places - 0.5
    position = centres[:, None] + offsets
    first, last = math.floor(position.min()), math.ceil(position.max())
    shares = (1 - (position[..., None] - torch.arange(first, last + 1)).abs()).clamp_min(0)
    return Resampling(shares, (-first, last))


class MusiCNNBackbone(nn.Module):
    """musicnn up to its pooling: log-mel (batch, 96, columns) -> maps (batch, 256, columns * frames).

    Nine in ten of the published first layer's kernels are zero: what they give is the same whatever is heard. They are
    left out, with their maps, and the sum that the next layer makes of these is the weight of one further input, of
    ones.

    Args:
        frames_per_column: musicnn's frames from one column to the next; 1 is the published network.
        stride: as of ``MusiCNN``; each column has one place or more.
    """

    def __init__(self, frames_per_column: float = 1.0, stride: int = 1) -> None:
        super().__init__()
        self.frames = max(1, int(frames_per_column))  # of a column
        self.places = places = max(1, round(frames_per_column / stride))  # of a column, in the first layer
        self.scale, self.shift = (nn.Parameter(torch.zeros(BANDS, 1)) for _ in range(2))  # to musicnn's range
        self.input_norm = nn.BatchNorm2d(1, eps=1e-3)
        shapes = [(n, bands, TIMBRAL_FRAMES) for bands, n in TIMBRAL.items()]
        shapes += [(n, 1, frames) for frames, n in TEMPORAL.items()]
        self.front_kernels = [resampling(frames, frames_per_column, places) for _, _, frames in shapes]
        self.front = nn.ModuleList(
            nn.Conv2d(1, n * places, (bands, kernel.columns))
            for (n, bands, _), kernel in zip(shapes, self.front_kernels, strict=True)
        )
        self.front_norms = nn.ModuleList(nn.BatchNorm1d(n, eps=1e-3) for n, _, _ in shapes)
        self.middle_kernels = resampling(MIDDLE_FRAMES, frames_per_column / self.frames, 1)
        inputs = (FRONT_CHANNELS + 1, MIDDLE, MIDDLE)
        self.middle = nn.ModuleList(nn.Conv1d(n, MIDDLE, self.middle_kernels.columns) for n in inputs)
        self.middle_norms = nn.ModuleList(nn.BatchNorm1d(MIDDLE, eps=1e-3) for _ in range(3))

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take the published weights, whose kernels are over frames."""
        own = dict(weights)
        for number, kernel in enumerate(self.front_kernels):
            own[f"front.{number}.weight"] = kernel.kernels(weights[f"front.{number}.weight"])
            own[f"front.{number}.bias"] = weights[f"front.{number}.bias"].repeat_interleave(self.places)
        for number in range(len(self.middle)):
            own[f"middle.{number}.weight"] = self.middle_kernels.kernels(weights[f"middle.{number}.weight"])
        self.load_state_dict(own)

    def forward(self, log_mel: Tensor) -> Tensor:
        """(batch, 96, columns) -> maps (batch, 256, columns * frames)."""
        values = self.input_norm((log_mel * self.scale + self.shift)[:, None])
        layers = zip(self.front, self.front_norms, self.front_kernels, strict=True)
        front = torch.cat([self.peaks(values, *layer) for layer in layers], dim=1)
        front = F.interpolate(front, log_mel.shape[-1] * self.frames, mode="linear", align_corners=False)
        maps, latest, inputs = [front], torch.zeros(()), torch.cat([front, torch.ones_like(front[:, :1])], dim=1)
        for convolution, norm in zip(self.middle, self.middle_norms, strict=True):
            outputs = convolution(F.pad(inputs, self.middle_kernels.padding))
            latest = norm(F.relu(outputs).float()) + latest
            maps.append(latest)
            inputs = latest
        return torch.cat(maps, dim=1)

    def peaks(self, values: Tensor, convolution: nn.Module, norm: nn.Module, kernels: Resampling) -> Tensor:
        """Convolution, ReLU, normalisation, maximum over the bands, at every place.

        (batch, 1, 96, columns) -> (batch, channels, columns * places)

        The maximum is taken before the normalisation, which has fewer values to work on then; a negative factor of the
        normalisation turns it into the minimum.
        """
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm1d)
        assert convolution.bias is not None
        sign = norm.weight.sign()
        signs = sign.repeat_interleave(self.places)
        sums = largest_sums(F.pad(values, kernels.padding), convolution.weight * signs.view(-1, 1, 1, 1))
        highest = (sums + (convolution.bias * signs)[:, None]).unflatten(1, (-1, self.places))
        in_order = highest.transpose(2, 3).flatten(2)
        normalized: Tensor = norm(F.relu(in_order.float() * sign[:, None]))
        return normalized


def largest_sums(values: Tensor, kernels: Tensor) -> Tensor:
    """Convolution and maximum over the bands: (batch, 1, bands, columns) -> (batch, channels, columns - width + 1).

    Args:
        kernels: (channels, 1, height, width).
    """
    if kernels.shape[2] > 1:
        return F.conv2d(values, kernels).amax(dim=2)
    spans = values[:, 0].unfold(-1, kernels.shape[3], 1)  # for one band, a product takes half of a convolution's time
    sums = spans.flatten(0, 2) @ kernels[:, 0, 0].T
    return sums.unflatten(0, spans.shape[:3]).amax(dim=1).transpose(1, 2)


def approximate_log_mel(pictures: Tensor, bands: Tensor) -> Tensor:
    """Pictures (batch, 1, size, size) in [0, 1] -> musicnn's log-mel, (batch, 96, size), without its bands' scales.

    Args:
        bands: ``band_interpolation`` of the pictures.
    """
    level = bands @ (1 - pictures[:, 0]) * FLOOR_DB + LOUDEST_DB
    return torch.log10(1 + COMPRESSION * 10 ** (level / 10))


def band_interpolation(size: int, f_max: float) -> Tensor:
    """Weights of a picture's rows in musicnn's bands, (96, size); both are evenly spaced on the mel scale.

    Args:
        f_max: upper edge of the picture's highest band, in Hz.
    """
    centres = mel_of(HIGHEST) * torch.arange(1, BANDS + 1) / (BANDS + 1)
    rows = (centres / mel_of(f_max) * (size + 1) - 1).clamp(0, size - 1)
    return (1 - (rows[:, None] - torch.arange(size)).abs()).clamp_min(0)


def weights_file() -> Path:
    """The file of the published weights, converted by benchmarks/convert_musicnn.py."""
    return Path(str(resources.files("genre.pretrained").joinpath(WEIGHTS)))
