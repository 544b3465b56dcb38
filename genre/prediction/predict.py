"""The command `predict.py`: the genres of one's own music."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.progress import track as progress
from rich.table import Table

from genre.config.build import root_device
from genre.config.settings import PredictSettings, TrainerSettings, predict_settings
from genre.data.catalogue import Skipped, Track, audio_files
from genre.data.sources import decode_track
from genre.data.store import count_kinds
from genre.data.store_builder import parallel_map
from genre.errors import SkipReason, UserError
from genre.files import write_csv
from genre.prediction.model import Model, load
from genre.prediction.timeline import Timeline


@dataclass(frozen=True)
class Prediction:
    """The result of `predict`.

    Args:
        folder: contains predictions.csv and skipped.csv.
        genres: (genres,).
        probabilities: file -> (genres,).
    """

    folder: Path
    genres: tuple[str, ...]
    probabilities: dict[str, list[float]]


def predict(cfg: DictConfig | PredictSettings) -> Prediction:
    """Predict the genres of a file, or of all audio files below a folder.

    Raises:
        UserError: if the run or the input does not exist, or no file can be used.
    """
    settings = predict_settings(cfg)
    if not settings.run or not settings.input:
        raise UserError("predict.py needs run=FOLDER, which train.py printed, and input=FILE_OR_FOLDER")
    model, folder = load(settings.run, settings.trust), settings.folder
    files, skipped = list_files(settings.input)
    model.to(root_device(TrainerSettings(accelerator=settings.accelerator)))
    timeline = Timeline(folder, model, settings.hop) if settings.over_time else None
    probabilities, undecodable = predict_files(model, files, timeline)
    skipped += undecodable
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in skipped))
    if not probabilities:
        raise UserError(f"no file of {settings.input} can be used: {count_kinds(item.kind for item in skipped)}")
    write_predictions_table(folder / "predictions.csv", model, probabilities)
    if timeline:
        timeline.write_table()
    print_predictions(model, probabilities)
    return Prediction(folder, model.genres, probabilities)


def predict_files(
    model: Model, files: Sequence[Path], timeline: Timeline | None
) -> tuple[dict[str, list[float]], list[Skipped]]:
    """Decode and predict files one by one, in windows over time too where a timeline is given.

    Returns:
        File -> probabilities (genres,); and the files that cannot be decoded.
    """
    probabilities: dict[str, list[float]] = {}
    skipped = []
    decoded = parallel_map(lambda file: decode_track(Track(str(file), (), file), model.sample_rate), files)
    for file, samples in progress(zip(files, decoded, strict=True), "predicting", total=len(files), transient=True):
        if isinstance(samples, SkipReason):
            skipped.append(Skipped(str(file), *samples))
            continue
        waveform = (torch.from_numpy(samples).float() / 32768).to(model.device)
        probabilities[str(file)] = model(waveform[None])[0].tolist()
        if timeline:
            timeline.add(file, waveform, probabilities[str(file)])
    return probabilities, skipped


def write_predictions_table(path: Path, model: Model, probabilities: Mapping[str, list[float]]) -> None:
    """Write the predicted genres and probabilities per file; a column 'uncertain' if the run has a threshold for it."""
    last = [] if model.postprocessing.uncertain_below is None else ["uncertain"]
    rows = []
    for file, values in probabilities.items():
        uncertain = ["yes" if model.is_uncertain(values) else "no"][: len(last)]
        rows.append((file, model.predicted_names(values), *(f"{p:.6f}" for p in values), *uncertain))
    write_csv(path, ("path", "predicted", *model.genres, *last), rows)


def list_files(path: Path) -> tuple[list[Path], list[Skipped]]:
    """Return the audio files of a folder and the skipped files; a path to a file is accepted with any name.

    Raises:
        UserError: if the path does not exist, or the folder has no audio.
    """
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise UserError(f"there is no file or folder at input={path}")
    files, skipped = audio_files(path)
    if not files:
        raise UserError(f"there is no audio in input={path}")
    return files, skipped


def print_predictions(model: Model, probabilities: Mapping[str, list[float]]) -> None:
    """Print the predicted and the three most probable genres of each file."""
    table = Table("file", "predicted", "most probable")
    for file, values in probabilities.items():
        ranked = sorted(zip(values, model.genres, strict=True), reverse=True)[:3]
        predicted = model.predicted_names(values) + (" (uncertain)" if model.is_uncertain(values) else "")
        table.add_row(escape(Path(file).name), predicted, ", ".join(f"{g} {p:.0%}" for p, g in ranked))
    Console().print(table)
