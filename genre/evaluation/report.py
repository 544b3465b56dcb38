"""What is written of a subset: predictions, the report with its sentences, and its figures."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from genre.data.catalogue import Catalogue
from genre.data.splits import SUBSETS
from genre.evaluation import calibration, figures, thresholds
from genre.evaluation.metrics import compute_metrics, per_genre_scores
from genre.evaluation.predictions import Predictions, uncertain_tracks
from genre.files import write_csv, write_json, write_text
from genre.models.postprocessing import PostProcessing

Report = Mapping[str, Mapping[str, float]]
History = Sequence[Mapping[str, float]]

COMMONEST = 3  # confusions that are told


def write_report(
    folder: Path, predictions: Predictions, postprocessing: PostProcessing, title: str, history: History, monitor: str
) -> None:
    """Write predictions.csv, report.json and report.txt of a subset.

    Args:
        history: the epochs of the run, as in history.csv.
        monitor: what its best epoch was chosen by.
    """
    write_predictions(folder / "predictions.csv", predictions, postprocessing)
    report = genre_report(predictions)
    write_json(folder / "report.json", report)
    told = [
        *best_and_worst_note(report),
        *confusions_note(predictions),
        *temperature_note(postprocessing),
        *uncertainty_note(predictions, postprocessing),
        *generalization_gap_note(history, monitor),
    ]
    write_text(folder / "report.txt", "\n".join([title, "", format_report(report), *told]) + "\n")


def write_predictions(path: Path, predictions: Predictions, postprocessing: PostProcessing) -> None:
    """Write one row per track; the column 'uncertain' exists only if the run has a certainty threshold."""
    header = ["track", "true", "predicted", *predictions.genres]
    rows = [
        [name, predictions.genre_names(true), predictions.genre_names(predicted), *(f"{p:.6f}" for p in probabilities)]
        for name, true, predicted, probabilities in zip(
            predictions.names, predictions.targets, predictions.predicted, predictions.probabilities, strict=True
        )
    ]
    uncertain = uncertain_tracks(predictions, postprocessing)
    if uncertain is not None:
        header.append("uncertain")
        rows = [[*row, "yes" if flag else "no"] for row, flag in zip(rows, uncertain, strict=True)]
    write_csv(path, header, rows)


def genre_report(predictions: Predictions) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each genre, and their means over the genres."""
    values = per_genre_scores(predictions.targets, predictions.predicted, np.ones((1, len(predictions.names))))
    report = {
        genre: {name: float(values[name][0, place]) for name in ("precision", "recall", "f1", "support")}
        for place, genre in enumerate(predictions.genres)
    }
    scores = compute_metrics(predictions)
    macro = {name: float(scores[f"macro_{name}"][0]) for name in ("precision", "recall", "f1")}
    return report | {"macro average": macro | {"support": float(len(predictions.names))}}


def format_report(report: Report) -> str:
    """A report as aligned text."""
    width = max(len(name) for name in report)
    lines = [f"{'':{width}}  precision  recall      f1  support"]
    for name, row in report.items():
        values = f"{row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}  {row['support']:7.0f}"
        lines.append(f"{name:{width}}  {values}")
    lines.insert(-1, "")
    return "\n".join(lines) + "\n"


def best_and_worst_note(report: Report) -> list[str]:
    """The best and the worst genre by precision and by recall, of those that occur here."""
    genres = {name: row for name, row in report.items() if name != "macro average" and row["support"]}
    told = []
    for merit in ("precision", "recall"):
        ranked = sorted(genres, key=lambda name: genres[name][merit], reverse=True)
        if len(ranked) > 1:
            best, worst = ranked[0], ranked[-1]
            told.append(
                f"{merit.capitalize()} is highest for {best} ({genres[best][merit]:.2f}) and lowest for {worst} "
                f"({genres[worst][merit]:.2f})."
            )
    return told


def confusions_note(predictions: Predictions) -> list[str]:
    """The commonest confusions: one genre predicted though the track has another and not this one."""
    wrongly = predictions.targets.astype(int).T @ (predictions.predicted & ~predictions.targets).astype(int)
    ranked = np.argsort(-wrongly, axis=None, kind="stable")[:COMMONEST]
    pairs = [(row, column) for row, column in zip(*np.unravel_index(ranked, wrongly.shape), strict=True)]
    told = [
        f"{predictions.genres[row]} taken for {predictions.genres[column]} ({wrongly[row, column]} of {support} tracks)"
        for row, column in pairs
        if wrongly[row, column] and (support := int(predictions.targets[:, row].sum()))
    ]
    return [f"The commonest confusions: {', '.join(told)}."] if told else ["No genre was taken for another."]


def temperature_note(postprocessing: PostProcessing) -> list[str]:
    """At which temperature the probabilities stand, if at one."""
    if postprocessing.temperature is None:
        return []
    return [f"Probabilities are those at temperature {postprocessing.temperature:.2f}, fitted on validation."]


def uncertainty_note(predictions: Predictions, postprocessing: PostProcessing) -> list[str]:
    """How many tracks are uncertain, and what the others are worth."""
    uncertain = uncertain_tracks(predictions, postprocessing)
    if uncertain is None:
        return []
    sentence = (
        f"{uncertain.sum()} of {len(uncertain)} tracks are uncertain (best probability below "
        f"{postprocessing.uncertain_below:.2f})"
    )
    if uncertain.all():
        return [f"{sentence}."]
    share = predictions.top_genre_correct[~uncertain].mean()
    return [f"{sentence}; of the others {share:.0%} have the genre that is most probable."]


def generalization_gap_note(history: History, monitor: str) -> list[str]:
    """How far training and validation lie apart at the best epoch."""
    if not history or "val_accuracy" not in history[0]:
        return []
    row = best_epoch_row(history, monitor)
    train, val = row["train_accuracy"], row["val_accuracy"]
    return [
        f"At the best epoch ({row['epoch']:.0f}) the accuracy is {train:.1%} in training (running, augmented) and "
        f"{val:.1%} in validation: a gap of {100 * (train - val):.1f} points."
    ]


def best_epoch_row(history: History, monitor: str) -> Mapping[str, float]:
    """The epoch of best.ckpt; chosen by training's value where nothing validates."""
    name = monitor.replace("/", "_")
    name = name if name in history[0] else name.replace("val_", "train_")
    return (min if name.endswith("loss") else max)(history, key=lambda row: row[name])


def read_history(path: Path) -> list[dict[str, float]]:
    """The epochs of a history.csv; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def confusion_figure(predictions: Predictions, title: str) -> Figure:
    """The confusion matrix of a subset."""
    return figures.confusion(
        predictions.confusion_counts, predictions.targets.sum(0), predictions.genres, title, predictions.multilabel
    )


def subset_figures(predictions: Predictions, title: str, postprocessing: PostProcessing) -> dict[str, Figure]:
    """The figures of a subset, under the names of their files."""
    found = calibration.reliability_bins(predictions)
    pages = {
        "confusion": confusion_figure(predictions, title),
        "genres": figures.genre_bars(genre_report(predictions), title),
        "reliability": figures.reliability_diagram(found.probability, found.accuracy, found.count, found.error, title),
    }
    if predictions.multilabel:
        together = [which.astype(int).T @ which.astype(int) for which in (predictions.targets, predictions.predicted)]
        pages["cooccurrence"] = figures.cooccurrence(together[0], together[1], predictions.genres, title)
        curve = thresholds.threshold_curve(predictions)
        tuned = None if postprocessing.thresholds is None else postprocessing.thresholds.numpy()
        pages["thresholds"] = figures.threshold_curves(thresholds.CANDIDATES, curve, tuned, title)
    return pages


def print_summary(metrics: Mapping[str, Any], name: str) -> None:
    """Print the summary table of a run."""
    format_report = Table(
        title=f"{name}, split {metrics['split']} (seed {metrics['split_seed']})", title_justify="left"
    )
    for heading in ("subset", "tracks", "loss", "accuracy", "95 % interval", "macro F1"):
        format_report.add_column(heading, justify="left" if heading == "subset" else "right")
    for subset in (subset for subset in SUBSETS if f"{subset}/loss" in metrics):
        low, high = metrics.get(f"{subset}/accuracy_ci95", (None, None))
        format_report.add_row(
            subset, str(metrics["tracks"][subset]), f"{metrics[f'{subset}/loss']:.3f}",
            f"{metrics[f'{subset}/accuracy']:.1%}", "" if low is None else f"{low:.1%} to {high:.1%}",
            f"{metrics[f'{subset}/macro_f1']:.3f}",
        )  # fmt: skip
    Console().print(format_report)


def figure_title(cfg: Mapping[str, Any], subset: str, tracks: int) -> str:
    """What a figure or report is about: 'test, split random (seed 0), 200 tracks'."""
    held = ", held out" if subset == "test" and cfg["split"]["hold_out"] else ""
    return f"{subset}{held}, split {cfg['split']['kind']} (seed {cfg['split']['seed']}), {tracks} tracks"


def write_skipped(folder: Path, catalogue: Catalogue) -> None:
    """List every file or row that was not used."""
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in catalogue.skipped))
