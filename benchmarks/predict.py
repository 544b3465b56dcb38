"""Files to genres with the model that comes along; baselines: its network alone, the decoder alone."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

import genre
from benchmarks.music import wav_files
from benchmarks.timing import Measurement, alternate
from genre.data.store_builder import parallel_map

FILES, SONGS = 16, 4
SONG_SECONDS = 240
ROUNDS = 2


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


def measure() -> list[Measurement]:
    """Seconds per file, starting the model included."""
    model = genre.load()
    with TemporaryDirectory() as folder:
        clips, songs = Path(folder, "clips"), Path(folder, "songs")
        clips.mkdir()
        songs.mkdir()
        excerpts = wav_files(FILES)
        for excerpt in excerpts:
            shutil.copy(excerpt, clips)
        for number in range(SONGS):
            write_song(excerpts[number::2][: SONG_SECONDS // 30], songs / f"{number}.mp3")
        decoded = [model.recording(path) for path in excerpts]

        def network() -> None:
            list(parallel_map(lambda recording: model.predict_recording(recording, "", False, None), decoded))

        alone, clip = alternate(network, lambda: predict_folder(clips), ROUNDS)
        paths = sorted(songs.iterdir())
        decoding, song = alternate(
            lambda: list(parallel_map(model.recording, paths)), lambda: predict_folder(songs), ROUNDS
        )
    return [
        Measurement("predict", "its network alone, 30-s WAVs", alone / FILES, clip / FILES),
        Measurement("predict", "its decoder alone, MP3s of 4 min", decoding / SONGS, song / SONGS),
    ]
