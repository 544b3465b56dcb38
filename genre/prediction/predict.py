"""A trained run as one module, from waveform to probabilities, and what it says of one's own music."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.progress import track as progress
from rich.table import Table
from torch import Tensor, nn

from genre import config
from genre.data.catalogue import Skipped, Track, rejection_reason, walk_files
from genre.data.pipeline import Pipeline
from genre.data.sources import decode_track
from genre.data.store import Key, Store, count_kinds
from genre.data.store_builder import parallel_map
from genre.errors import SkipReason, UserError
from genre.evaluation import figures
from genre.files import write_csv
from genre.models import checkpoint
from genre.transforms.views import Segments

WINDOWS_AT_ONCE = 64


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
        self.postprocessing = saved.postprocessing

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.pipeline.device

    def named(self, probabilities: Sequence[float]) -> str:
        """The genres that a track is said to have, ';' between: (genres,) -> 'pop;rock'."""
        has = self.postprocessing.predicted(self.task, torch.tensor(probabilities)).tolist()
        return ";".join(genre for genre, yes in zip(self.genres, has, strict=True) if yes)

    def uncertain(self, probabilities: Sequence[float]) -> bool | None:
        """Whether the best probability is too low to rely on: (genres,) -> bool; None where the run cannot tell."""
        uncertain = self.postprocessing.uncertain(torch.tensor(probabilities, dtype=torch.float64))
        return None if uncertain is None else bool(uncertain)

    @torch.inference_mode()
    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres)."""
        return self.heard(waveform, self.pipeline)

    @torch.inference_mode()
    def over_time(self, waveform: Tensor, hop: float | None = None) -> tuple[Tensor, Tensor]:
        """What a track sounds like along the way, in windows of the view's length from its beginning to its end.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate`` Hz.
            hop: about how far apart windows are, in seconds; None is half a window.

        Returns:
            begin and end of each window in seconds (windows, 2), and probabilities (windows, genres).
        """
        view = self.pipeline.view
        span = round(view.seconds * self.sample_rate)
        room = max(0, len(waveform) - span)
        hops = room / ((hop or view.seconds / 2) * self.sample_rate)
        count = 1 + max(0, math.ceil(hops - 0.1))  # a tenth of a hop more is no window of its own
        begins = torch.linspace(0, room, count, dtype=torch.float64).round().long()
        each = replace(self.pipeline, view=replace(view, crops=1)) if isinstance(view, Segments) else self.pipeline
        parts = []
        for some in begins.split(WINDOWS_AT_ONCE):
            parts.append(self.heard(torch.stack([waveform[begin : begin + span] for begin in some.tolist()]), each))
        ends = (begins + span).clamp_max(len(waveform))
        return torch.stack([begins, ends], dim=1) / self.sample_rate, torch.cat(parts)

    def heard(self, waveform: Tensor, pipeline: Pipeline) -> Tensor:
        """(batch, samples) in [-1, 1] -> probabilities (batch, genres), each the mean over the crops of a view."""
        tracks, samples = waveform.shape
        offsets = torch.arange(tracks + 1) * samples
        scaled = waveform.flatten() * 32768  # a store keeps the values of int16
        store = Store(Key("waveform", {}, None), [], self.sample_rate, offsets, scaled)
        pictures = pipeline.pictures(store, torch.arange(tracks))
        logits = self.network(pictures.flatten(0, 1)).float().unflatten(0, pictures.shape[:2])
        return self.postprocessing.probabilities(self.task, logits)


def load(run: str | Path) -> Model:
    """A run's best model, in evaluation mode, on the CPU.

    Example:
        >>> model = genre.load("outputs/train/cnn-multiclass/2026-11-22_09-00-00")
        >>> dict(zip(model.genres, model(waveform)[0].tolist()))

    Raises:
        UserError: if ``run`` is no run folder.
    """
    return Model(checkpoint.read_checkpoint(run)).eval()


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
        UserError: if the run is none, there is no such input, or no audio in it can be used.
    """
    values = config.plain(cfg)
    if not values["run"] or not values["input"]:
        raise UserError("predict.py needs run=FOLDER, which train.py printed, and input=FILE_OR_FOLDER")
    if values["hop"] is not None and values["hop"] <= 0:
        raise UserError(f"hop={values['hop']:g} must be positive")
    model, folder = load(values["run"]), Path(values["folder"])
    files, skipped = list_files(Path(values["input"]).expanduser())
    model.to(config.device_of(values))
    probabilities: dict[str, list[float]] = {}
    windows = Timeline(folder, model, values["hop"]) if values["over_time"] else None
    heard = parallel_map(lambda file: decode_track(Track(str(file), (), file), model.sample_rate), files)
    for file, samples in progress(zip(files, heard, strict=True), "listening", total=len(files), transient=True):
        if isinstance(samples, SkipReason):
            skipped.append(Skipped(str(file), *samples))
            continue
        waveform = (torch.from_numpy(samples).float() / 32768).to(model.device)
        probabilities[str(file)] = model(waveform[None])[0].tolist()
        if windows:
            windows.add(file, waveform, probabilities[str(file)])
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in skipped))
    if not probabilities:
        raise UserError(f"no file of {values['input']} can be used: {count_kinds(item.kind for item in skipped)}")
    write_predictions_table(folder / "predictions.csv", model, probabilities)
    if windows:
        windows.write()
    print_predictions(model, probabilities)
    return Prediction(folder, model.genres, probabilities)


def write_predictions_table(path: Path, model: Model, probabilities: Mapping[str, list[float]]) -> None:
    """Write what each file is; last, where the run knows, whether that is uncertain."""
    last = [] if model.postprocessing.uncertain_below is None else ["uncertain"]
    rows = (
        (file, model.named(each), *(f"{p:.6f}" for p in each), *["yes" if model.uncertain(each) else "no"][: len(last)])
        for file, each in probabilities.items()
    )
    write_csv(path, ("path", "predicted", *model.genres, *last), rows)


class Timeline:
    """Genres along each track: a figure a track, and one table of all.

    Args:
        folder: of over_time.csv and figures/over_time.
        model: that listens.
        hop: seconds between windows; None is half of one.
    """

    def __init__(self, folder: Path, model: Model, hop: float | None) -> None:
        self.folder, self.model, self.hop = folder, model, hop
        self.rows: list[tuple[str, ...]] = []
        self.names: set[str] = set()

    def add(self, file: Path, waveform: Tensor, mean: Sequence[float]) -> None:
        """Listen to a track, (samples,), of which ``mean`` is said as a whole, (genres,)."""
        spans, found = (part.double().cpu().numpy() for part in self.model.over_time(waveform, self.hop))
        for (begin, end), each in zip(spans, found, strict=True):
            self.rows.append((str(file), f"{begin:.2f}", f"{end:.2f}", *(f"{p:.6f}" for p in each)))
        figure = figures.over_time(spans[:, 0], spans[:, 1], found, np.array(mean), self.model.genres, file.name)
        figures.save_figure(figure, self.folder / "figures" / "over_time" / f"{self.named(file)}.png")

    def named(self, file: Path) -> str:
        """A name for a track's figure that no other has."""
        stem = file.stem.replace("=", "-")
        name, number = stem, 1
        while name in self.names:
            number += 1
            name = f"{stem}-{number}"
        self.names.add(name)
        return name

    def write(self) -> None:
        """Write the table."""
        write_csv(self.folder / "over_time.csv", ("path", "begin", "end", *self.model.genres), self.rows)


def list_files(path: Path) -> tuple[list[Path], list[Skipped]]:
    """The audio files to listen to, and what else lies there; a file that is named is tried whatever it is called.

    Raises:
        UserError: if there is nothing.
    """
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise UserError(f"there is no file or folder at input={path}")
    found = list(walk_files(path))
    files = [file for file in found if not rejection_reason(file)]
    if not files:
        raise UserError(f"there is no audio in input={path}")
    return files, [Skipped(str(file), *reason) for file in found if (reason := rejection_reason(file))]


def print_predictions(model: Model, probabilities: Mapping[str, list[float]]) -> None:
    """Print what each file is and its three most probable genres."""
    table = Table("file", "predicted", "most probable")
    for file, each in probabilities.items():
        ranked = sorted(zip(each, model.genres, strict=True), reverse=True)[:3]
        said = model.named(each) + (" (uncertain)" if model.uncertain(each) else "")
        table.add_row(escape(Path(file).name), said, ", ".join(f"{g} {p:.0%}" for p, g in ranked))
    Console().print(table)
