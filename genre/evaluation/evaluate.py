"""What a trained model is worth: the metrics of a run's best checkpoint on a subset, or on other music."""

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
    """Where an evaluation's files lie, and its metrics; for many runs the rows of their table."""

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
    """Evaluate one run's best checkpoint on a subset, or on another catalogue; or lay many runs side by side.

    Raises:
        UserError: if the run is none, the subset is empty, or the catalogue has nothing for this run.
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
    write_evaluation(folder, saved, classifier, data, final, subset)
    metrics = subset_metrics(predictions, subset, True, saved.postprocessing) | {
        "run": str(saved.folder), "subset": subset, "split": saved.config["split"]["kind"],
        "split_seed": saved.config["split"]["seed"], "seed": saved.config["seed"],
        "tracks": {subset: len(predictions.names)},
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    low, high = metrics[f"{subset}/accuracy_ci95"]
    print((folder / "report.txt").read_text(encoding="utf-8"))
    print(f"accuracy {metrics[f'{subset}/accuracy']:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    return Evaluation(folder, metrics)


def compare_runs(values: Mapping[str, Any]) -> Evaluation:
    """The table of many runs.

    Raises:
        UserError: if one run is asked for at the same time, or no run is found.
    """
    alone = [key for key in ("run", "data", "subset") if values[key]]
    if alone:
        raise UserError(f"runs= makes a table of finished runs and measures none; leave out {', '.join(alone)}=")
    folder = Path(values["folder"])
    return Evaluation(folder, {"rows": comparison.compare(values["runs"], folder)})


def write_evaluation(
    folder: Path,
    saved: checkpoint.Checkpoint,
    classifier: Classifier,
    data: MusicData,
    predictions: Predictions,
    subset: str,
) -> None:
    """Write predictions, report and figures of a subset."""
    title = figure_title(saved.config, subset, len(predictions.names))
    history = reporting.read_history(saved.folder / "history.csv")
    monitor = str(saved.config["trainer"]["monitor"])
    reporting.write_report(folder, predictions, saved.postprocessing, title, history, monitor)
    pages = reporting.subset_figures(predictions, title, saved.postprocessing)
    if (page := gradcam.grad_cam_figure(classifier, data, predictions, title)) is not None:
        pages["gradcam"] = page
    if history:
        pages["curves"] = figures.curves(history, int(reporting.best_epoch_row(history, monitor)["epoch"]))
    for name, figure in pages.items():
        figures.save_figure(figure, folder / "figures" / f"{name}.png")


def evaluation_data(saved: checkpoint.Checkpoint, values: Mapping[str, Any], subset: str) -> MusicData:
    """The run's own data, or another catalogue less the tracks that the run has seen; nothing is decoded yet."""
    cfg = saved.config
    device = config.device_of(values)
    if not values["data"]:
        data = config.data_of(without_download(cfg), device, saved.genres)
    else:
        found = with_known_genres(config.catalogue_of(values["data"]), saved.genres, config.task_of(cfg).multilabel)
        if values["exclude_seen"]:
            found = without_seen_tracks(found, saved.folder)
        data = config.data_on(found, None, {**cfg, "data": values["data"]}, device, saved.genres)
    return data


def without_download(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's configuration that fetches nothing from the addresses in it."""
    data = {key: False if key == "download" else value for key, value in cfg["data"].items()}
    return {**cfg, "data": data}


def with_known_genres(found: Catalogue, genres: tuple[str, ...], several: bool) -> Catalogue:
    """The tracks whose genres the run knows.

    Raises:
        UserError: if there are none.
    """
    strange = {}
    for track in found.tracks:
        counting = track.genres if several else track.genres[:1]
        if unknown := [genre for genre in counting if genre not in genres]:
            strange[track.name] = SkipReason(SkipKind.UNKNOWN_GENRE, f"the run does not know the genre {unknown[0]}")
    if len(strange) == len(found.tracks):
        raise UserError(f"the run knows {', '.join(genres)}; the catalogue has {', '.join(found.genres)}")
    return found.without(strange)


def without_seen_tracks(found: Catalogue, run: Path) -> Catalogue:
    """The tracks that a run neither trained nor validated on; says how many those were.

    Raises:
        UserError: if none is left.
    """
    with (run / "splits.csv").open(encoding="utf-8", newline="") as file:
        subsets = {row["track"]: row["subset"] for row in csv.DictReader(file)}
    seen = {
        name: SkipReason(SkipKind.SEEN_IN_TRAINING, f"seen by the run ({subset})")
        for name, subset in subsets.items()
        if subset != "test"
    }
    fresh = found.without(seen)
    dropped = len(found.tracks) - len(fresh.tracks)
    log.info("%d of %d tracks were seen in training or validation and are left out", dropped, len(found.tracks))
    if not fresh.tracks:
        raise UserError("the run has seen every track of this catalogue; exclude_seen=false evaluates on them anyway")
    return fresh


def load_classifier(saved: checkpoint.Checkpoint, data: MusicData) -> Classifier:
    """The module of a checkpoint, ready to predict."""
    return Classifier(config.trained_network(saved), data.task, torch.optim.SGD, None, "", 0, {})
