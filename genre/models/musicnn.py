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
TIMBRAL, TIMBRAL_BANDS, TIMBRAL_FRAMES = 204, (38, 67), 7
TEMPORAL, TEMPORAL_FRAMES, TAPS = 51, (128, 64, 32), 16
MIDDLE = 64
FRONT_CHANNELS = 2 * TIMBRAL + 3 * TEMPORAL
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
        self.backbone.load_state_dict({name: value.float() for name, value in load_file(weights_file()).items()})
        self.backbone.requires_grad_(False)
        self.fingerprint = fingerprint(self.backbone.state_dict().values())
        self.add_head(genres, 2 * (FRONT_CHANNELS + 3 * MIDDLE), True, dense_units, dropout)

    def embed(self, picture: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1] -> features (batch, width)."""
        with torch.autocast(picture.device.type, enabled=False):
            log_mel = approximate_log_mel(picture.float(), self.bands, self.frames)
        patches = log_mel.unfold(1, self.frames // self.patches, self.frames // self.patches).transpose(2, 3)
        if picture.device.type != "cpu" or torch.compiler.is_exporting():
            return self.pooled(patches)
        return torch.cat([self.pooled(part) for part in patches.split(1)])  # more do not fit the processor's cache

    def pooled(self, patches: Tensor) -> Tensor:
        """Mean and maximum of the maps over time, means over the patches: (batch, patches, frames, 96) -> features."""
        maps = self.backbone(patches.flatten(0, 1)).float()
        return torch.cat([maps.mean(-1), maps.amax(-1)], dim=1).unflatten(0, patches.shape[:2]).mean(dim=1)

    @property
    def feature_identity(self) -> dict[str, Any]:
        """What the features depend on besides the pictures."""
        identity = {"musicnn": self.fingerprint, "frames": self.frames, "patches": self.patches}
        return identity | {"bands": fingerprint([self.bands]), "stride": self.backbone.stride}


class MusiCNNBackbone(nn.Module):
    """musicnn up to its pooling: log-mel (batch, frames, 96) -> maps (batch, 753, frames).

    Convolutions over many bands or frames have some of these as input channels, which is the same sum and, with more
    than one input channel, several times as fast.

    Args:
        stride: as of ``MusiCNN``.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.scale, self.shift = (nn.Parameter(torch.zeros(BANDS)) for _ in range(2))  # per band, to musicnn's range
        self.input_norm = nn.BatchNorm1d(1, eps=1e-3)
        self.timbral = nn.ModuleList(
            nn.Conv2d(bands, TIMBRAL, (TIMBRAL_FRAMES, 1), padding=(TIMBRAL_FRAMES // 2, 0)) for bands in TIMBRAL_BANDS
        )
        self.temporal = nn.ModuleList(
            nn.Conv2d(TAPS, TEMPORAL, (frames // TAPS, 1), dilation=(TAPS, 1)) for frames in TEMPORAL_FRAMES
        )
        outputs = [TIMBRAL] * len(TIMBRAL_BANDS) + [TEMPORAL] * len(TEMPORAL_FRAMES)
        self.front_norms = nn.ModuleList(nn.BatchNorm1d(channels, eps=1e-3) for channels in outputs)
        self.middle = nn.ModuleList(nn.Conv1d(n, MIDDLE, 7, padding=3) for n in (FRONT_CHANNELS, MIDDLE, MIDDLE))
        self.middle_norms = nn.ModuleList(nn.BatchNorm1d(MIDDLE, eps=1e-3) for _ in range(3))

    def forward(self, log_mel: Tensor) -> Tensor:
        """(batch, frames, 96) -> maps (batch, 753, frames)."""
        values = self.input_norm((log_mel * self.scale + self.shift).flatten(1)[:, None])[:, 0].view_as(log_mel)
        parts = [*self.timbral_inputs(values), *self.temporal_inputs(values)]
        layers = zip([*self.timbral, *self.temporal], self.front_norms, parts, strict=True)
        peaks = [strided_peaks(convolution, norm, part, self.stride) for convolution, norm, part in layers]
        front = filled_in(torch.cat(peaks, dim=1), self.stride)[..., : log_mel.shape[1]]
        maps, latest = [front], torch.zeros(())
        for convolution, norm in zip(self.middle, self.middle_norms, strict=True):
            latest = norm(F.relu(convolution(maps[-1])).float()) + latest
            maps.append(latest)
        return torch.cat(maps, dim=1)

    def timbral_inputs(self, values: Tensor) -> list[Tensor]:
        """(batch, frames, 96) -> per kernel, its bands as channels: (batch, bands, frames, positions)."""
        return [values.unfold(2, bands, 1).permute(0, 3, 1, 2) for bands in TIMBRAL_BANDS]

    def temporal_inputs(self, values: Tensor) -> list[Tensor]:
        """(batch, frames, 96) -> per kernel, TAPS frames in a row as channels: (batch, TAPS, frames + …, 96)."""
        padded = (F.pad(values, (0, 0, (frames - 1) // 2, frames // 2)) for frames in TEMPORAL_FRAMES)
        return [part.unfold(1, TAPS, 1).permute(0, 3, 1, 2) for part in padded]


def strided_peaks(convolution: nn.Module, norm: nn.Module, inputs: Tensor, stride: int) -> Tensor:
    """Convolution, ReLU, normalisation, maximum over positions, at every ``stride``-th frame.

    (batch, channels, frames, positions) -> (batch, channels, frames / stride)

    The maximum is taken before the normalisation, which has fewer values to work on then; a negative factor of the
    normalisation turns it into the minimum.
    """
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm1d)
    sign = norm.weight.sign()
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    weight = convolution.weight * sign.view(-1, 1, 1, 1)
    assert convolution.bias is not None and isinstance(convolution.padding, tuple)
    padding, dilation = convolution.padding, convolution.dilation
    maps = F.conv2d(inputs, weight, convolution.bias * sign, (stride, 1), padding, dilation)
    highest = maps.permute(0, 2, 3, 1).amax(dim=2).float() * sign  # over positions, in the layout in memory
    normalized: Tensor = norm(F.relu(highest).transpose(1, 2))
    return normalized


def filled_in(maps: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th frame -> all frames, linear between them: (…, n) -> (…, n * stride)."""
    following = torch.cat([maps[..., 1:], maps[..., -1:]], dim=-1)
    shares = torch.arange(stride, device=maps.device) / stride
    return (maps[..., None] + (following - maps)[..., None] * shares).flatten(-2)


def approximate_log_mel(pictures: Tensor, bands: Tensor, frames: int) -> Tensor:
    """Pictures (batch, 1, size, size) in [0, 1] -> musicnn's log-mel, (batch, frames, 96), without its bands' scales.

    Args:
        bands: ``band_interpolation`` of the pictures.
        frames: number of frames that the pictures' width covers.
    """
    level = bands @ (1 - pictures[:, 0]) * FLOOR_DB + LOUDEST_DB
    level = F.interpolate(level, frames, mode="linear", align_corners=False)
    return torch.log10(1 + COMPRESSION * 10 ** (level / 10)).transpose(1, 2)


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
