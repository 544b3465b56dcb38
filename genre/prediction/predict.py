"""The command `predict.py`: the genres of one's own music."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.progress import track as progress
from rich.table import Table

from genre.config.settings import PredictSettings, TrainerSettings, predict_settings
from genre.data.catalogue import Skipped, Track, audio_files
from genre.data.content import Content, array_hash, file_hash
from genre.data.sources import decode_track
from genre.data.split_record import SeenTrack, SplitRecord, read_split
from genre.data.store import count_kinds
from genre.data.store_builder import parallel_map
from genre.errors import SkipReason, UserError
from genre.files import write_csv
from genre.prediction.exported import ExportedModel
from genre.prediction.loading import load
from genre.prediction.timeline import Timeline
from genre.prediction.waveforms import WaveformModel
from genre.tagging.changes import write_tags
from genre.tagging.undo import undo_tags
from genre.terminal import plain_console

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The result of `predict`.

    Args:
        folder: contains predictions.csv and skipped.csv.
        genres: (genres,).
        probabilities: file -> (genres,).
        seen: file -> the training or validation track of the run with the same content.
    """

    folder: Path
    genres: tuple[str, ...]
    probabilities: dict[str, list[float]]
    seen: dict[str, SeenTrack]


def predict(cfg: DictConfig | PredictSettings) -> Prediction:
    """Predict the genres of a file, or of all audio files below a folder.

    Raises:
        UserError: if the run or the input does not exist, or no file can be used.
    """
    settings = predict_settings(cfg)
    if settings.undo:
        undo_tags(settings.undo)
        return Prediction(settings.folder, (), {}, {})
    if not settings.input:
        raise UserError("predict.py needs input=FILE_OR_FOLDER, and run=FOLDER for a model of your own")
    model, folder = load(settings.run, settings.trust), settings.folder
    record = comparable_record(model.folder) if settings.run else None
    if not settings.run:
        log.info("the model that comes with the program answers (it learnt from GTZAN): %s", ", ".join(model.genres))
    if model.synthetic:
        log.warning("the model learnt from synthetic music; what it says about real music means nothing")
    files, skipped = list_files(settings.input)
    if model.columns:
        log.info("the run knows %s of tracks, too; files are predicted from the music alone", ", ".join(model.columns))
    if not isinstance(model, ExportedModel):  # which stays on the CPU
        from genre.config.build import root_device  # imports Lightning

        model.to(root_device(TrainerSettings(accelerator=settings.accelerator)))
    timeline = Timeline(folder, model, settings.hop) if settings.over_time else None
    probabilities, seen, undecodable = predict_files(model, files, timeline, record)
    skipped += undecodable
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in skipped))
    if not probabilities:
        raise UserError(f"no file of {settings.input} can be used: {count_kinds(item.kind for item in skipped)}")
    write_predictions_table(folder / "predictions.csv", model, probabilities, seen if record else None)
    if timeline:
        timeline.write_table()
    if settings.write_tags:
        write_tags(folder, certain_genres(model, probabilities), settings.overwrite, settings.dry_run)
    print_predictions(model, probabilities, seen)
    if seen:
        from genre.evaluation.music import tracks_of  # imports Lightning

        log.warning(
            "the run was trained or validated on %s of these %d; predictions for them say nothing about other music",
            tracks_of([Path(file).name for file in seen]), len(probabilities),
        )  # fmt: skip
    return Prediction(folder, model.genres, probabilities, seen)


def certain_genres(model: WaveformModel, probabilities: Mapping[str, list[float]]) -> dict[Path, list[str]]:
    """File -> its predicted genres; none where the prediction is uncertain."""
    names = {file: "" if model.is_uncertain(p) else model.predicted_names(p) for file, p in probabilities.items()}
    return {Path(file): predicted.split(";") if predicted else [] for file, predicted in names.items()}


def comparable_record(run: Path | None) -> SplitRecord | None:
    """Return the split of a run if files can be compared with its tracks; else None, and a line in the log."""
    record = read_split(run) if run else None
    if record and any(content.file for content in record.contents.values()):
        return record
    log.info("whether the run was trained on these files is unknown: it recorded no hashes of audio files")
    return None


def predict_files(
    model: WaveformModel, files: Sequence[Path], timeline: Timeline | None, record: SplitRecord | None
) -> tuple[dict[str, list[float]], dict[str, SeenTrack], list[Skipped]]:
    """Decode and predict files one by one, in windows over time too where a timeline is given.

    Returns:
        File -> probabilities (genres,); file -> the training or validation track that it is; undecodable files.
    """
    probabilities: dict[str, list[float]] = {}
    seen, skipped = {}, []
    tracks = [Track(str(file), (), file) for file in files]
    decoded = parallel_map(lambda track: decode_track(track, model.sample_rate), tracks)
    for track, samples in progress(zip(tracks, decoded, strict=True), "predicting", total=len(files), transient=True):
        file = Path(track.name)
        if isinstance(samples, SkipReason):
            skipped.append(Skipped(str(file), *samples))
            continue
        if record and (same := record.seen_track(Content(file_hash(track), array_hash(samples)))):
            seen[str(file)] = same
        waveform = (torch.from_numpy(samples).float() / 32768).to(model.device)
        probabilities[str(file)] = model(waveform[None])[0].tolist()
        if timeline:
            timeline.add(file, waveform, probabilities[str(file)])
    return probabilities, seen, skipped


def write_predictions_table(
    path: Path, model: WaveformModel, probabilities: Mapping[str, list[float]], seen: Mapping[str, SeenTrack] | None
) -> None:
    """Write the predicted genres and probabilities per file.

    A column 'uncertain' exists if the run has a threshold for it, 'seen' (train, val or empty) if that is known.
    """
    header = ["path", "predicted", *model.genres]
    rows = [[file, model.predicted_names(p), *(f"{value:.6f}" for value in p)] for file, p in probabilities.items()]
    if model.postprocessing.uncertain_below is not None:
        header.append("uncertain")
        rows = [[*row, "yes" if model.is_uncertain(probabilities[row[0]]) else "no"] for row in rows]
    if seen is not None:
        header.append("seen")
        rows = [[*row, seen[row[0]].subset if row[0] in seen else ""] for row in rows]
    write_csv(path, header, rows)


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


def print_predictions(
    model: WaveformModel, probabilities: Mapping[str, list[float]], seen: Mapping[str, SeenTrack]
) -> None:
    """Print the predicted and the three most probable genres of each file."""
    table = Table("file", "predicted", "most probable")
    for file, values in probabilities.items():
        ranked = sorted(zip(values, model.genres, strict=True), reverse=True)[:3]
        predicted = model.predicted_names(values) + (" (uncertain)" if model.is_uncertain(values) else "")
        name = Path(file).name + (f" ({seen[file].subset} track)" if file in seen else "")
        table.add_row(name, predicted, ", ".join(f"{g} {p:.0%}" for p, g in ranked))
    plain_console().print(table)
