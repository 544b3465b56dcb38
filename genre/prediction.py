"""A trained run as one module, from waveform to probabilities, and what it says of one's own music."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.progress import track as progress
from rich.table import Table
from torch import Tensor, nn

from genre import checkpoint, config
from genre.building import in_parallel
from genre.catalogue import Skipped, Track, files_below, unusable
from genre.errors import Mistake
from genre.files import write_csv
from genre.sources import decoded
from genre.store import Key, Store, counted
from genre.tasks import Multilabel


class Model(nn.Module):
    """A run's best network behind its own front end.

    Args:
        saved: the run's checkpoint.
    """

    def __init__(self, saved: checkpoint.Checkpoint) -> None:
        super().__init__()
        self.genres = saved.genres
        self.task = config.task_of(saved.config)
        self.pipeline = config.pipeline_of(saved.config)
        self.spectrogram = self.pipeline.spectrogram
        self.sample_rate = self.spectrogram.sample_rate
        self.network = config.trained_network(saved)
        self.thresholds = saved.thresholds

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.pipeline.device

    def named(self, probabilities: Sequence[float]) -> str:
        """The genres that a track is said to have, ';' between: (genres,) -> 'pop;rock'."""
        values = torch.tensor(probabilities)
        has = self.task.decide(values)
        if self.thresholds is not None and isinstance(self.task, Multilabel) and self.task.thresholds != "fixed":
            has = values > torch.from_numpy(self.thresholds)
        return ";".join(genre for genre, yes in zip(self.genres, has.tolist(), strict=True) if yes)

    @torch.inference_mode()
    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""
        tracks, samples = waveform.shape
        offsets = torch.arange(tracks + 1) * samples
        scaled = waveform.flatten() * 32768  # a store keeps the values of int16
        store = Store(Key("waveform", {}, None), [], self.sample_rate, offsets, scaled)
        pictures = self.pipeline.pictures(store, torch.arange(tracks))
        logits = self.network(pictures.flatten(0, 1)).float().unflatten(0, pictures.shape[:2])
        return self.task.probabilities(logits).mean(dim=1)


def load(run: str | Path) -> Model:
    """A run's best model, in evaluation mode, on the CPU.

    Example:
        >>> model = genre.load("outputs/train/cnn-multiclass/2026-11-22_09-00-00")
        >>> dict(zip(model.genres, model(waveform)[0].tolist()))

    Raises:
        Mistake: if ``run`` is no run folder.
    """
    return Model(checkpoint.read(run)).eval()


@dataclass(frozen=True)
class Prediction:
    """What a run says of some music.

    Args:
        folder: where predictions.csv and skipped.csv lie.
        genres: (genres,).
        probabilities: file -> (genres,).
    """

    folder: Path
    genres: tuple[str, ...]
    probabilities: dict[str, list[float]]


def predict(cfg: DictConfig) -> Prediction:
    """Name the genres of a file, or of all audio below a folder.

    Raises:
        Mistake: if the run is none, there is no such input, or no audio in it can be used.
    """
    values = config.plain(cfg)
    if not values["run"] or not values["input"]:
        raise Mistake("predict.py needs run=FOLDER, which train.py printed, and input=FILE_OR_FOLDER")
    model, folder = load(values["run"]), Path(values["folder"])
    files, skipped = listed(Path(values["input"]).expanduser())
    model.to(config.device_of(values))
    probabilities: dict[str, list[float]] = {}
    heard = in_parallel(lambda file: decoded(Track(str(file), (), file), model.sample_rate), files)
    for file, samples in progress(zip(files, heard, strict=True), "listening", total=len(files), transient=True):
        if isinstance(samples, str):
            skipped.append(Skipped(str(file), samples))
        else:
            waveform = torch.from_numpy(samples).float()[None] / 32768
            probabilities[str(file)] = model(waveform.to(model.device))[0].tolist()
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in skipped))
    if not probabilities:
        raise Mistake(f"no file of {values['input']} can be used: {counted(item.reason for item in skipped)}")
    rows = ((file, model.named(each), *(f"{p:.6f}" for p in each)) for file, each in probabilities.items())
    write_csv(folder / "predictions.csv", ("path", "predicted", *model.genres), rows)
    show(model, probabilities)
    return Prediction(folder, model.genres, probabilities)


def listed(path: Path) -> tuple[list[Path], list[Skipped]]:
    """The audio files to listen to, and what else lies there; a file that is named is tried whatever it is called.

    Raises:
        Mistake: if there is nothing.
    """
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise Mistake(f"there is no file or folder at input={path}")
    found = list(files_below(path))
    files = [file for file in found if not unusable(file)]
    if not files:
        raise Mistake(f"there is no audio in input={path}")
    return files, [Skipped(str(file), reason) for file in found if (reason := unusable(file))]


def show(model: Model, probabilities: Mapping[str, list[float]]) -> None:
    """Print what each file is and its three most probable genres."""
    table = Table("file", "predicted", "most probable")
    for file, each in probabilities.items():
        ranked = sorted(zip(each, model.genres, strict=True), reverse=True)[:3]
        table.add_row(escape(Path(file).name), model.named(each), ", ".join(f"{g} {p:.0%}" for p, g in ranked))
    Console().print(table)
