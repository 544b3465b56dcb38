"""Functions that several test files import."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import torch
from mutagen.id3 import TALB, TCON, TDRC, TIT2, TPE1
from omegaconf import DictConfig
from torch import nn

from genre.config.build import build_data, build_network, read_catalogue
from genre.config.settings import train_settings
from genre.data.datamodule import MusicData

TESTS = Path(__file__).parent


def csv_rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def csv_rows_by_key(path: Path, key: str = "track") -> dict[str, dict[str, str]]:
    """The rows of a CSV file by the values of one of its columns."""
    return {row[key]: row for row in csv_rows(path)}


def opened_data(cfg: DictConfig, network: nn.Module | None = None) -> MusicData:
    """Open the data module of a run on the CPU; the features of a frozen network, by default the run's, are cached."""
    settings = train_settings(cfg)
    catalogue = read_catalogue(settings.data)
    data = build_data(settings, catalogue, settings.split, torch.device("cpu"))
    data.assign_subsets()
    data.backbone = network or build_network(settings, len(data.genres))
    data.setup()
    return data


def memory(field: str) -> float:
    """A figure of this process's memory, in bytes: VmRSS (all), RssAnon (not a file's), VmHWM (the highest VmRSS).

    ru_maxrss does not serve: a child's begins with its parent's peak.
    """
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("asks Linux")
    status = Path("/proc/self/status").read_text()
    return next(1024.0 * int(line.split()[1]) for line in status.splitlines() if line.startswith(field))


def reset_peak_memory() -> float:
    """Let VmHWM begin anew; returns VmRSS."""
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    return before


def peak_memory(imports: str, code: str, *arguments: object) -> float:
    """Bytes by which a fresh process grows at most while it runs ``code`` after ``imports``."""
    first = "from helpers import memory, reset_peak_memory\nbefore = reset_peak_memory()"
    program = f"import sys\n{imports}\n{first}\n{code}\nprint(memory('VmHWM') - before)"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


ENCODINGS = {".mp3": ("MP3", "MPEG_LAYER_III"), ".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS")}
ID3_FRAMES = {"genre": TCON, "artist": TPE1, "album": TALB, "date": TDRC, "title": TIT2}


def write_song(path: Path, seconds: float = 1.2, seed: int = 0, gain: float = 1.0, **tags: str | list[str]) -> Path:
    """Write noise in the format that the name says, with tags (genre, artist, album, date, title) in its own manner."""
    samples = 0.1 * gain * np.random.default_rng(seed).standard_normal(round(seconds * 24_000))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".m4a":
        if not shutil.which("ffmpeg"):
            pytest.skip("ffmpeg is not installed")
        soundfile.write(path.with_suffix(".wav"), samples, 24_000)
        source = ["-i", path.with_suffix(".wav")]
        subprocess.run(["ffmpeg", "-v", "error", *source, "-map_metadata", "-1", path], check=True)
        path.with_suffix(".wav").unlink()
    else:
        container, subtype = ENCODINGS.get(path.suffix, (path.suffix[1:].upper(), "PCM_16"))
        soundfile.write(path, samples, 24_000, format=container, subtype=subtype)
    if tags:
        write_song_tags(path, tags)
    return path


def write_song_tags(path: Path, tags: dict[str, str | list[str]]) -> None:
    """Write tags by mutagen."""
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    for name, value in tags.items():
        values = [value] if isinstance(value, str) else value
        if path.suffix in (".wav", ".aiff"):
            file.tags.add(ID3_FRAMES[name](encoding=3, text=values))
        else:
            file[name] = values
    file.save()
