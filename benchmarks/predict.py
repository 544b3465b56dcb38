"""Files to genres with the model that comes along; bounds: its network alone, the decoder alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

import genre
from benchmarks.machine import arithmetic_bound, operations
from benchmarks.music import wav_files
from benchmarks.timing import Bound, Measurement, alternate
from genre.data.pipeline import single_threaded
from genre.data.store_builder import parallel_map
from genre.prediction.waveforms import WaveformModel

FILES, SONGS = 96, 4
SONG_SECONDS = 240
ROUNDS = 5


def predict_folder(music: Path) -> None:
    """Predict a folder as the command does, into a new folder."""
    with TemporaryDirectory() as folder:
        genre.predict(genre.compose(f"input={music}", f"folder={folder}", config_name="predict"))


def write_song(excerpts: list[Path], path: Path) -> None:
    """Write an MP3 of 4 minutes in stereo at 44.1 kHz from excerpts at 22.05 kHz, each sample twice."""
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        for excerpt in excerpts:
            samples, rate = soundfile.read(excerpt, dtype="float32")
            samples = np.stack([samples.repeat(44_100 // rate)] * 2, 1)
            for begin in range(0, len(samples), 44_100):  # libsndfile's encoder crashes on long blocks
                file.write(samples[begin : begin + 44_100])


def file_operations(model: WaveformModel, path: Path) -> float:
    """Operations of the network for all windows of a file."""
    recording = model.recording(path)
    return operations(lambda: model.predict_recording(recording, "", False, None))


def write_music(folder: Path, excerpts: list[Path]) -> tuple[Path, Path]:
    """Write a folder of excerpts and one of songs made of them."""
    clips, songs = folder / "clips", folder / "songs"
    clips.mkdir()
    songs.mkdir()
    for number, excerpt in enumerate(excerpts):
        shutil.copy(excerpt, clips / f"{number}.wav")
    for number in range(SONGS):
        write_song(excerpts[number::2][: SONG_SECONDS // 30], songs / f"{number}.mp3")
    return clips, songs


def measure() -> Iterator[Measurement]:
    """Seconds per file, starting the model included; the bounds are parts of the work, or the network's arithmetic."""
    model, excerpts = genre.load(), wav_files(FILES)
    with TemporaryDirectory() as folder:
        clips, songs = write_music(Path(folder), excerpts)
        decoded, mp3s = [model.recording(path) for path in excerpts], sorted(songs.iterdir())

        def network() -> None:
            with single_threaded():
                list(parallel_map(lambda recording: model.predict_recording(recording, "", False, None), decoded))

        alone, clip = alternate([network, lambda: predict_folder(clips)], ROUNDS)
        arithmetic = arithmetic_bound(file_operations(model, excerpts[0]), "float32")
        yield Measurement(
            "the network on a decoded file of 30 s", alone * (1 / FILES), bound=arithmetic, precision="float32"
        )
        bound = Bound(alone.median / FILES, "its network alone")
        yield Measurement("a WAV of 30 s to its genres", clip * (1 / FILES), bound=bound, precision="float32")
        decoding, song = alternate(
            [lambda: list(parallel_map(model.recording, mp3s)), lambda: predict_folder(songs)], ROUNDS
        )
        bound = Bound(decoding.median / SONGS, "its decoder alone")
        yield Measurement("an MP3 of 4 minutes to its genres", song * (1 / SONGS), bound=bound, precision="float32")
