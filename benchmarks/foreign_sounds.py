"""What the networks of a cross-validation say about sounds that are no music: how well they tell them from music.

    python train.py -m experiment=small split.folds=5 split.fold=0,1,2,3,4 split.val_share=0 …  # FOLDS/0 to FOLDS/4
    python -m benchmarks.foreign_sounds FOLDS

Printed per kind of sound: the area under the ROC curve of the distance and of the highest probability, held-out tracks
against sounds, and the share that is uncertain. The thresholds for a fold are fitted to the other folds.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import butter, sosfilt
from sklearn.metrics import roc_auc_score

from benchmarks.publish_classifier import fold_predictions, fold_runs
from genre.evaluation.fitting import fit_to
from genre.evaluation.predictions import apply_temperature, concatenated, uncertain_tracks
from genre.models.postprocessing import PostProcessing
from genre.prediction.loading import load
from genre.tasks import Multiclass

Samples = npt.NDArray[np.float64]

RATE = 22_050
SECONDS = 10.0
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))  # formants in Hz
PER_KIND = 4


def main(folds: Path) -> None:
    """Print a table of all kinds of sounds."""
    task, runs = Multiclass(calibrate=True), fold_runs(folds)
    known = [fold_predictions(run) for run in runs]
    far: list[Samples] = []
    sure: list[Samples] = []
    flags: list[Samples] = []
    names = [name for name, _ in foreign_sounds()]
    for place, run in enumerate(runs):
        others = concatenated(known[:place] + known[place + 1 :])
        fitted = fit_to(task, PostProcessing(), others, others)
        own, model = apply_temperature(known[place], task, fitted), load(run)
        model.postprocessing = fitted
        sounds = torch.stack([torch.from_numpy(sound).float() for _, sound in foreign_sounds()])
        probabilities, distances = model.window_outputs(sounds[:, : model.window])
        uncertain = fitted.uncertain(probabilities, distances)
        assert own.distances is not None and distances is not None and uncertain is not None
        far.append(np.concatenate([own.distances, distances.numpy()]))
        sure.append(np.concatenate([own.probabilities.max(1), probabilities.amax(1).numpy()]))
        flags.append(np.concatenate([uncertain_tracks(own, fitted), uncertain.numpy()]))
        print(f"fold {place}: {fitted.uncertain_beyond=:.3f} {fitted.uncertain_below=:.3f}")
    kinds = np.concatenate([[""] * len(part.names) + names for part in known])
    print_table(kinds, np.concatenate(far), np.concatenate(sure), np.concatenate(flags))


def print_table(kinds: npt.NDArray[np.str_], far: Samples, sure: Samples, uncertain: Samples) -> None:
    """Print a row per kind of sound; '' are the held-out tracks."""
    music = kinds == ""
    print(f"{'':12}  distance  probability  uncertain")
    print(f"{'held out':12}  {'':8}  {'':11}  {uncertain[music].mean():9.1%}")
    for kind in ["all", *dict.fromkeys(kinds[~music])]:
        chosen = ~music if kind == "all" else kinds == kind
        both = music | chosen
        areas = (roc_auc_score(chosen[both], values[both]) for values in (far, -sure))
        print(f"{kind:12}  {next(areas):8.3f}  {next(areas):11.3f}  {uncertain[chosen].mean():9.1%}")


def foreign_sounds() -> Iterator[tuple[str, Samples]]:
    """Yield kinds and waveforms (samples,) in [-1, 1] at ``RATE`` Hz: noise, tones, speech, nature and machines."""
    kinds: dict[str, Callable[[np.random.Generator], Samples]] = {
        "white noise": lambda rng: coloured_noise(rng, 0),
        "pink noise": lambda rng: coloured_noise(rng, 1),
        "brown noise": lambda rng: coloured_noise(rng, 2),
        "band noise": band_noise,
        "tone": tone,
        "chirp": chirp,
        "clicks": clicks,
        "speech": speech,
        "wind": lambda rng: coloured_noise(rng, 2) * slow_changes(rng, 2.0),
        "rain": rain,
        "birds": birds,
        "engine": engine,
    }
    for place, (kind, make) in enumerate(kinds.items()):
        for seed in range(PER_KIND):
            rng = np.random.default_rng((place, seed))
            sound = make(rng)
            yield kind, sound / np.abs(sound).max() * rng.uniform(0.05, 0.9)


def time() -> Samples:
    """Seconds of the samples, (samples,)."""
    return np.arange(round(SECONDS * RATE)) / RATE


def phase(hertz: Samples) -> Samples:
    """Frequency over time -> phase in radians."""
    return 2 * np.pi * np.cumsum(hertz) / RATE


def coloured_noise(rng: np.random.Generator, exponent: float) -> Samples:
    """Noise whose power falls with this power of the frequency, constant below 20 Hz."""
    count = len(time())
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return np.fft.irfft(spectrum * np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20) ** (-exponent / 2), count)


def slow_changes(rng: np.random.Generator, hertz: float) -> Samples:
    """Random values from 0 to 1, ``hertz`` new ones per second, interpolated."""
    values = rng.random(round(SECONDS * hertz) + 1)
    return np.interp(time(), np.linspace(0, SECONDS, len(values)), values)


def filtered(values: Samples, low: float, high: float, order: int = 2) -> Samples:
    """A Butterworth band-pass."""
    sections = butter(order, [low, min(high, 0.45 * RATE)], "band", fs=RATE, output="sos")
    result: Samples = sosfilt(sections, values)
    return result


def tone(rng: np.random.Generator) -> Samples:
    """A sine of 50 to 3,000 Hz."""
    return np.sin(phase(np.full(len(time()), rng.uniform(50, 3000))))


def chirp(rng: np.random.Generator) -> Samples:
    """A sine that rises evenly on a logarithmic scale."""
    lowest, highest = rng.uniform((60, 2000), (500, 9000))
    return np.sin(phase(np.geomspace(float(lowest), float(highest), len(time()))))


def band_noise(rng: np.random.Generator) -> Samples:
    """White noise of one to three octaves."""
    low = rng.uniform(100, 1000)
    return filtered(coloured_noise(rng, 0), low, low * rng.uniform(2, 8), order=4)


def impulses(rng: np.random.Generator, count: int) -> Samples:
    """So many impulses of random height at random times."""
    values = np.zeros(len(time()))
    values[rng.integers(0, len(values), count)] = rng.standard_normal(count)
    return values


def clicks(rng: np.random.Generator) -> Samples:
    """The same click of a few milliseconds, one to three per second."""
    train = np.zeros(len(time()))
    train[:: int(RATE * rng.uniform(0.3, 1))] = 1
    return np.convolve(train, np.exp(-np.arange(300) / 40) * rng.standard_normal(300))[: len(train)]


def rain(rng: np.random.Generator) -> Samples:
    """White noise and drops."""
    drop = np.exp(-np.arange(200) / 30) * rng.standard_normal(200)
    return 0.05 * coloured_noise(rng, 0) + np.convolve(impulses(rng, 1000), drop)[: len(time())]


def birds(rng: np.random.Generator) -> Samples:
    """Short whistles with vibrato over faint pink noise."""
    song = 0.002 * coloured_noise(rng, 1)
    for begin in rng.integers(0, len(song) - 8000, 20):
        seconds = np.arange(rng.integers(1500, 8000)) / RATE
        glide, vibrato = rng.uniform(-3000, 6000) * seconds, rng.uniform(0, 300) * np.sin(2 * np.pi * 20 * seconds)
        song[begin : begin + len(seconds)] += np.hanning(len(seconds)) * np.sin(
            phase(rng.uniform(2000, 5000) + glide + vibrato)
        )
    return song


def engine(rng: np.random.Generator) -> Samples:
    """The harmonics of a slowly changing rotation, and noise."""
    turns = phase(rng.uniform(25, 90) * (1 + 0.2 * slow_changes(rng, 0.5)))
    return np.sum([np.sin(n * turns) / n for n in range(1, 20)], axis=0) + 0.01 * coloured_noise(rng, 1)


def speech(rng: np.random.Generator) -> Samples:
    """Syllables of a voice: pulses through the formants of random vowels, with hissing consonants and pauses."""
    pitch = rng.uniform(90, 220) * (1 + 0.3 * (slow_changes(rng, 3.0) - 0.5))
    pulses, hiss = (
        np.diff(np.floor(phase(pitch) / (2 * np.pi)), prepend=0),
        filtered(coloured_noise(rng, 0), 3000, 8000),
    )
    said, begin = np.zeros(len(time())), 0
    while begin < len(said):
        end = begin + int(RATE * rng.uniform(0.12, 0.3))
        part, onset = slice(begin, min(end, len(said))), slice(begin, min(begin + RATE // 15, len(said)))
        vowel = VOWELS[rng.integers(len(VOWELS))]
        voiced = sum(filtered(pulses[part], 0.93 * formant, 1.07 * formant, order=1) for formant in vowel)
        said[part] += voiced * np.hanning(part.stop - part.start)
        said[onset] += rng.uniform(0, 0.1) * hiss[onset] * np.hanning(onset.stop - onset.start)
        begin = end + int(RATE * rng.choice([0, 0.03, 0.4], p=[0.5, 0.35, 0.15]))
    return said


if __name__ == "__main__":
    main(Path(sys.argv[1]))
