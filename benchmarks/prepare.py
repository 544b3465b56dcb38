"""From a WAV file to the network's picture: decode, log-mel, resize; a track, against the document's script."""

import io
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.music import wav_files
from benchmarks.timing import Measurement, alternate
from genre import audio
from genre.spectrogram import Document

FILES = 20
ROUNDS = 3


def document_picture(path: Path) -> npt.NDArray[np.float32]:
    """What the document's script does: librosa, a PNG by matplotlib without axes, 128x128 grey by PIL."""
    samples, rate = librosa.load(path)
    level = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=rate, n_mels=128, fmax=8000), ref=np.max)
    figure = Figure(figsize=(4, 4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    librosa.display.specshow(level, sr=rate, fmax=8000, ax=axes)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    grey = np.asarray(Image.open(png).convert("L").resize((128, 128)), np.float32)
    return grey / np.float32(255)


def measure() -> Measurement:
    """Seconds a track, each side one file after the other."""
    files = wav_files(FILES)
    front = Document(22_050, 2048, 512, 128, 8000.0)

    def ours() -> None:
        for path in files:
            samples = audio.to_int16(audio.read(path, front.sample_rate))
            clip = torch.from_numpy(samples)[None, : 30 * front.sample_rate].float() / 32768
            front.picture(front(clip, torch.tensor([clip.shape[1]]), 30.0))

    baseline, seconds = alternate(lambda: [document_picture(path) for path in files], ours, ROUNDS)
    return Measurement("prepare", "librosa + matplotlib + PIL", baseline / len(files), seconds / len(files))
