"""Evaluate the best checkpoint of a run on a subset or on other music, or compare many runs."""

import csv
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from genre import config
from genre.data.catalogue import Catalogue
from genre.data.datamodule import MusicData
from genre.data.splits import SUBSETS
from genre.errors import SkipKind, SkipReason, UserError
from genre.evaluation import comparison, figures, gradcam, thresholds
from genre.evaluation import report as reporting
from genre.evaluation.calibration import reliability_bins
from genre.evaluation.metrics import compute_metrics, metric_intervals
from genre.evaluation.predictions import Predictions, apply_temperature, apply_thresholds, predict_subset
from genre.evaluation.report import figure_title, write_skipped
from genre.files import write_csv, write_json
from genre.models import checkpoint
from genre.models.classifier import Classifier
from genre.models.postprocessing import PostProcessing

log = logging.getLogger(__name__)

WITHOUT_PROBABILITIES = ("exact", "jaccard", "micro_f1", "macro_f1")  # multilabel metrics of predicted genres alone


@dataclass(frozen=True)
class Evaluation:
    """The folder of an evaluation and its metrics; for many runs the rows of their table."""

    folder: Path
    metrics: dict[str, Any]


def subset_metrics(
    predictions: Predictions, subset: str, intervals: bool, postprocessing: PostProcessing
) -> dict[str, Any]:
    """Return the metrics of a subset; for several genres also those at tuned thresholds and of the baselines.

    The calibration error has no interval: resampled tracks are noisier in every bin, which biases their errors upwards.
    """
    values = named_metrics(predictions, subset, intervals) | {f"{subset}/ece": reliability_bins(predictions).error}
    if postprocessing.thresholds is not None:
        at_tuned = replace(predictions, predicted=predictions.probabilities > postprocessing.thresholds.numpy())
        values |= named_metrics(at_tuned, subset, intervals, "_tuned")
    if postprocessing.most_common_set is not None:
        baselines = thresholds.baseline_predictions(predictions, postprocessing.most_common_set.tolist())
        for name, baseline in baselines.items():
            values |= named_metrics(baseline, subset, False, f"_{name}", WITHOUT_PROBABILITIES)
    return values


def named_metrics(
    predictions: Predictions, subset: str, intervals: bool, suffix: str = "", only: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Return a subset's metrics under their names in metrics.json, with 95 % intervals if ``intervals``.

    Metrics that are undefined for these tracks (a ranking metric without any positive or negative) are omitted.
    """
    scores = {name: float(value[0]) for name, value in compute_metrics(predictions).items()}
    defined = {k: v for k, v in scores.items() if (only is None or k in only) and not math.isnan(v)}
    values: dict[str, Any] = {f"{subset}/{name}{suffix}": value for name, value in defined.items()}
    if intervals:
        values |= {f"{subset}/{name}{suffix}_ci95": edges for name, edges in metric_intervals(predictions).items()}
    return values


def evaluate(cfg: DictConfig) -> Evaluation:
    """Evaluate one run's best checkpoint on a subset or on another catalogue, or compare many runs.

    Raises:
        UserError: if there is no such run, the subset is empty, or no track of the catalogue can be used.
    """
    values = config.plain(cfg)
    if values["runs"]:
        return compare_runs(values)
    if not values["run"]:
        raise UserError("evaluate.py needs run=FOLDER, which train.py printed, or runs=GLOB for a table of many")
    saved = checkpoint.read_checkpoint(values["run"])
    subset = values["subset"] or ("all" if values["data"] else "test")
    if subset not in (*SUBSETS, "all"):
        raise UserError(f"subset={subset} is not one of train, val, test, all")
    data = evaluation_data(saved, values, subset)
    classifier = load_classifier(saved, data)
    data.backbone = classifier.network
    data.prepare_data()
    folder = Path(values["folder"])
    write_skipped(folder, data.catalogue)
    if not data.track_names(subset):
        raise UserError(f"there is no track in subset={subset}; the run has {data.subset_sizes()}")
    predictions = apply_temperature(predict_subset(classifier, data, subset), data.task, saved.postprocessing)
    write_csv(folder / "splits.csv", ("track", "subset"), data.subsets.items())
    final = apply_thresholds(predictions, data.task, saved.postprocessing)
    tracks = len(predictions.names)
    other = values["data"]
    title = catalogue_title(other, tracks) if other else figure_title(saved.config, subset, tracks)
    write_evaluation(folder, saved, classifier, data, final, title)
    metrics = subset_metrics(predictions, subset, True, saved.postprocessing) | {
        "run": str(saved.folder), "subset": subset, "split": saved.config["split"]["kind"],
        "split_seed": saved.config["split"]["seed"], "seed": saved.config["seed"],
        "tracks": {subset: tracks},
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    low, high = metrics[f"{subset}/accuracy_ci95"]
    print((folder / "report.txt").read_text(encoding="utf-8"))
    print(f"accuracy {metrics[f'{subset}/accuracy']:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    return Evaluation(folder, metrics)


def compare_runs(values: Mapping[str, Any]) -> Evaluation:
    """Compare many runs in one table.

    Raises:
        UserError: if keys of a single run are given too, or no run is found.
    """
    single = [key for key in ("run", "data", "subset") if values[key]]
    if single:
        raise UserError(f"runs= makes a table of finished runs and evaluates none; leave out {', '.join(single)}=")
    folder = Path(values["folder"])
    return Evaluation(folder, {"rows": comparison.compare(values["runs"], folder)})


def write_evaluation(
    folder: Path,
    saved: checkpoint.Checkpoint,
    classifier: Classifier,
    data: MusicData,
    predictions: Predictions,
    title: str,
) -> None:
    """Write predictions, report and figures of a subset."""
    history = reporting.read_history(saved.folder / "history.csv")
    monitor = str(saved.config["trainer"]["monitor"])
    gap = reporting.generalization_gap_note(history, monitor, data.subset_sizes()["val"])
    reporting.write_subset_report(folder, predictions, saved.postprocessing, title, gap)
    pages = reporting.subset_figures(predictions, title, saved.postprocessing)
    if (figure := gradcam.grad_cam_figure(classifier, data, predictions, title)) is not None:
        pages["gradcam"] = figure
    if history:
        epoch = int(reporting.best_epoch_row(history, monitor)["epoch"])
        pages["curves"] = figures.curves(history, epoch, f"{saved.config['name']}: learning curves")
    for name, figure in pages.items():
        figures.save_figure(figure, folder / "figures" / f"{name}.png")


def evaluation_data(saved: checkpoint.Checkpoint, values: Mapping[str, Any], subset: str) -> MusicData:
    """Return the run's own data, or another catalogue without the tracks of its training; nothing is decoded yet."""
    cfg = saved.config
    device = config.device_of(values)
    if not values["data"]:
        data = config.data_of(without_download(cfg), device, saved.genres)
    else:
        catalogue = with_known_genres(config.catalogue_of(values["data"]), saved.genres, config.task_of(cfg).multilabel)
        if values["exclude_seen"]:
            catalogue = without_seen_tracks(catalogue, saved.folder)
        data = config.data_on(catalogue, None, {**cfg, "data": values["data"]}, device, saved.genres)
    return data


def without_download(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's configuration without the permission to download from the addresses in it."""
    data = {key: False if key == "download" else value for key, value in cfg["data"].items()}
    return {**cfg, "data": data}


def catalogue_title(data: Mapping[str, Any], tracks: int) -> str:
    """Return 'catalogue my_music, 96 tracks': the title of figures and report of another catalogue."""
    source = data.get("path") or data.get("root")
    return f"catalogue {Path(source).name if source else data['kind']}, {tracks} tracks"


def with_known_genres(catalogue: Catalogue, genres: tuple[str, ...], multilabel: bool) -> Catalogue:
    """Return the tracks whose genres the run knows; only the first genre matters if a track has one genre.

    Raises:
        UserError: if there are none.
    """
    unknown = {}
    for track in catalogue.tracks:
        relevant = track.genres if multilabel else track.genres[:1]
        if other := [genre for genre in relevant if genre not in genres]:
            unknown[track.name] = SkipReason(SkipKind.UNKNOWN_GENRE, f"the run does not know the genre {other[0]}")
    if len(unknown) == len(catalogue.tracks):
        raise UserError(f"the run knows {', '.join(genres)}; the catalogue has {', '.join(catalogue.genres)}")
    return catalogue.without(unknown)


def without_seen_tracks(catalogue: Catalogue, run: Path) -> Catalogue:
    """Return the tracks that a run used neither for training nor for validation; log how many are skipped.

    Raises:
        UserError: if none remains.
    """
    with (run / "splits.csv").open(encoding="utf-8", newline="") as file:
        subsets = {row["track"]: row["subset"] for row in csv.DictReader(file)}
    seen = {
        name: SkipReason(SkipKind.SEEN_IN_TRAINING, f"seen by the run ({subset})")
        for name, subset in subsets.items()
        if subset != "test"
    }
    unseen = catalogue.without(seen)
    skipped = len(catalogue.tracks) - len(unseen.tracks)
    log.info("skipped %d of %d tracks that the run trained or validated on", skipped, len(catalogue.tracks))
    if not unseen.tracks:
        raise UserError("the run has seen every track of this catalogue; exclude_seen=false evaluates on them anyway")
    return unseen


def load_classifier(saved: checkpoint.Checkpoint, data: MusicData) -> Classifier:
    """Return the module of a checkpoint, ready to predict."""
    return Classifier(config.trained_network(saved), data.task, torch.optim.SGD, None, "", 0, {})
