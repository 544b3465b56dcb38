"""Convert musicnn's published TensorFlow checkpoint to genre/pretrained/musicnn_msd.safetensors; needs genre[bench].

    pip download --no-deps musicnn==0.1.0 && unzip musicnn-0.1.0-py3-none-any.whl
    python -m benchmarks.convert_musicnn musicnn/MSD_musicnn MUSIC

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
from safetensors.torch import save_file
from torch import Tensor

from genre.models.musicnn import (
    BANDS,
    COMPRESSION,
    FRAME_RATE,
    TAPS,
    MusiCNNBackbone,
    approximate_log_mel,
    band_interpolation,
    weights_file,
)
from genre.transforms.spectrogram import ArchiveSpectrogram

RATE, SECONDS = 16_000, 9.92  # 128 columns of the log-mel archive: one per column of the picture
NORM_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
NORMS = ["input_norm", *(f"front_norms.{i}" for i in range(5)), *(f"middle_norms.{i}" for i in range(3))]
CONVOLUTIONS = [f"{part}.{i}" for part, count in (("timbral", 2), ("temporal", 3), ("middle", 3)) for i in range(count)]


def main(checkpoint: Path, music: Path) -> None:
    """Convert a checkpoint, and fit the scales of its bands."""
    state = MusiCNNBackbone().state_dict() | converted(checkpoint)
    state["scale"], state["shift"] = band_scales(sorted(path for path in music.rglob("*") if path.is_file()))
    half = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    save_file({name: value.contiguous() for name, value in half.items()}, weights_file())


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
    if layer.startswith("timbral"):
        return value.permute(3, 1, 0, 2)
    if layer.startswith("temporal"):
        return value.reshape(-1, TAPS, value.shape[-1]).permute(2, 1, 0)[..., None]
    return value[:, :, 0].permute(2, 1, 0)


def band_scales(files: list[Path]) -> tuple[Tensor, Tensor]:
    """Factor and summand, (96,) each, that give the approximation the means and deviations of musicnn's own."""
    own, ours = zip(*(spectrograms(path) for path in files), strict=True)
    target, source = torch.cat(own), torch.cat(ours)
    scale = target.std(dim=0) / source.std(dim=0)
    return scale, target.mean(dim=0) - source.mean(dim=0) * scale


def spectrograms(path: Path) -> tuple[Tensor, Tensor]:
    """musicnn's spectrogram of a file, and the approximation from pictures of its consecutive crops, (frames, 96)."""
    samples, _ = librosa.load(path, sr=RATE)
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, hop_length=256, n_fft=512, n_mels=BANDS).T
    spectrogram = ArchiveSpectrogram(22_050, 2_048, 512, 128, 11_025.0)
    bands, frames = band_interpolation(spectrogram.size, 11_025.0), round(SECONDS * FRAME_RATE)
    waveform = torch.from_numpy(librosa.load(path, sr=22_050)[0])
    clips = waveform.unfold(0, round(SECONDS * 22_050), round(SECONDS * 22_050))
    pictures = spectrogram.picture(spectrogram(clips, torch.tensor([clips.shape[1]] * len(clips)), SECONDS))
    approximate = approximate_log_mel(pictures, bands, frames).flatten(0, 1)
    return torch.log10(1 + COMPRESSION * torch.from_numpy(power)), approximate


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
