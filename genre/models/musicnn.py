"""musicnn (Pons and Serra 2019), pre-trained on the Million Song Dataset's tags, frozen, under a new head.

The network is that of https://github.com/jordipons/musicnn (ISC licence); its weights come with this package.
"""

from importlib import resources
from pathlib import Path
from typing import Any

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
TIMBRAL_FRAMES = 7
MIDDLE = 64
FRONT_CHANNELS = sum(TIMBRAL.values()) + sum(TEMPORAL.values())
AT_ONCE = 4  # pictures on a CPU; the maps of many do not fit its cache
WEIGHTS = "musicnn_msd.safetensors"


class MusiCNN(FrozenBackbone):
    """musicnn, frozen and in evaluation mode, on patches of about 3 s; a head on the means over the patches.

    Of each patch, mean and maximum of the maps over time are taken. musicnn's spectrogram (16 kHz, 62.5 frames per
    second, 96 bands) is approximated from the picture: interpolated over bands and time, with mean and deviation per
    band as in its own spectrograms of the same music. Pictures with a column per frame lose least.

    Args:
        genres: number of logits.
        size: height and width of the pictures, in pixels.
        seconds: what a picture's width covers.
        f_max: upper edge of a picture's highest band, in Hz.
        dense_units: width of the dense layer.
        dropout: probability after the dense layer.
        cached_views: random views per track that are cached; 0: none, the backbone runs in every epoch.
        stride: frames from one output of the first layer to the next, linear between them; 1 is the published network.
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
        self.cached_views, self.frames = cached_views, round(seconds * FRAME_RATE)
        self.patches = max(1, round(seconds / PATCH_SECONDS))
        self.bands: Tensor
        self.register_buffer("bands", band_interpolation(size, f_max), persistent=False)
        self.backbone = MusiCNNBackbone(stride)
        self.backbone.load_state_dict(load_file(weights_file()))
        self.backbone.requires_grad_(False)
        self.fingerprint = fingerprint(self.backbone.state_dict().values())
        self.add_head(genres, 2 * (FRONT_CHANNELS + 3 * MIDDLE), True, dense_units, dropout)

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> features (batch, width)."""
        with torch.autocast(picture.device.type, enabled=False):
            log_mel = approximate_log_mel(picture.float(), self.bands, self.frames)
        patches = log_mel.unfold(2, self.frames // self.patches, self.frames // self.patches).transpose(1, 2)
        if picture.device.type != "cpu" or torch.compiler.is_exporting():
            return self.pooled(patches)
        return torch.cat([self.pooled(part) for part in patches.split(AT_ONCE)])

    def pooled(self, patches: Tensor) -> Tensor:
        """Mean and maximum of the maps over time, means over the patches: (batch, patches, 96, frames) -> features."""
        maps = self.backbone(patches.flatten(0, 1)).float()
        return torch.cat([maps.mean(-1), maps.amax(-1)], dim=1).unflatten(0, patches.shape[:2]).mean(dim=1)

    @property
    def feature_identity(self) -> dict[str, Any]:
        """What the features depend on besides the pictures."""
        identity = {"musicnn": self.fingerprint, "frames": self.frames, "patches": self.patches}
        return identity | {"bands": fingerprint([self.bands]), "stride": self.backbone.stride}


class MusiCNNBackbone(nn.Module):
    """musicnn up to its pooling: log-mel (batch, 96, frames) -> maps (batch, 256, frames).

    Nine in ten of the published first layer's kernels are zero: what they give is the same whatever is heard. They are
    left out, with their maps, and the sum that the next layer makes of these is the weight of one further input, of
    ones.

    Args:
        stride: as of ``MusiCNN``.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.scale, self.shift = (nn.Parameter(torch.zeros(BANDS, 1)) for _ in range(2))  # to musicnn's range
        self.input_norm = nn.BatchNorm2d(1, eps=1e-3)
        timbral = [nn.Conv2d(1, n, (bands, TIMBRAL_FRAMES)) for bands, n in TIMBRAL.items()]
        temporal = [nn.Conv2d(1, n, (1, frames)) for frames, n in TEMPORAL.items()]
        self.front = nn.ModuleList([*timbral, *temporal])
        channels = [*TIMBRAL.values(), *TEMPORAL.values()]
        self.front_norms = nn.ModuleList(nn.BatchNorm1d(n, eps=1e-3) for n in channels)
        inputs = (FRONT_CHANNELS + 1, MIDDLE, MIDDLE)
        self.middle = nn.ModuleList(nn.Conv1d(n, MIDDLE, 7, padding=3) for n in inputs)
        self.middle_norms = nn.ModuleList(nn.BatchNorm1d(MIDDLE, eps=1e-3) for _ in range(3))

    def forward(self, log_mel: Tensor) -> Tensor:
        """(batch, 96, frames) -> maps (batch, 256, frames)."""
        values = self.input_norm((log_mel * self.scale + self.shift)[:, None])
        layers = zip(self.front, self.front_norms, strict=True)
        peaks = torch.cat([self.peaks(convolution, norm, values) for convolution, norm in layers], dim=1)
        front = filled_in(peaks, self.stride)[..., : log_mel.shape[-1]]
        maps, latest, inputs = [front], torch.zeros(()), torch.cat([front, torch.ones_like(front[:, :1])], dim=1)
        for convolution, norm in zip(self.middle, self.middle_norms, strict=True):
            latest = norm(F.relu(convolution(inputs)).float()) + latest
            maps.append(latest)
            inputs = latest
        return torch.cat(maps, dim=1)

    def peaks(self, convolution: nn.Module, norm: nn.Module, values: Tensor) -> Tensor:
        """Convolution, ReLU, normalisation, maximum over the bands, at every ``stride``-th frame.

        (batch, 1, 96, frames) -> (batch, channels, frames / stride)

        The maximum is taken before the normalisation, which has fewer values to work on then; a negative factor of the
        normalisation turns it into the minimum.
        """
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm1d)
        assert convolution.bias is not None
        frames = convolution.kernel_size[1]
        values = F.pad(values, ((frames - 1) // 2, frames // 2))
        sign = norm.weight.sign()
        weight = convolution.weight * sign.view(-1, 1, 1, 1)
        highest = F.conv2d(values, weight, convolution.bias * sign, (1, self.stride)).amax(dim=2)
        normalized: Tensor = norm(F.relu(highest.float() * sign[:, None]))
        return normalized


def filled_in(maps: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th frame -> all frames, linear between them: (…, n) -> (…, n * stride)."""
    following = torch.cat([maps[..., 1:], maps[..., -1:]], dim=-1)
    shares = torch.arange(stride, device=maps.device) / stride
    return (maps[..., None] + (following - maps)[..., None] * shares).flatten(-2)


def approximate_log_mel(pictures: Tensor, bands: Tensor, frames: int) -> Tensor:
    """Pictures (batch, 1, size, size) in [0, 1] -> musicnn's log-mel, (batch, 96, frames), without its bands' scales.

    Args:
        bands: ``band_interpolation`` of the pictures.
        frames: number of frames that the pictures' width covers.
    """
    level = bands @ (1 - pictures[:, 0]) * FLOOR_DB + LOUDEST_DB
    level = F.interpolate(level, frames, mode="linear", align_corners=False)
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
