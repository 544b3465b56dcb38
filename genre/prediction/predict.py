"""The command `predict.py`: the genres of one's own music."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from genre.config.settings import PredictSettings, predict_settings
from genre.data.audio import Recording
from genre.data.catalogue import Skipped, Track, printable_name
from genre.data.content import Content, array_hash, file_hash
from genre.data.split_record import SeenTrack, SplitRecord, read_split
from genre.data.store import count_kinds
from genre.data.store_builder import completed
from genre.errors import BadAudio, SkipKind, UserError
from genre.files import SizeAndTime, exclusive_lock, size_and_time, write_csv
from genre.prediction.collection import (
    TrackFeatures,
    features_of_answers,
    find_neighbours,
    read_collection,
    write_neighbours,
)
from genre.prediction.exported import ExportedModel
from genre.prediction.inputs import list_inputs
from genre.prediction.loading import load
from genre.prediction.prediction import NO_FEATURES, Neighbour, Prediction
from genre.prediction.results import Answer, ResultFiles
from genre.prediction.waveforms import WaveformModel
from genre.progress import PerSecond
from genre.tagging.changes import write_tags
from genre.tagging.undo import undo_tags
from genre.terminal import plain_console

log = logging.getLogger(__name__)

FEW_FILES = 50  # more are not printed one by one
FEW_TIMELINES = 5
NAMED_FILES = 20  # skipped ones
NO_MUSIC = (SkipKind.NOT_AUDIO, SkipKind.HIDDEN)  # skipped without a line in the log


@dataclass(frozen=True)
class PredictedFiles:
    """The result of `predict`.

    Args:
        folder: contains predictions.csv or predictions.jsonl, and skipped.csv.
        genres: (genres,).
        probabilities: file -> (genres,).
        seen: file -> the training or validation track of the run with the same content.
        neighbours: file -> the most similar tracks, if they were asked for.
    """

    folder: Path
    genres: tuple[str, ...]
    probabilities: dict[str, list[float]]
    seen: dict[str, SeenTrack]
    neighbours: dict[str, list[Neighbour]]


class PredictedFile(NamedTuple):
    """A prediction, the stamp of the file before it was read, and the run's track with the same content."""

    prediction: Prediction
    stamp: SizeAndTime
    seen: SeenTrack | None


def predict(cfg: DictConfig | PredictSettings) -> PredictedFiles:
    """Predict the genres of files, folders and playlists.

    In a folder with results of the same model, only new and changed files are predicted.

    Raises:
        UserError: if the run or an input does not exist, or no file can be used.
    """
    settings = predict_settings(cfg)
    if settings.undo:
        undo_tags(settings.undo)
        return PredictedFiles(settings.folder, (), {}, {}, {})
    if not settings.input:
        raise UserError("predict.py needs input=FILE_OR_FOLDER, and run=FOLDER for a model of your own")
    model, folder = load(settings.run, settings.trust), settings.folder
    record = comparable_record(model.folder) if settings.run else None
    introduce(model, settings.run)
    files, skipped = list_inputs(settings.input)
    check_comparable(model, files, settings)
    if not isinstance(model, ExportedModel):  # which stays on the CPU
        from genre.config.build import accelerator_device  # imports Lightning

        model.to(accelerator_device(settings.accelerator))
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / ".lock", f"predicting into {folder}"):
        results = ResultFiles(model, settings, record is not None)
        collection = read_collection(results, settings.collection) if settings.collection else None
        try:
            predict_new(results, files, record, skipped)
        except KeyboardInterrupt:
            log.warning("interrupted; the same command with hydra.run.dir=%s continues", folder)
            raise
        finally:
            rows = ((printable_name(item.path), item.reason) for item in skipped)
            write_csv(folder / "skipped.csv", ("path", "reason"), rows)
        results.write(files)
    report_skipped(skipped, folder)
    answers = [results.answers[str(file)] for file in files if str(file) in results.answers]
    if not answers:
        inputs = ", ".join(map(str, settings.input))
        raise UserError(f"no file of {inputs} can be used: {count_kinds(item.kind for item in skipped)}")
    print_results(results, answers)
    neighbours = name_neighbours(results, answers, collection) if settings.neighbours else {}
    if settings.write_tags:
        write_certain_genres(results, answers)
    named = [(answer.prediction.name, answer) for answer in answers]
    probabilities = {name: list(answer.prediction.probabilities) for name, answer in named}
    seen = {name: answer.seen for name, answer in named if answer.seen}
    return PredictedFiles(folder, model.genres, probabilities, seen, neighbours)


def name_neighbours(
    results: ResultFiles, answers: Sequence[Answer], collection: TrackFeatures | None
) -> dict[str, list[Neighbour]]:
    """Find, write and print the most similar tracks of each answered file.

    Args:
        collection: in which they are looked for; None: among the answered files.
    """
    settings, own = results.settings, features_of_answers(results.features, answers)
    neighbours = find_neighbours(own, collection or own, settings.neighbours)
    write_neighbours(results.folder, neighbours, settings.format)
    print_neighbours(neighbours)
    return neighbours


def certain_genres(results: ResultFiles, answers: Sequence[Answer]) -> dict[Path, list[str]]:
    """File -> its predicted genres; none where the prediction is uncertain."""
    named = ((answer.prediction, results.named(answer.prediction)) for answer in answers)
    return {Path(prediction.name): [] if prediction.uncertain else genres for prediction, genres in named}


def write_certain_genres(results: ResultFiles, answers: Sequence[Answer]) -> None:
    """Write genres into the tags of files, or show what would be written; the files count as unchanged."""
    settings = results.settings
    changes = write_tags(results.folder, certain_genres(results, answers), settings.overwrite, settings.dry_run)
    written = set() if settings.dry_run else {change.path for change in changes if not change.unchanged}
    results.renew_stamps(answer for answer in answers if Path(answer.prediction.name).absolute() in written)


def introduce(model: WaveformModel, run: Path | None) -> None:
    """Log what is special about a model."""
    if not run:
        log.info("the model that comes with the program answers (it learnt from GTZAN): %s", ", ".join(model.genres))
    if model.synthetic:
        log.warning("the model learnt from synthetic music; what it says about real music means nothing")
    if model.columns:
        log.info("the run knows %s of tracks, too; files are predicted from the music alone", ", ".join(model.columns))


def check_comparable(model: WaveformModel, files: Sequence[Path], settings: PredictSettings) -> None:
    """Check that neighbours can be found, before files are predicted.

    Raises:
        UserError: if the model has no features, or there is nothing to compare with.
    """
    if settings.neighbours and not model.has_features:
        raise UserError(f"neighbours={settings.neighbours}: {NO_FEATURES}")
    if settings.neighbours and len(files) < 2 and not settings.collection:
        raise UserError(
            f"neighbours={settings.neighbours} compares several files; name more in input=, or in collection= the "
            "folder of an earlier call with neighbours=…"
        )


def comparable_record(run: Path | None) -> SplitRecord | None:
    """Return the split of a run if files can be compared with its tracks; else None, and a line in the log."""
    record = read_split(run) if run else None
    if record and any(content.file for content in record.contents.values()):
        return record
    log.info("whether the run was trained on these files is unknown: it recorded no hashes of audio files")
    return None


def predict_new(
    results: ResultFiles, files: Sequence[Path], record: SplitRecord | None, skipped: list[Skipped]
) -> None:
    """Predict the files that have no answer yet, one per core at a time.

    Args:
        skipped: receives those that cannot be used.
    """
    new, model, settings = results.begin(files), results.model, results.settings
    if len(new) < len(files):
        log.info("%d of %d files were predicted before", len(files) - len(new), len(files))

    def predict_one(file: Path) -> PredictedFile | Skipped:
        try:
            stamp, recording = size_and_time(file), model.recording(file)
        except BadAudio as bad:
            return Skipped(str(file), *bad.reason)
        seen = record.seen_track(content_of(file, recording)) if record else None
        prediction = model.predict_recording(recording, str(file), settings.timeline, settings.hop)
        return PredictedFile(prediction, stamp, seen)

    workers = max(1, min(len(new), os.cpu_count() or 1))
    with threads_per_worker(workers, model.device), progress_bar() as bar:
        task = bar.add_task("predicting", total=len(new))
        for outcome in completed(predict_one, new, workers):
            if isinstance(outcome, Skipped):
                skipped.append(outcome)
            else:
                results.add(*outcome)
            bar.advance(task)


def content_of(file: Path, recording: Recording) -> Content:
    """The content of a file; of a recording that is not kept in memory, only the file's hash is compared."""
    decoded = "" if recording.samples is None else array_hash(recording.samples)
    return Content(file_hash(Track(str(file), (), file)), decoded)


@contextmanager
def threads_per_worker(workers: int, device: torch.device) -> Iterator[None]:
    """Share PyTorch's threads among workers: two tracks on one thread each are faster than one on two threads."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, threads // workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def progress_bar() -> Progress:
    """A bar with the number of files, files per second and the time left."""
    columns = BarColumn(), MofNCompleteColumn(), PerSecond("files"), TimeRemainingColumn()
    return Progress(TextColumn("{task.description}"), *columns, transient=True, console=plain_console(stderr=True))


def report_skipped(skipped: Sequence[Skipped], folder: Path) -> None:
    """Log a line per file that should be music and cannot be used."""
    bad = [item for item in skipped if item.kind not in NO_MUSIC]
    for item in bad[:NAMED_FILES]:
        log.warning("skipped %s: %s", printable_name(item.path), item.reason)
    if len(bad) > NAMED_FILES:
        log.warning("%d more are listed in %s", len(bad) - NAMED_FILES, folder / "skipped.csv")


def print_results(results: ResultFiles, answers: Sequence[Answer]) -> None:
    """Print the genres of a few files, or how many have each genre; log which were seen in training."""
    if len(answers) <= FEW_FILES:
        print_files(results, answers)
    else:
        print_genres(results, answers)
    if results.settings.timeline and len(answers) <= FEW_TIMELINES:
        print_segments(answers)
    if seen := [Path(answer.prediction.name).name for answer in answers if answer.seen]:
        from genre.evaluation.music import tracks_of  # imports Lightning

        log.warning(
            "the run was trained or validated on %s of these %d; predictions for them say nothing about other music",
            tracks_of(seen), len(answers),
        )  # fmt: skip


def print_files(results: ResultFiles, answers: Sequence[Answer]) -> None:
    """Print the predicted and the most probable genres of each file."""
    table = Table("file", "predicted", "most probable")
    for answer in answers:
        prediction = answer.prediction
        predicted = ";".join(results.named(prediction)) + (" (uncertain)" if prediction.uncertain else "")
        name = Path(prediction.name).name + (f" ({answer.seen.subset} track)" if answer.seen else "")
        ranked = ", ".join(f"{genre} {value:.0%}" for genre, value in results.ranked(prediction))
        table.add_row(printable_name(name), predicted, ranked)
    plain_console().print(table)


def print_genres(results: ResultFiles, answers: Sequence[Answer]) -> None:
    """Print how many files have each predicted genre."""
    counts = Counter(genre for answer in answers for genre in results.named(answer.prediction) or ["none"])
    table = Table("predicted", "files")
    for genre, count in counts.most_common():
        table.add_row(genre, str(count))
    plain_console().print(table)


def print_neighbours(neighbours: Mapping[str, Sequence[Neighbour]]) -> None:
    """Print the most similar tracks of a few files."""
    table = Table("file", "most similar")
    for path, found in neighbours.items():
        lines = (f"{Path(one.name).name} {one.similarity:.2f}{' (copy)' if one.is_copy else ''}" for one in found)
        table.add_row(printable_name(Path(path).name), "\n".join(map(printable_name, lines)))
    if len(neighbours) <= FEW_FILES:
        plain_console().print(table)


def print_segments(answers: Sequence[Answer]) -> None:
    """Print from when to when each file has which genre."""
    table = Table("file", "genre over time")
    for answer in answers:
        timeline = answer.prediction.timeline
        assert timeline is not None
        table.add_row(printable_name(Path(answer.prediction.name).name), "\n".join(map(str, timeline.segments)))
    plain_console().print(table)
