"""Files written for a subset: predictions, the report with its sentences, and figures."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from rich.table import Table

from genre.data.catalogue import Catalogue
from genre.data.splits import SUBSETS, Split
from genre.evaluation import calibration, figures, many_genres, thresholds
from genre.evaluation.intervals import wilson_interval
from genre.evaluation.metrics import compute_metrics, per_genre_scores
from genre.evaluation.predictions import Predictions, uncertain_tracks
from genre.files import write_csv, write_json, write_text
from genre.models.postprocessing import PostProcessing
from genre.terminal import counted, plain_console

Report = Mapping[str, Mapping[str, float]]
EpochRows = Sequence[Mapping[str, float]]

LISTED_CONFUSIONS = 3
DRAWN_CONFUSIONS = 20
LISTED_GENRES = 3  # of equal value, in one sentence
MIN_SUPPORT = 5  # tracks, of a genre that a sentence names as best or worst
MIN_VALIDATION = 10  # tracks, for a sentence that compares training with validation


def write_subset_report(
    folder: Path,
    predictions: Predictions,
    postprocessing: PostProcessing,
    title: str,
    further_sentences: Sequence[str] = (),
) -> None:
    """Write predictions.csv, report.json and report.txt of a subset."""
    write_predictions(folder / "predictions.csv", predictions, postprocessing)
    report = genre_report(predictions)
    write_json(folder / "report.json", report)
    sentences = [
        *best_and_worst_note(predictions),
        *confusions_note(predictions),
        *temperature_note(postprocessing),
        *uncertainty_note(predictions, postprocessing),
        *further_sentences,
    ]
    write_text(folder / "report.txt", "\n".join([title, "", format_report(report), *sentences]) + "\n")


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
    """Return precision, recall, F1 and support of each genre, and their means over the genres."""
    values = per_genre_scores(predictions.targets, predictions.predicted, np.ones((1, len(predictions.names))))
    report = {
        genre: {name: float(values[name][0, index]) for name in ("precision", "recall", "f1", "support")}
        for index, genre in enumerate(predictions.genres)
    }
    metrics = compute_metrics(predictions)
    macro = {name: float(metrics[f"macro_{name}"][0]) for name in ("precision", "recall", "f1")}
    return report | {"macro average": macro | {"support": float(len(predictions.names))}}


def format_report(report: Report) -> str:
    """Return a report as aligned text."""
    width = max(len(name) for name in report)
    lines = [f"{'':{width}}  precision  recall      f1  support"]
    for name, row in report.items():
        values = f"{row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}  {row['support']:7.0f}"
        lines.append(f"{name:{width}}  {values}")
    lines.insert(-1, "")
    return "\n".join(lines) + "\n"


def best_and_worst_note(predictions: Predictions) -> list[str]:
    """Return which genres have the highest and lowest precision and recall, among those with at least five tracks.

    Precision is of the tracks predicted as the genre, so that there must be five of these, too. There is no sentence
    about genres that are all equal at two decimals.
    """
    report, support, predicted = genre_report(predictions), predictions.targets.sum(0), predictions.predicted.sum(0)
    sentences = []
    for score, counts in (("precision", np.minimum(support, predicted)), ("recall", support)):
        genres = [genre for genre, count in zip(predictions.genres, counts, strict=True) if count >= MIN_SUPPORT]
        values = {genre: f"{report[genre][score]:.2f}" for genre in genres}
        if len(set(values.values())) > 1:
            highest, lowest = max(values.values()), min(values.values())
            best, worst = (listed([n for n, v in values.items() if v == edge]) for edge in (highest, lowest))
            sentences.append(
                f"{score.capitalize()} is highest for {best} ({highest}) and lowest for {worst} ({lowest})."
            )
    return sentences


def listed(genres: Sequence[str]) -> str:
    """Return 'blues', 'blues and jazz' or, beyond three, '4 genres'."""
    if len(genres) > LISTED_GENRES:
        return f"{len(genres)} genres"
    return " and ".join(filter(None, [", ".join(genres[:-1]), genres[-1]]))


def confusions_note(predictions: Predictions) -> list[str]:
    """Return the most frequent confusions: a genre is predicted that the track does not have."""
    confusions = [
        f"{true} predicted as {predicted} ({count} of {counted(support, 'track')})"
        for true, predicted, count, support in frequent_confusions(predictions, LISTED_CONFUSIONS)
    ]
    return [f"Most frequent confusions: {', '.join(confusions)}."] if confusions else ["No genre was confused."]


def frequent_confusions(predictions: Predictions, most: int) -> list[tuple[str, str, int, int]]:
    """Return the most frequent confusions: true genre, predicted genre, tracks, tracks of the true genre."""
    wrong = predictions.targets.astype(int).T @ (predictions.predicted & ~predictions.targets).astype(int)
    support = predictions.targets.sum(0)
    ranked = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(ranked, wrong.shape), strict=True)
    return [
        (predictions.genres[true], predictions.genres[predicted], int(wrong[true, predicted]), int(support[true]))
        for true, predicted in pairs
        if wrong[true, predicted]
    ]


def temperature_note(postprocessing: PostProcessing) -> list[str]:
    """Return the temperature of the probabilities, if one was fitted."""
    if postprocessing.temperature is None:
        return []
    return [f"Probabilities are at temperature {postprocessing.temperature:.2f}, fitted on validation tracks."]


def uncertainty_note(predictions: Predictions, postprocessing: PostProcessing) -> list[str]:
    """Return how many tracks are uncertain, and how often the others are right."""
    uncertain = uncertain_tracks(predictions, postprocessing)
    limits = uncertainty_limits(postprocessing)
    if uncertain is None or not limits:
        return []
    number, total = int(uncertain.sum()), len(uncertain)
    if number == total:
        reason = "validation gave no reliable threshold" if postprocessing.uncertain_below == 1 else limits
        return [f"All {total} tracks are uncertain: {reason}." if total > 1 else f"The track is uncertain: {reason}."]
    right = int(predictions.top_genre_correct[~uncertain].sum())
    return [
        f"{number} of {counted(total, 'track')} {'is' if number == 1 else 'are'} uncertain ({limits}); the most "
        f"probable genre of the others is right for {right} of {total - number}."
    ]


def uncertainty_limits(postprocessing: PostProcessing) -> str:
    """Return what makes a track uncertain, in words; '' if nothing does."""
    below, beyond = postprocessing.uncertain_below, postprocessing.uncertain_beyond
    limits = [f"highest probability below {below:.3g}"] if below else []  # a threshold of 0 makes no track uncertain
    if beyond is not None:
        limits.append(f"distance from the training tracks above {beyond:.3g}")
    return " or ".join(limits)


def generalization_gap_note(history: EpochRows, monitor: str, validation_tracks: int) -> list[str]:
    """Return the accuracies of training and validation at the best epoch, and their gap if it exceeds noise.

    The gap is noise if the training accuracy lies in Wilson's interval of the validation accuracy. There is no sentence
    about fewer than ten validation tracks.
    """
    if not history or validation_tracks < MIN_VALIDATION:
        return []
    row = best_epoch_row(history, monitor)
    if "val_accuracy" not in row:
        return []
    train, val = row["train_accuracy"], row["val_accuracy"]
    low, high = wilson_interval(val, validation_tracks)
    gap = f", {100 * abs(train - val):.1f} points {'lower' if val < train else 'higher'}"
    return [
        f"At the best epoch ({row['epoch']:.0f}), accuracy is {train:.1%} on training tracks (running mean, augmented) "
        f"and {val:.1%} on {validation_tracks} validation tracks{'' if low <= train <= high else gap}."
    ]


def best_epoch_row(history: EpochRows, monitor: str) -> Mapping[str, float]:
    """Return the epoch of best.ckpt, among those with the monitored value; by the training value if none has it."""
    name = monitor.replace("/", "_")
    if not any(name in row for row in history):
        name = name.replace("val_", "train_")
    rows = [row for row in history if name in row]
    return (min if name.endswith("loss") else max)(rows, key=lambda row: row[name])


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the epochs of a history.csv; none if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def confusion_figure(
    counts: npt.NDArray[np.int64], support: npt.NDArray[np.int64], genres: Sequence[str], title: str, multilabel: bool
) -> Figure:
    """Return the confusion matrix of few or many genres; see ``figures.confusion``."""
    draw = many_genres.clustered_confusion if len(genres) > many_genres.MANY_GENRES else figures.confusion
    return draw(counts, support, genres, title, multilabel)


def predictions_confusion(predictions: Predictions, title: str) -> Figure:
    """Return the confusion matrix of a subset."""
    support = predictions.targets.sum(0)
    return confusion_figure(predictions.confusion_counts, support, predictions.genres, title, predictions.multilabel)


def subset_figures(predictions: Predictions, title: str, postprocessing: PostProcessing) -> dict[str, Figure]:
    """Return the figures of a subset: file name without ending -> figure."""
    bins, report = calibration.reliability_bins(predictions), genre_report(predictions)
    pages = {
        "confusion": predictions_confusion(predictions, title),
        "reliability": figures.reliability_diagram(bins.probability, bins.accuracy, bins.count, bins.error, title),
    }
    if len(predictions.genres) > many_genres.MANY_GENRES:
        pages["genres"] = many_genres.genre_dots(report, title)
        if confusions := frequent_confusions(predictions, DRAWN_CONFUSIONS):
            pages["confusions"] = many_genres.confusion_bars(confusions, title)
    else:
        pages["genres"] = figures.genre_bars(report, title)
    return pages | (multilabel_figures(predictions, title, postprocessing) if predictions.multilabel else {})


def multilabel_figures(predictions: Predictions, title: str, postprocessing: PostProcessing) -> dict[str, Figure]:
    """Return the further figures for several genres per track."""
    true, predicted = (has.astype(int).T @ has.astype(int) for has in (predictions.targets, predictions.predicted))
    curve = thresholds.threshold_curve(predictions)
    tuned = None if postprocessing.thresholds is None else postprocessing.thresholds.numpy()
    many = len(predictions.genres) > many_genres.MANY_GENRES
    draw = many_genres.clustered_cooccurrence if many else figures.cooccurrence
    return {
        "cooccurrence": draw(true, predicted, predictions.genres, title),
        "thresholds": figures.threshold_curves(thresholds.CANDIDATES, curve, tuned, title),
    }


def print_summary(metrics: Mapping[str, Any], title: str) -> None:
    """Print the metrics of a run, one row per subset."""
    table = Table(title=title, title_justify="left")
    rows = [summary_row(metrics, subset) for subset in SUBSETS if f"{subset}/loss" in metrics]
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "subset" else "right")
    for row in rows:
        table.add_row(*row.values())
    plain_console().print(table)


def summary_row(metrics: Mapping[str, Any], subset: str) -> dict[str, str]:
    """Return the metrics of a subset as text: column -> cell."""
    interval = metrics.get(f"{subset}/accuracy_ci95")
    return {
        "subset": subset,
        "tracks": str(metrics["tracks"][subset]),
        "loss": f"{metrics[f'{subset}/loss']:.3f}",
        "accuracy": f"{metrics[f'{subset}/accuracy']:.1%}",
        "95 % interval": f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else "",
        "macro F1": f"{metrics[f'{subset}/macro_f1']:.3f}",
    }


def figure_title(split: Split, catalogue: Catalogue, subset: str, tracks: int, recorded: int) -> str:
    """Return 'test, split random (seed 0), 200 tracks': the title of figures and report of a subset of a split.

    Args:
        tracks: that are evaluated.
        recorded: tracks of the subset when the run was trained.
    """
    held = ", held out" if subset == "test" and split.hold_out else ""
    number = counted(tracks, "track") if tracks == recorded else f"{tracks} of {counted(recorded, 'track')}"
    return f"{subset}{held}, split {split.description(catalogue)}, {number}"


def write_skipped(folder: Path, catalogue: Catalogue) -> None:
    """Write every file or row that was skipped, with the reason."""
    write_csv(folder / "skipped.csv", ("path", "reason"), ((item.path, item.reason) for item in catalogue.skipped))
