"""Functions that several test files import."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from mutagen.id3 import TALB, TCON, TDRC, TIT2, TPE1
from omegaconf import DictConfig, OmegaConf
from torch import nn

import genre
from genre.config.build import build_data, build_network, read_catalogue
from genre.config.settings import train_settings
from genre.data.datamodule import MusicData
from genre.paths import CONF, literal

TESTS = Path(__file__).parent


def csv_rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def csv_rows_by_key(path: Path, key: str = "track") -> dict[str, dict[str, str]]:
    """The rows of a CSV file by the values of one of its columns."""
    return {row[key]: row for row in csv_rows(path)}


@cache
def composed_options(config_name: str, *overrides: str) -> DictConfig:
    """A configuration that is composed once for all tests of a process."""
    return genre.compose(*overrides, config_name=config_name)


def composed(*overrides: str, config_name: str = "config") -> DictConfig:
    """As ``genre.compose``; tests with the same options share them, since Hydra takes a fifth of a second for each."""
    values = [override for override in overrides if is_value(override)]
    options = [override for override in overrides if override not in values]
    cfg = composed_options(config_name, "folder=x", *options).copy()
    if all(has_key(cfg, override.partition("=")[0]) for override in values):
        return with_values(cfg, values)
    return genre.compose(*overrides, config_name=config_name)


def has_key(cfg: DictConfig, key: str) -> bool:
    """Whether a configuration has a key, also one without a value."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and last in list(node.keys())


def is_value(override: str) -> bool:
    """Whether an override sets the value of one key: it names no option of a group, class, run or further key."""
    key, _, value = override.partition("=")
    of_a_value = key.replace(".", "").replace("_", "").isalnum() and not value.startswith("{")
    return of_a_value and not (CONF / key).is_dir() and key != "resume" and not key.endswith("_target_")


def with_values(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A configuration with the values of ``key=value`` in it, in place."""
    for override in OverridesParser.create().parse_overrides([literal(override) for override in overrides]):
        OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=True)
    return cfg


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
