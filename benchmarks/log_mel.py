"""The log-mel of 30 s alone, on one thread; baselines: librosa, torchaudio, nnAudio."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import librosa
import numpy as np
import torch
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from benchmarks.machine import arithmetic_bound, traffic_bound
from benchmarks.timing import Bound, Measurement, alternate, threads
from genre.transforms.spectrogram import LogMel

RATE, SECONDS, N_FFT, HOP, BANDS, F_MAX = 22_050, 30, 2048, 512, 128, 8000.0
ROUNDS = 15
SAMPLES = SECONDS * RATE
FRAMES = 1 + SAMPLES // HOP
USED = math.ceil(F_MAX / RATE * N_FFT)  # bins of the spectrum up to F_MAX
OPERATIONS = FRAMES * (2.5 * N_FFT * math.log2(N_FFT) + 2 * USED * BANDS)  # a real FFT, and the product with the bands
Transform = Callable[[torch.Tensor], object]


def librosa_log_mel(waveform: torch.Tensor) -> object:
    """librosa's: (1, samples) -> (1, bands, frames)."""
    power = librosa.feature.melspectrogram(
        y=waveform.numpy(), sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS, fmax=F_MAX
    )
    return librosa.power_to_db(power, ref=np.max)


def torchaudio_log_mel() -> Transform:
    """torchaudio's, which has decibels below 1 instead of below the maximum."""
    mel = MelSpectrogram(
        RATE, N_FFT, hop_length=HOP, n_mels=BANDS, f_max=F_MAX, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    to_decibels = AmplitudeToDB(top_db=80)
    return lambda waveform: to_decibels(mel(waveform))


def nnaudio_log_mel() -> Transform | None:
    """nnAudio's, with torchaudio's decibels; None if it cannot be imported, with the reason printed."""
    try:
        from nnAudio.features import MelSpectrogram as Convolutions
    except ImportError as error:
        print(f"log_mel: the row of nnAudio is left out: {error}", flush=True)
        return None
    mel = Convolutions(
        sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS, fmax=F_MAX, pad_mode="constant", verbose=False
    )
    to_decibels = AmplitudeToDB(top_db=80)
    return lambda waveform: to_decibels(mel(waveform))


def log_mel_bound(count: int) -> Bound:
    """The longer of a log-mel's arithmetic and its memory traffic, on so many threads."""
    arithmetic = arithmetic_bound(OPERATIONS, "float32", count)
    traffic = traffic_bound(4 * (SAMPLES + FRAMES * BANDS), count)
    return max(arithmetic, traffic, key=lambda bound: bound.seconds)


@torch.inference_mode()
def measure() -> Iterator[Measurement]:
    """Seconds per clip."""
    waveform = torch.randn(1, SAMPLES) / 10
    baselines: dict[str, Transform | None] = {
        "librosa": librosa_log_mel,
        "torchaudio": torchaudio_log_mel(),
        "nnAudio": nnaudio_log_mel(),
    }
    known = {name: transform for name, transform in baselines.items() if transform}
    transforms: list[Transform] = [*known.values(), LogMel(RATE, N_FFT, HOP, BANDS, F_MAX)]
    with threads(1):
        *theirs, ours = alternate([partial(transform, waveform) for transform in transforms], ROUNDS)
        bound = log_mel_bound(1)
    for name, timing in zip(known, theirs, strict=True):
        yield Measurement("the log-mel of 30 s, decoded", ours, name, timing, bound, "float32", threads=1)
