"""Evaluate the best checkpoint of a run on a subset or on other music, or compare many runs."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from genre.config.build import accelerator_device, recorded_settings, trained_branch, trained_network
from genre.config.settings import (
    DataSettings,
    EvaluateSettings,
    TrainSettings,
    evaluate_settings,
)
from genre.data.content import track_contents
from genre.data.datamodule import MusicData
from genre.data.genre_tree import GenreTree
from genre.data.split_record import SplitRecord, write_split
from genre.errors import UserError
from genre.evaluation import comparison, figures, gradcam, thresholds
from genre.evaluation import report as reporting
from genre.evaluation.calibration import reliability_bins
from genre.evaluation.chance import chance_notes, compare_with_commonest
from genre.evaluation.levels import at_level, level_notes, upper_levels
from genre.evaluation.metrics import compute_metrics, metric_intervals
from genre.evaluation.music import open_other_music, open_own_music, recorded_tracks
from genre.evaluation.predictions import Predictions, apply_temperature, apply_thresholds, predict_subset
from genre.evaluation.report import figure_title, write_skipped
from genre.files import write_json
from genre.models import checkpoint
from genre.models.classifier import Classifier
from genre.models.postprocessing import PostProcessing
from genre.models.pretrained import read_network
from genre.redaction import redacted
from genre.terminal import counted

log = logging.getLogger(__name__)

WITHOUT_PROBABILITIES = ("exact", "jaccard", "micro_f1", "macro_f1")  # multilabel metrics of predicted genres alone
OF_A_LEVEL = ("accuracy", *WITHOUT_PROBABILITIES)


@dataclass(frozen=True)
class Evaluation:
    """The folder of an evaluation and its metrics; for many runs the rows of their table."""

    folder: Path
    metrics: dict[str, Any]


def subset_metrics(
    predictions: Predictions, subset: str, intervals: bool, postprocessing: PostProcessing, tree: GenreTree
) -> dict[str, Any]:
    """Return the metrics of a subset; for several genres also those at tuned thresholds and of the baselines.

    The calibration error has no interval: resampled tracks are noisier in every bin, which biases their errors upwards.

    Args:
        tree: of the genres; at each level above the lowest the metrics are computed, too.
    """
    values = named_metrics(predictions, subset, intervals) | {f"{subset}/ece": reliability_bins(predictions).error}
    if postprocessing.thresholds is not None:
        at_tuned = replace(predictions, predicted=predictions.probabilities > postprocessing.thresholds.numpy())
        values |= named_metrics(at_tuned, subset, intervals, "_tuned")
    if predictions.multilabel and postprocessing.most_common_set is not None:
        baselines = thresholds.baseline_predictions(predictions, postprocessing.most_common_set.tolist())
        for name, baseline in baselines.items():
            values |= named_metrics(baseline, subset, False, f"_{name}", WITHOUT_PROBABILITIES)
    for level in upper_levels(predictions.genres, tree):
        coarse = at_level(predictions, tree, level)
        values |= named_metrics(coarse, subset, intervals, f"_level_{level}", OF_A_LEVEL)
    return values


def music_alone_metrics(
    classifier: Classifier, data: MusicData, subset: str, postprocessing: PostProcessing
) -> dict[str, Any]:
    """Return the metrics of a subset without its metadata, under names that end in '_music_alone'.

    Args:
        postprocessing: fitted to the music alone.
    """
    predictions = predict_subset(classifier, data, subset, music_alone=True)
    return named_metrics(apply_temperature(predictions, data.task, postprocessing), subset, False, "_music_alone")


def music_alone_note(metrics: Mapping[str, Any], subset: str, columns: Sequence[str]) -> list[str]:
    """Return the sentence that compares a subset's accuracy with that of the music alone, if metadata was used."""
    alone = metrics.get(f"{subset}/accuracy_music_alone")
    if alone is None:
        return []
    both = metrics[f"{subset}/accuracy"]
    return [f"With the metadata ({', '.join(columns)}) the accuracy is {both:.1%}, from the music alone {alone:.1%}."]


def named_metrics(
    predictions: Predictions, subset: str, intervals: bool, suffix: str = "", only: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Return a subset's metrics under their names in metrics.json, with 95 % intervals if ``intervals``.

    Metrics that are undefined for these tracks (a ranking metric without any positive or negative) are omitted.
    """
    scores = {name: float(value[0]) for name, value in compute_metrics(predictions, ranking=only is None).items()}
    defined = {k: v for k, v in scores.items() if (only is None or k in only) and not math.isnan(v)}
    values: dict[str, Any] = {f"{subset}/{name}{suffix}": value for name, value in defined.items()}
    if intervals:
        edges = metric_intervals(predictions, ranking=only is None)
        values |= {f"{subset}/{name}{suffix}_ci95": edges[name] for name in edges if only is None or name in only}
    return values


def evaluate(cfg: DictConfig | EvaluateSettings) -> Evaluation:
    """Evaluate one run's best checkpoint on a subset or on another catalogue, or compare many runs.

    Raises:
        UserError: if there is no such run, the subset is empty, or no track of the catalogue can be used.
    """
    settings = evaluate_settings(cfg)
    if settings.runs:
        return compare_runs(settings)
    if not settings.run and not settings.data:
        raise UserError(
            "evaluate.py needs run=FOLDER, which train.py printed, runs=GLOB for a table of many, or data=… for the "
            "model that comes with the program"
        )
    return evaluate_run(settings.run, settings)


def evaluate_run(path: Path | None, settings: EvaluateSettings) -> Evaluation:
    """Evaluate one run's best checkpoint, or the model that comes with the program; write files and print the report.

    Raises:
        UserError: as ``evaluate``.
    """
    saved = read_network(path)
    run = recorded_settings(saved, settings.trust)
    subset = settings.subset or ("all" if settings.data else "test")
    data, classifier = load_run(saved, run, settings, subset)
    folder, tracks = settings.folder, len(data.track_names(subset))
    write_skipped(folder, data.catalogue)
    if not tracks:
        raise UserError(f"there is no track in subset={subset}; the run has {data.subset_sizes()}")
    write_split(folder, SplitRecord(data.subsets, data.groups, track_contents(data.catalogue, data.first, data.cache)))
    metrics: dict[str, Any] = {}
    if data.has_metadata(subset):
        metrics = music_alone_metrics(classifier, data, subset, saved.music_postprocessing)
    elif classifier.branch:
        log.warning("no track has a value in %s: evaluated from the music alone", ", ".join(data.columns))
        saved = replace(saved, postprocessing=saved.music_postprocessing)
    predictions = apply_temperature(predict_subset(classifier, data, subset), data.task, saved.postprocessing)
    final = apply_thresholds(predictions, data.task, saved.postprocessing)
    recorded = recorded_tracks(data, subset)
    title = figure_title(run.split, data.catalogue, subset, tracks, recorded)
    if settings.data:
        title = catalogue_title(settings.data, tracks)
    metrics |= subset_metrics(predictions, subset, True, saved.postprocessing, data.catalogue.tree)
    note = [*music_alone_note(metrics, subset, data.columns), *level_notes(final, data.catalogue.tree)]
    write_evaluation(folder, saved, run, classifier, data, final, title, note)
    metrics |= {
        "run": str(path or saved.path.stem), "subset": subset, "split": run.split.kind, "split_seed": run.split.seed,
        "seed": run.seed, "precision": run.trainer.precision, "tracks": {subset: tracks},
        "missing_tracks": recorded - tracks,
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    low, high = metrics[f"{subset}/accuracy_ci95"]
    print((folder / "report.txt").read_text(encoding="utf-8"))
    print(f"accuracy {metrics[f'{subset}/accuracy']:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    return Evaluation(folder, metrics)


def compare_runs(settings: EvaluateSettings) -> Evaluation:
    """Compare many runs in one table.

    Raises:
        UserError: if keys of a single run are given too, or no run is found.
    """
    given = {"run": settings.run, "data": settings.data, "subset": settings.subset}
    if extra := [key for key, value in given.items() if value]:
        raise UserError(f"runs= makes a table of finished runs and evaluates none; omit {', '.join(extra)}=")
    assert settings.runs is not None
    rows = comparison.compare(settings.runs, settings.folder, settings.reference)
    return Evaluation(settings.folder, {"rows": rows})


def write_evaluation(
    folder: Path,
    saved: checkpoint.Checkpoint,
    run: TrainSettings,
    classifier: Classifier,
    data: MusicData,
    predictions: Predictions,
    title: str,
    notes: Sequence[str] = (),
) -> None:
    """Write predictions, report with further ``notes``, and figures of a subset."""
    history = reporting.read_history(saved.folder / "history.csv") if saved.folder else []
    monitor = run.stopping.monitor
    gap = reporting.generalization_gap_note(history, monitor, data.subset_sizes()["val"])
    comparison = compare_with_commonest(predictions, saved.postprocessing)
    notes = [*notes, *gap, *chance_notes(comparison, data, history)]
    reporting.write_subset_report(folder, predictions, saved.postprocessing, title, notes)
    pages = reporting.subset_figures(predictions, title, saved.postprocessing)
    if (figure := gradcam.grad_cam_figure(classifier, data, predictions, title)) is not None:
        pages["gradcam"] = figure
    if history:
        epoch = int(reporting.best_epoch_row(history, monitor)["epoch"])
        pages["curves"] = figures.curves(history, epoch, f"{run.name}: learning curves")
    for name, figure in pages.items():
        figures.save_figure(figure, folder / "figures" / f"{name}.png")


def load_run(
    saved: checkpoint.Checkpoint, run: TrainSettings, settings: EvaluateSettings, subset: str
) -> tuple[MusicData, Classifier]:
    """The data to evaluate on, the run's own or another catalogue, and the classifier of a run."""
    network = trained_network(saved, run)
    device = accelerator_device(settings.accelerator)
    if settings.data:
        data = open_other_music(saved, run, settings.data, device, network, settings.exclude_seen)
    else:
        data = open_own_music(saved, run, subset, device, network)
    about = checkpoint.checkpoint_metadata(saved.genres, saved.record, saved.architecture)
    return data, Classifier(network, data.task, torch.optim.SGD, None, "", 0, about, branch=trained_branch(saved))


def catalogue_title(data: DataSettings, tracks: int) -> str:
    """Return 'catalogue my_music, 96 tracks': the title of figures and report of another catalogue."""
    given = data.reader.arguments
    source = redacted(given.get("path") or given.get("root"))
    name = Path(source).name if source else data.reader.target.__name__
    return f"catalogue {name}, {counted(tracks, 'track')}"
