"""Convert musicnn's published TensorFlow checkpoint to genre/pretrained/musicnn_msd.safetensors; needs genre[bench].

    pip download --no-deps musicnn==0.1.0 && unzip musicnn-0.1.0-py3-none-any.whl
    python -m benchmarks.convert_musicnn musicnn/MSD_musicnn MUSIC

Kernels of the first layer that are zero are left out; what they give the second is the weight of an input of ones.

MUSIC is a folder of audio files. Over them, each band's mean and deviation are taken in musicnn's own spectrograms and
in their approximation from pictures; the latter are then scaled to match.
"""

import re
import sys
from pathlib import Path

import librosa
import numpy as np
import tensorflow as tf
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from genre.models.musicnn import (
    BANDS,
    COMPRESSION,
    FRAME_RATE,
    MusiCNNBackbone,
    approximate_log_mel,
    band_interpolation,
    weights_file,
)
from genre.transforms.spectrogram import ArchiveSpectrogram

RATE, SECONDS = 16_000, 9.92  # 128 columns of the log-mel archive: one per column of the picture
NORM_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
NORMS = ["input_norm", *(f"front_norms.{i}" for i in range(5)), *(f"middle_norms.{i}" for i in range(3))]
CONVOLUTIONS = [f"{part}.{i}" for part, count in (("front", 5), ("middle", 3)) for i in range(count)]
ZERO = 1e-4  # norm of a kernel that is zero but for what weight decay left of it


def main(checkpoint: Path, music: Path) -> None:
    """Convert a checkpoint, and fit the scales of its bands."""
    state = MusiCNNBackbone().state_dict() | without_zero_kernels(converted(checkpoint))
    state["scale"], state["shift"] = band_scales(sorted(path for path in music.rglob("*") if path.is_file()))
    save_file({name: value.contiguous() for name, value in state.items()}, weights_file())


def converted(folder: Path) -> dict[str, Tensor]:
    """The layers up to the pooling, by their names in MusiCNNBackbone."""
    name, index = folder / "model", folder / "model.index"  # TensorFlow finds no files without a name before the suffix
    if not index.exists():
        (folder / ".index").rename(index)
        (folder / ".data-00000-of-00001").rename(folder / "model.data-00000-of-00001")
    reader = tf.train.load_checkpoint(str(name))
    state = {}
    for variable in reader.get_variable_to_shape_map():
        value = torch.from_numpy(np.array(reader.get_tensor(variable)))
        if found := re.fullmatch(r"batch_normalization(?:_(\d))?/(\w+)", variable):
            if int(found[1] or 0) < len(NORMS) and found[2] in NORM_NAMES:
                state[f"{NORMS[int(found[1] or 0)]}.{NORM_NAMES[found[2]]}"] = value
        elif found := re.fullmatch(r"conv2d(?:_(\d))?/(kernel|bias)", variable):
            layer = CONVOLUTIONS[int(found[1] or 0)]
            state[f"{layer}.{'bias' if found[2] == 'bias' else 'weight'}"] = rearranged(layer, value)
    return state


def rearranged(layer: str, value: Tensor) -> Tensor:
    """A kernel (frames, bands, 1, channels) as MusiCNNBackbone's layer has it; a bias stays."""
    if value.ndim == 1:
        return value
    return value.permute(3, 2, 1, 0) if layer.startswith("front") else value[:, :, 0].permute(2, 1, 0)


def without_zero_kernels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the first layer's kernels that are zero; their maps are constant, which is the last input's weight."""
    not_zero, maps = [], []
    for layer, norm in ((f"front.{i}", f"front_norms.{i}") for i in range(5)):
        weight, bias, *statistics = (state[name] for name in names_of(layer, norm))
        not_zero.append(weight.flatten(1).norm(dim=1) > ZERO)
        scale, shift, mean, variance = statistics
        maps.append((F.relu(bias) - mean) / (variance + 1e-3).sqrt() * scale + shift)  # where the kernel is zero
        state = state | {name: state[name][not_zero[-1]] for name in names_of(layer, norm)}
    used, following = torch.cat(not_zero), state["middle.0.weight"]
    constant = torch.einsum("i,oik->ok", torch.cat(maps)[~used], following[:, ~used])
    return state | {"middle.0.weight": torch.cat([following[:, used], constant[:, None]], dim=1)}


def names_of(layer: str, norm: str) -> list[str]:
    """The names of a convolution's parameters and of the normalisation's after it."""
    return [f"{layer}.weight", f"{layer}.bias", *(f"{norm}.{name}" for name in NORM_NAMES.values())]


def band_scales(files: list[Path]) -> tuple[Tensor, Tensor]:
    """Factor and summand, (96, 1) each, that give the approximation the means and deviations of musicnn's own."""
    own, ours = zip(*(spectrograms(path) for path in files), strict=True)
    target, source = torch.cat(own), torch.cat(ours)
    scale = target.std(dim=0) / source.std(dim=0)
    return scale[:, None], (target.mean(dim=0) - source.mean(dim=0) * scale)[:, None]


def spectrograms(path: Path) -> tuple[Tensor, Tensor]:
    """musicnn's spectrogram of a file, and the approximation from pictures of its consecutive crops, (frames, 96)."""
    samples, _ = librosa.load(path, sr=RATE)
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, hop_length=256, n_fft=512, n_mels=BANDS).T
    spectrogram = ArchiveSpectrogram(22_050, 2_048, 512, 128, 11_025.0)
    bands, frames = band_interpolation(spectrogram.size, 11_025.0), round(SECONDS * FRAME_RATE)
    waveform = torch.from_numpy(librosa.load(path, sr=22_050)[0])
    clips = waveform.unfold(0, round(SECONDS * 22_050), round(SECONDS * 22_050))
    pictures = spectrogram.picture(spectrogram(clips, torch.tensor([clips.shape[1]] * len(clips)), SECONDS))
    wide = F.interpolate(pictures, (spectrogram.size, frames), mode="bilinear", align_corners=False)
    approximate = approximate_log_mel(wide, bands).transpose(1, 2).flatten(0, 1)
    return torch.log10(1 + COMPRESSION * torch.from_numpy(power)), approximate


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
