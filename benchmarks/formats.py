"""How far predictions of one recording differ between formats: python -m benchmarks.formats FOLDER [RUN]

Each WAV below FOLDER is converted by FFmpeg and predicted by RUN, or by the model that comes with the program.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import genre
from genre.data.store_builder import parallel_map
from genre.prediction.prediction import Prediction
from genre.prediction.waveforms import WaveformModel

MOVED = 0.05  # of a probability
FORMATS = {  # name -> file name and FFmpeg's options
    "flac": ("a.flac", ""),
    "ogg (Vorbis), FFmpeg's default quality": ("a.ogg", ""),
    "ogg (Vorbis), quality 6": ("b.ogg", "-q:a 6"),
    "mp3, 128 kbit/s": ("a.mp3", "-b:a 128k"),
    "m4a (AAC), 128 kbit/s": ("a.m4a", "-b:a 128k"),
    "wav, 44.1 kHz, stereo": ("a.wav", "-ar 44100 -ac 2"),
    "mp3, 128 kbit/s, 44.1 kHz, stereo": ("b.mp3", "-b:a 128k -ar 44100 -ac 2"),
}


def converted_prediction(model: WaveformModel, name: str, options: str, excerpt: Path) -> Prediction:
    """Predict a recording in another format."""
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        subprocess.run(["ffmpeg", "-v", "error", "-i", excerpt, *options.split(), path], check=True)
        return model.predict(path)


def largest_difference(one: Prediction, other: Prediction) -> float:
    """The largest difference between the probabilities of a genre."""
    return max(abs(a - b) for a, b in zip(one.probabilities, other.probabilities, strict=True))


def main(folder: Path, run: Path | None) -> None:
    """Print a row per format: how many recordings moved, how many have another genre, and the largest difference."""
    model, excerpts = genre.load(run), sorted(folder.rglob("*.wav"))
    originals = model.predict(excerpts)
    print(f"| {len(excerpts)} recordings as | moved by more than {MOVED} | other genre | largest difference |")
    print("|---|---:|---:|---:|")
    for name, (file, options) in FORMATS.items():
        answers = list(parallel_map(partial(converted_prediction, model, file, options), excerpts))
        pairs = list(zip(originals, answers, strict=True))
        differences = [largest_difference(*pair) for pair in pairs]
        moved = sum(difference > MOVED for difference in differences)
        changed = sum(one.most_probable(1)[0][0] != other.most_probable(1)[0][0] for one, other in pairs)
        print(f"| {name} | {moved} | {changed} | {max(differences):.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
