"""Synthetic music in ten genres with GTZAN's names, for tests and for users without the data.

A genre is a `Style`: a tempo range, a scale, a chord progression and layers, each an instrument with a pattern. The
genres differ in their course over time (which instrument plays when, and how long): every song is equalised to a common
spectrum with random deviations, so that its average spectrum tells little about the genre. Results on these songs tell
nothing about real music.
"""

import csv
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import soundfile
from rich.progress import track as progress
from scipy import fft

from genre.data.audio import PAPER_SAMPLE_RATE
from genre.data.catalogue import Catalogue, read_csv
from genre.files import sync_folder, sync_tree
from genre.ranges import Count, Seconds, Seed, WholeNumber, checked

Wave = npt.NDArray[np.float32]
Samples = npt.NDArray[np.float64]

TABLE = 2048  # samples of one period in a wavetable, and of one spectrum
EQUALIZER_BANDS = 96  # of the equaliser, from 0 Hz to half the sample rate
CURVE_DB = -20.0  # fall of every song's average spectrum over the bands
NOISE_DB = (-60.0, -52.0)  # range of the background noise relative to the peak
SPREAD_DB = 3.0  # standard deviation of the random deviations from that curve, coarse and fine
MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)


class Instrument(Protocol):
    """Renders a note, chord or drum stroke."""

    def render(self, pitches: tuple[int, ...], seconds: float, rate: int, rng: np.random.Generator) -> Wave:
        """MIDI pitches held for ``seconds`` -> (samples,) with a peak of about 1, release included."""
        ...

    def vary(self, brightness: float, length: float) -> "Instrument":
        """Return a variant: duller to brighter (-1 to 1), with its decay multiplied by ``length``."""
        ...


@dataclass(frozen=True)
class Tone:
    """A pitched instrument: a wavetable whose upper partials fade first, with an envelope.

    Args:
        rolloff: the k-th partial has amplitude k^-rolloff; lower is brighter.
        attack, decay, release: time constants of the envelope in seconds.
        bend: semitones from which a note slides up (down if negative) into pitch, in half a second.
        vibrato: semitones, five times per second.
        drive: distortion of the whole chord; 0 for none.
        odd: odd partials only, as in a clarinet or a square wave.
    """

    rolloff: float
    attack: float = 0.004
    decay: float = 0.4
    release: float = 0.03
    bend: float = 0.0
    vibrato: float = 0.0
    drive: float = 0.0
    odd: bool = False

    def render(self, pitches: tuple[int, ...], seconds: float, rate: int, rng: np.random.Generator) -> Wave:
        """Render a chord; each note starts at a random phase."""
        t = np.arange(int((seconds + 4 * self.release) * rate), dtype=np.float32) / np.float32(rate)
        fade = np.exp(-t / self.decay)
        wave = np.zeros_like(t)
        for hertz in (440 * 2 ** ((pitch - 69) / 12) for pitch in pitches):
            at = (self._phase(t, hertz, rate) + rng.integers(TABLE)).astype(np.int32) & (TABLE - 1)
            base = self._table(self.rolloff + 1, hertz, rate)[at]
            wave += base + fade * (self._table(self.rolloff, hertz, rate)[at] - base)
        if self.drive:
            wave = np.tanh(self.drive * wave)
        held = np.exp(-np.maximum(t - seconds, 0) / self.release)
        envelope = np.minimum(t / self.attack, 1) * fade * held
        return np.asarray(wave * envelope / len(pitches) ** 0.5, dtype=np.float32)

    def vary(self, brightness: float, length: float) -> "Tone":
        """Return a variant with steeper or flatter partials."""
        return replace(self, rolloff=self.rolloff + 0.25 - 0.65 * brightness, decay=self.decay * length)

    def _phase(self, t: Wave, hertz: float, rate: int) -> npt.NDArray[np.floating]:
        if not (self.bend or self.vibrato):
            return t * np.float32(hertz * TABLE)
        semitones = self.vibrato * np.sin(2 * np.pi * 5 * t) - self.bend * np.exp(-t / 0.3)
        return np.cumsum(2 ** (semitones / 12), dtype=np.float64) * (hertz * TABLE / rate)

    def _table(self, rolloff: float, hertz: float, rate: int) -> Wave:
        partials = np.arange(1, max(2, min(60, int(0.45 * rate / hertz))), dtype=np.float32)
        spectrum = np.zeros(TABLE // 2 + 1, dtype=np.complex64)
        spectrum[1 : len(partials) + 1] = partials**-rolloff * (partials % 2 if self.odd else 1)
        table = fft.irfft(-1j * spectrum)
        return np.asarray(table / np.abs(table).max(), dtype=np.float32)


@dataclass(frozen=True)
class Drum:
    """A drum stroke: filtered noise and a falling sine, both decaying. Pitch and length of the note are ignored.

    Args:
        band: lower and upper edge of the noise in Hz.
        decay: time constant in seconds.
        tone: start and end of the sine in Hz; none if zero.
        noise: level of the noise beside a sine of level 1.
    """

    band: tuple[float, float]
    decay: float
    tone: tuple[float, float] = (0, 0)
    noise: float = 1.0

    def render(self, pitches: tuple[int, ...], seconds: float, rate: int, rng: np.random.Generator) -> Wave:
        """Render a stroke; only its noise is random."""
        t = np.arange(int(5 * self.decay * rate), dtype=np.float32) / np.float32(rate)
        spectrum = fft.rfft(rng.standard_normal(len(t), dtype=np.float32))
        hertz = fft.rfftfreq(len(t), 1 / rate)
        low, high = self.band
        noise = fft.irfft(spectrum / (1 + (low / (hertz + 1)) ** 4) / (1 + (hertz / high) ** 4), len(t))
        wave = self.noise * noise / (np.abs(noise).max() + 1e-9)
        if self.tone[0]:
            start, end = self.tone
            wave = wave + np.sin(2 * np.pi * (end * t + (start - end) * 0.03 * (1 - np.exp(-t / 0.03))))
        return np.asarray(wave * np.exp(-t / self.decay), dtype=np.float32)

    def vary(self, brightness: float, length: float) -> "Drum":
        """Return a variant whose noise is up to half an octave lower or higher."""
        low, high = (edge * 2 ** (brightness / 2) for edge in self.band)
        return replace(self, band=(low, high), decay=self.decay * length)


@dataclass(frozen=True)
class Sweep:
    """Noise that moves from one frequency to another (Hz) during the note: a riser."""

    start: float
    end: float

    def render(self, pitches: tuple[int, ...], seconds: float, rate: int, rng: np.random.Generator) -> Wave:
        """Render a chirp with noise in its phase and a rising level."""
        x = np.linspace(0, 1, int(seconds * rate), dtype=np.float32)
        ratio = np.log(self.end / self.start)
        phase = 2 * np.pi * self.start * seconds * (np.exp(ratio * x) - 1) / ratio
        rough = np.interp(x, np.linspace(0, 1, int(400 * seconds) + 2), rng.standard_normal(int(400 * seconds) + 2))
        return np.asarray(np.sin(phase + 2 * rough) * (0.2 + 0.8 * x) * np.minimum(20 * (1 - x), 1), dtype=np.float32)

    def vary(self, brightness: float, length: float) -> "Sweep":
        """Return a variant that is up to half an octave lower or higher."""
        return Sweep(*(edge * 2 ** (brightness / 2) for edge in (self.start, self.end)))


KICK = Drum((20, 200), 0.12, tone=(160, 48), noise=0.2)
DEEP = Drum((20, 120), 0.30, tone=(110, 42), noise=0.1)
SNARE = Drum((300, 7000), 0.09, tone=(240, 180))
CLAP = Drum((700, 4500), 0.07)
RIM = Drum((900, 3500), 0.03, tone=(800, 700))
HAT = Drum((5000, 11000), 0.03)
OPEN = Drum((4500, 11000), 0.14)
RIDE = Drum((3500, 9000), 0.18)
CRASH = Drum((2500, 11000), 0.8)
BRUSH = Drum((1500, 8000), 0.07)
TOM = Drum((80, 600), 0.16, tone=(190, 95), noise=0.3)
RISER = Sweep(300, 6000)
SPINBACK = Sweep(6000, 200)

UPRIGHT = Tone(1.6, decay=0.45)
FINGER = Tone(1.3, decay=0.8)
SUB = Tone(2.5, decay=2.5)
SYNTH_BASS = Tone(1.0, decay=0.3)
STRINGS = Tone(1.1, attack=0.35, decay=9, release=0.2, vibrato=0.15)
FLUTE = Tone(2.0, attack=0.08, decay=9, release=0.08, vibrato=0.25)
PIANO = Tone(1.3, decay=0.6, release=0.08)
ORGAN = Tone(1.1, decay=9, odd=True)
ACOUSTIC = Tone(0.9, decay=0.35)
BANJO = Tone(0.6, decay=0.15)
STEEL = Tone(1.0, attack=0.05, decay=3, bend=-7, vibrato=0.2, release=0.1)
ELECTRIC = Tone(1.0, decay=1.8, bend=7, vibrato=0.35, drive=1.5)
CRUNCH = Tone(0.9, decay=1.2, drive=2.5)
FUZZ = Tone(0.7, decay=6, drive=7)
MUTED = Tone(0.8, decay=0.07, drive=6)
SAX = Tone(0.9, attack=0.03, decay=4, vibrato=0.2, bend=0.5)
PAD = Tone(0.8, attack=0.15, decay=9, release=0.15)
BELL = Tone(1.3, attack=0.02, decay=2, release=0.05)
PLUCK = Tone(0.8, decay=0.2)
VOICE = Tone(1.0, attack=0.05, decay=5, release=0.06, vibrato=0.3, bend=0.7)


@dataclass(frozen=True)
class Layer:
    """One instrument with its pattern.

    Args:
        instrument: renders the notes.
        pattern: bars, separated by blanks and repeated, each of any number of equal steps. ``.`` is a rest, ``-`` holds
            the note; ``x`` plays the chord, a digit that degree of the scale above the chord's root, ``?`` a step of a
            random melody.
        octave: of the tonic, as in MIDI (5 holds middle C).
        decibels: level in the mix.
        form: the bars in which it plays (``x``) or is silent (``.``), repeated.
        chord: degrees that ``x`` plays.
        echoes: number of echoes of each note, each three sixteenths later and 4 dB softer.
    """

    instrument: Instrument
    pattern: str
    octave: int = 5
    decibels: float = 0.0
    form: str = "x"
    chord: tuple[int, ...] = (1, 3, 5)
    echoes: int = 0


@dataclass(frozen=True)
class Style:
    """A genre.

    Args:
        tempo: lowest and highest, in quarter notes per minute, four per bar.
        scale: semitones above the tonic, seven of them.
        progression: degree of the chord of each bar, repeated.
        layers: the instruments with their patterns.
        swell: level of the middle of each four bars above their ends, in dB.
    """

    tempo: tuple[float, float]
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    layers: tuple[Layer, ...]
    swell: float = 0.0


POWER = (1, 5, 8)
SEVENTH = (1, 3, 5, 7)
STYLES = {
    "blues": Style((62, 76), MIXOLYDIAN, (1, 1, 1, 1, 4, 4, 1, 1, 5, 4, 1, 5), (
        Layer(KICK, "x.....x.....", decibels=-2),
        Layer(SNARE, "...x.....x..", decibels=-10),
        Layer(HAT, "x.xx.xx.xx.x", decibels=-14),
        Layer(UPRIGHT, "1..3..5..6.. 8..6..5..3..", octave=3),
        Layer(ORGAN, "x-----------", decibels=-12, chord=SEVENTH),
        Layer(ELECTRIC, "?-----?-----", octave=6, decibels=4),
    )),
    "classical": Style((52, 72), MAJOR, (1, 4, 2, 5, 1, 6, 4, 5), (
        Layer(STRINGS, "x---------------", octave=5),
        Layer(STRINGS, "1---------------", octave=3, decibels=-2),
        Layer(FLUTE, "?-------?------- ?---------------", octave=6, decibels=-2),
    ), swell=20),
    "country": Style((96, 116), MAJOR, (1, 1, 4, 4, 1, 1, 5, 1), (
        Layer(BRUSH, "..x.x.x...x.x.x.", decibels=-14),
        Layer(SNARE, "....x.......x...", decibels=-4),
        Layer(FINGER, "1.......5.......", octave=3, decibels=1),
        Layer(ACOUSTIC, "....x.......x...", decibels=7),
        Layer(BANJO, "1.358.531.358.53", octave=6, decibels=-10, form="xx.."),
        Layer(STEEL, "?-------?------- ?---------------", octave=6, form="..xx"),
    )),
    "disco": Style((112, 126), DORIAN, (1, 1, 4, 4), (
        Layer(KICK, "x...x...x...x...", decibels=2),
        Layer(CLAP, "....x.......x...", decibels=-6),
        Layer(OPEN, "..x...x...x...x.", decibels=-5),
        Layer(SYNTH_BASS, "1.8.1.8.1.8.1.8.", octave=3),
        Layer(PLUCK, "..xx.x..x.xx.x..", decibels=-9),
        Layer(STRINGS, "................ 8---6---5-------", octave=6, decibels=-4),
        Layer(RISER, "x---------------", decibels=5, form="x."),
    )),
    "hiphop": Style((82, 96), MINOR, (1, 1, 6, 1), (
        Layer(DEEP, "x.....x...x..... x......x..x.....", decibels=3, form="xxx."),
        Layer(SNARE, "....x.......x...", form="xxx."),
        Layer(HAT, "x.x.x.x.x.x.xxxx", decibels=-9, form="xxx."),
        Layer(SUB, "1-----....1-..3-", octave=2, form="xxx."),
        Layer(PIANO, "x--.x--......... ................", octave=6, decibels=-6, chord=SEVENTH),
        Layer(VOICE, "1.11.1.1.11.1... 1.1.11.1.1.11.11", octave=5, decibels=-7, form="xxxx.."),
        Layer(SPINBACK, "x---------------", decibels=3, form=".x"),
    )),
    "jazz": Style((120, 160), DORIAN, (2, 5, 1, 6), (
        Layer(RIDE, "x..x.xx..x.x", decibels=-9, form="xx.."),
        Layer(UPRIGHT, "1..3..5..6.. 8..7..5..2..", octave=3, decibels=2, form="xx.."),
        Layer(PIANO, "...x-....... x-....x.....", decibels=-1, form="xx..", chord=SEVENTH),
        Layer(SAX, "?.??..?--?-- ?--?-----...", octave=5, form="xx.."),
        Layer(SNARE, "x..x.xx..x.x x.xx.xx..xxx", decibels=2, form="..xx"),
        Layer(TOM, "...x..x..... ..x...x..x..", decibels=2, form="..xx"),
    )),
    "metal": Style((130, 160), PHRYGIAN, (1, 1, 2, 1), (
        Layer(KICK, "xxxxxxxxxx......", decibels=1, form="xx.."),
        Layer(KICK, "x.......x.......", decibels=3, form="..xx"),
        Layer(SNARE, "....x....x......", decibels=-3, form="xx.."),
        Layer(SNARE, "....x.......x...", decibels=-3, form="..xx"),
        Layer(CRASH, "x...............", decibels=-5, form="..x."),
        Layer(MUTED, "x.xxx.xxxx......", octave=3, form="xx..", chord=POWER, decibels=3),
        Layer(FUZZ, "x---------------", octave=3, form="..xx", chord=POWER, decibels=3),
        Layer(FINGER, "1.1.1.1.11......", octave=2, decibels=-4, form="xx.."),
    )),
    "pop": Style((100, 122), MAJOR, (1, 5, 6, 4), (
        Layer(KICK, "x.....x.x.......", decibels=1, form="..xx"),
        Layer(CLAP, "....x.......x...", decibels=-3, form="..xx"),
        Layer(HAT, "x.x.x.x.x.x.x.x.", decibels=-9, form="..xx"),
        Layer(SYNTH_BASS, "1.1.1.1.1.1.1.1.", octave=3, form="..xx"),
        Layer(PAD, "x---------------", decibels=-8),
        Layer(BELL, "1---3---5---8---", octave=6, decibels=3),
        Layer(VOICE, "?---?-?-?-----..", octave=5, decibels=-3, form="..xx"),
    )),
    "reggae": Style((66, 80), MINOR, (1, 1, 4, 5), (
        Layer(KICK, "........x.......", decibels=2),
        Layer(RIM, "........x.......", decibels=-2, echoes=3),
        Layer(HAT, "..x...x...x...x.", decibels=-14),
        Layer(FINGER, "1--1--3-5....... 1---..5-3-1.....", octave=3, decibels=1),
        Layer(ACOUSTIC, "....x.......x...", octave=6, decibels=2),
        Layer(ORGAN, "....x.......x...", octave=5),
    )),
    "rock": Style((108, 132), MIXOLYDIAN, (1, 7, 4, 1), (
        Layer(KICK, "x.....x.x......."),
        Layer(SNARE, "....x...........", decibels=-1),
        Layer(TOM, "..........x.xxxx"),
        Layer(CRASH, "x...............", decibels=0),
        Layer(FINGER, "1.1.1.1.1.......", octave=3, decibels=-2),
        Layer(CRUNCH, "x---x---x-......", octave=4, chord=POWER, decibels=3),
    )),
}  # fmt: skip
STYLE_NAMES: tuple[str, ...] = tuple(sorted(STYLES))


@dataclass(frozen=True)
class Frame:
    """Properties of a song that all its layers share.

    Args:
        key: in semitones relative to C.
        bar: length of a bar in seconds.
        first: index of the first bar within the form.
        count: number of samples.
        rate: sample rate in Hz.
    """

    key: int
    bar: float
    first: int
    count: int
    rate: int


def synthesize(
    genres: tuple[str, ...], index: int, seed: int, seconds: float = 30.0, sample_rate: int = PAPER_SAMPLE_RATE
) -> Wave:
    """Synthesize a song of one genre or of two.

    Two genres share the key and a tempo within both ranges, or else between them. They play together; in turn one is
    15 dB louder for two bars. The order of ``genres`` has no effect.

    Args:
        genres: one or two different names of `STYLE_NAMES`.
        index: of the song within its genre or pair.
        seed: of the whole set.
        seconds: length of the song.
        sample_rate: in Hz, 8,000 to 48,000.

    Returns:
        (samples,) in [-1, 1], determined by the arguments.

    Raises:
        ValueError: if a genre is unknown, they are not one or two, or a number is out of range.
    """
    _check(genres, index, seed, seconds, sample_rate)
    names = sorted(genres)
    rng = np.random.default_rng([seed, index, *map(STYLE_NAMES.index, names)])
    bar = 240 / _tempo([STYLES[name].tempo for name in names], rng)
    skipped = int(rng.uniform(0, bar) * sample_rate)  # so that songs do not begin on a beat
    count = skipped + round(seconds * sample_rate)
    frame = Frame(int(rng.integers(-5, 7)), bar, int(rng.integers(24)), count, sample_rate)
    parts = [_perform(STYLES[name], frame, rng) for name in names]
    song = parts[0] if len(parts) == 1 else _alternate(parts[0], parts[1], frame)
    return _master(song[skipped:], sample_rate, rng)


def _check(genres: tuple[str, ...], index: int, seed: int, seconds: float, sample_rate: int) -> None:
    if len(genres) not in (1, 2) or len(set(genres)) != len(genres) or not set(genres) <= set(STYLE_NAMES):
        raise ValueError(f"genres={genres!r} must be one or two different names of {', '.join(STYLE_NAMES)}")
    if index < 0 or seed < 0:
        raise ValueError(f"index={index} and seed={seed} must not be negative")
    if not 8000 <= sample_rate <= 48_000:
        raise ValueError(f"sample_rate={sample_rate} must lie between 8000 and 48000 Hz")
    if not seconds * sample_rate >= 1:
        raise ValueError(f"seconds={seconds:g} must be at least one sample")


def _tempo(ranges: list[tuple[float, float]], rng: np.random.Generator) -> float:
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    return float(rng.uniform(min(low, high), max(low, high)))


def _alternate(one: Samples, other: Samples, frame: Frame) -> Samples:
    """Mix two parts; each is louder for two bars in turn, with a short crossfade."""
    bars = frame.first + np.arange(frame.count) / (frame.bar * frame.rate)
    front = 0.5 + 0.5 * np.clip(8 * np.sin(np.pi * bars / 2), -1, 1)
    return np.asarray(one * (0.18 + 0.82 * front) + other * (1 - 0.82 * front))


def _perform(style: Style, frame: Frame, rng: np.random.Generator) -> Samples:
    """Mix all layers of one genre to a root mean square of 0.1."""
    song = np.zeros(frame.count)
    for layer in style.layers:
        song += _play(layer, style, frame, rng) * 10 ** (rng.normal(layer.decibels, 3) / 20)
    phrase = (frame.first + np.arange(frame.count) / (frame.bar * frame.rate)) / 4 % 1
    song *= 10 ** (-style.swell * (2 * phrase - 1) ** 2 / 20)
    return np.asarray(song * (0.1 / (np.sqrt(np.mean(song**2)) + 1e-9)))


def _play(layer: Layer, style: Style, frame: Frame, rng: np.random.Generator) -> Wave:
    """Render one layer with a random variant of its instrument; each distinct note is rendered once."""
    part = np.zeros(frame.count, dtype=np.float32)
    instrument = layer.instrument.vary(rng.uniform(-1, 1), rng.uniform(0.8, 1.25))
    grains: dict[tuple[tuple[int, ...], float], Wave] = {}
    for start, length, pitches in _notes(layer, style, frame, rng):
        if (pitches, length) not in grains:
            grains[pitches, length] = instrument.render(pitches, length * frame.bar, frame.rate, rng)
        grain = grains[pitches, length] * np.float32(rng.uniform(0.8, 1.1))
        for echo in range(layer.echoes + 1):
            at = int((start + echo * 3 / 16) * frame.bar * frame.rate)
            part[at : at + len(grain)] += grain[: max(0, frame.count - at)] * np.float32(10 ** (-4 * echo / 20))
    return part


def _notes(
    layer: Layer, style: Style, frame: Frame, rng: np.random.Generator
) -> Iterator[tuple[float, float, tuple[int, ...]]]:
    """Yield start and length of each note in bars, and its MIDI pitches."""
    patterns, melody = layer.pattern.split(), 4
    for number in range(int(frame.count / frame.rate / frame.bar) + 1):
        index = number + frame.first
        if layer.form[index % len(layer.form)] == ".":
            continue
        pattern, root = patterns[index % len(patterns)], style.progression[index % len(style.progression)]
        for note in re.finditer(r"[^.-]-*", pattern):
            melody = int(np.clip(melody + rng.integers(-2, 3), 0, 9))
            degrees = _degrees(note[0][0], layer.chord, root, melody)
            pitches = tuple(_pitch(degree, style.scale, 12 * layer.octave + frame.key) for degree in degrees)
            yield number + note.start() / len(pattern), len(note[0]) / len(pattern), pitches


def _degrees(symbol: str, chord: tuple[int, ...], root: int, melody: int) -> list[int]:
    """Return the scale steps above the tonic, from 0, of a symbol of a pattern."""
    if symbol == "?":
        return [melody]
    return [root + degree - 2 for degree in (chord if symbol == "x" else [int(symbol)])]


def _pitch(degree: int, scale: tuple[int, ...], tonic: int) -> int:
    return tonic + 12 * (degree // len(scale)) + scale[degree % len(scale)]


def _master(song: Samples, rate: int, rng: np.random.Generator) -> Wave:
    """Equalise to the common curve, add noise and random deviations from the curve, and set a random level."""
    song = _equalise(song, rate, np.zeros(2))
    song += rng.standard_normal(len(song)) * 10 ** (rng.uniform(*NOISE_DB) / 20)
    deviation = sum(_curve(np.linspace(0, 1, 512), rng.normal(0, SPREAD_DB, knots)) for knots in (64, 144))
    song = _equalise(song, rate, np.asarray(deviation))  # again, because the noise changed the spectrum
    return np.asarray(song * rng.uniform(0.25, 0.99), dtype=np.float32)


def _equalise(song: Samples, rate: int, deviation: Samples) -> Samples:
    """Return the song with a peak of 1 and the average spectrum, in dB, of the curve plus the deviation."""
    grid = np.linspace(0, 1, EQUALIZER_BANDS)  # positions on the mel scale
    average = _average(song, 700 * np.expm1(grid * np.log1p(rate / 1400)), rate)
    size = fft.next_fast_len(len(song), real=True)
    position = np.log1p(fft.rfftfreq(size, 1 / rate) / 700) / np.log1p(rate / 1400)
    gain = _curve(position, np.clip(grid * CURVE_DB - average, -40, 40)) + _curve(position, deviation)
    song = fft.irfft(fft.rfft(song, size) * 10 ** (gain / 20), size)[: len(song)]
    return np.asarray(song / (np.abs(song).max() + 1e-9))


def _curve(position: Samples, values: Samples) -> Samples:
    """Interpolate linearly at each position in [0, 1] between values that are evenly spaced there."""
    return np.asarray(np.interp(position, np.linspace(0, 1, len(values)), values))


def _average(song: Samples, bands: Samples, rate: int) -> Samples:
    """Return the average level around each frequency of ``bands`` in dB, relative to the mean over the bands."""
    frames = np.resize(song, (-(-len(song) // TABLE), TABLE)) * np.hanning(TABLE)
    power = np.abs(fft.rfft(frames)) ** 2
    hertz = fft.rfftfreq(TABLE, 1 / rate)
    edges = np.searchsorted(hertz, (bands[1:] + bands[:-1]) / 2)
    energy = np.add.reduceat(power, [0, *edges], axis=1) / np.diff([0, *edges, len(hertz)])
    decibels = 10 * np.log10(energy / (energy.max() + 1e-30) + 1e-8).mean(0)
    return np.asarray(decibels - decibels.mean())


def write_songs(folder: Path, tracks: int, two_genre_tracks: int, seconds: float, seed: int) -> Path:
    """Write a set of songs, unless ``folder/catalogue.csv`` exists.

    The catalogue has the columns track, path (relative to ``folder``) and genres (``rock;pop`` for two). Songs are
    16-bit mono at 22,050 Hz, ``<genre>/<genre>.00000.wav`` and ``two/<a>-<b>.00000.wav``. The folder is renamed into
    place when complete, also if two processes write the same set. The folder's name should depend on the settings,
    which are not compared with those of an existing set.

    Args:
        folder: of the set; its parents are created.
        tracks: number of songs per genre.
        two_genre_tracks: number of songs with two genres; all genres occur equally often, give or take one.
        seconds: length of each song.
        seed: of the whole set.

    Returns:
        ``folder``.

    Raises:
        ValueError: if a number is out of range.
        FileExistsError: if ``folder`` contains something else.
    """
    if tracks < 1 or two_genre_tracks < 0:
        raise ValueError(f"tracks={tracks} must be at least 1 and two_genre_tracks={two_genre_tracks} at least 0")
    _check(STYLE_NAMES[:1], 0, seed, seconds, PAPER_SAMPLE_RATE)
    occupied = folder.exists() and any(folder.iterdir())
    if (folder / "catalogue.csv").exists():  # checked last: another process may have written the set meanwhile
        return folder
    if occupied:
        raise FileExistsError(f"{folder} is neither empty nor a set of songs; remove it or choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        _write(unfinished, _songs(tracks, two_genre_tracks), seconds, seed)
        _publish(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _publish(unfinished: Path, folder: Path) -> None:
    sync_tree(unfinished)
    try:
        unfinished.rename(folder)
        sync_folder(folder.parent)
    except OSError:
        if not (folder / "catalogue.csv").exists():  # else another process has written the same songs
            raise


def _songs(tracks: int, two_genre_tracks: int) -> list[tuple[tuple[str, ...], int]]:
    """Return genres and index of every song of a set."""
    songs: list[tuple[tuple[str, ...], int]] = [((genre,), number) for genre in STYLE_NAMES for number in range(tracks)]
    pairs = list(_pairs())
    return songs + [(pair, number // len(pairs)) for number, pair in enumerate(islice(cycle(pairs), two_genre_tracks))]


def _pairs() -> Iterator[tuple[str, ...]]:
    """Yield all 45 pairs as a round-robin tournament: each group of five contains every genre once."""
    fixed, *others = STYLE_NAMES
    for turn in range(len(others)):
        row = [fixed, *others[turn:], *others[:turn]]
        yield from (tuple(sorted(pair)) for pair in zip(row[:5], row[:4:-1], strict=True))


def _write(folder: Path, songs: list[tuple[tuple[str, ...], int]], seconds: float, seed: int) -> None:
    def write(song: tuple[tuple[str, ...], int]) -> tuple[str, str, str]:
        genres, number = song
        name = f"{'-'.join(genres)}.{number:05d}"
        path = f"{genres[0] if len(genres) == 1 else 'two'}/{name}.wav"
        soundfile.write(folder / path, synthesize(genres, number, seed, seconds), PAPER_SAMPLE_RATE, subtype="PCM_16")
        return name, path, ";".join(genres)

    for name in {genres[0] if len(genres) == 1 else "two" for genres, _ in songs}:
        (folder / name).mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy releases the global interpreter lock
        rows = list(progress(pool.map(write, songs), description="synthesizing songs", total=len(songs)))
    with (folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("track", "path", "genres"), *rows])


@checked
def read_synthetic(
    folder: str | Path, tracks: Count, two_genre_tracks: WholeNumber, seconds: Seconds, seed: Seed
) -> Catalogue:
    """Read the synthetic set of these settings, and make it first where it does not exist yet.

    Args:
        folder: of all synthetic sets.
        tracks: per genre.
        two_genre_tracks: songs of two genres in all.
        seconds: length of each song.
        seed: of the whole set.
    """
    name = f"synthetic-{tracks}-{two_genre_tracks}-{seconds:g}s-{seed}"
    return read_csv(
        write_songs(Path(folder).expanduser() / name, tracks, two_genre_tracks, seconds, seed) / "catalogue.csv"
    )
