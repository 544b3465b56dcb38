"""Pictures of results, one style: readable in print, safe for the colour-blind, drawn without any global state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TRAIN, VAL = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.titlesize": 11,
    "legend.frameon": False,
}
DOTS_PER_INCH = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, and its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def confusion(counts: npt.NDArray[np.int64], genres: Sequence[str], title: str, several: bool) -> Figure:
    """Counts in their cells, coloured by the share of the row.

    Args:
        counts: (genres, genres), true by predicted; with several genres a track, how often one is predicted where
            the other is true.
    """
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.4 + 0.42 * len(genres)
    with rc_context(STYLE):
        figure = new_figure(side + 0.8, side)
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if share[row, column] > 0.55 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(genres)), genres, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(genres)), genres)
        axes.set(xlabel="predicted", ylabel="one of the true genres" if several else "true", title=title)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row")
    return figure


def curves(history: Sequence[dict[str, float]], best_epoch: int | None) -> Figure:
    """Accuracy and loss by epoch, training beside validation, the best epoch marked (figures 5 and 6 of the document).

    Args:
        history: an epoch each, with ``epoch`` and ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy``.
        best_epoch: the epoch of best.ckpt.
    """
    with rc_context(STYLE):
        figure = new_figure(9, 3.6)
        for place, (name, label) in enumerate((("accuracy", "accuracy"), ("loss", "loss")), start=1):
            axes = figure.add_subplot(1, 2, place)
            for subset, colour in (("train", TRAIN), ("val", VAL)):
                points = [(row["epoch"], row[f"{subset}_{name}"]) for row in history if f"{subset}_{name}" in row]
                if points:
                    called = "training (running, augmented)" if subset == "train" else "validation"
                    axes.plot(*zip(*points, strict=True), color=colour, label=called, marker=".", markersize=4)
            if best_epoch is not None:
                axes.axvline(best_epoch, color="grey", linewidth=0.8, linestyle="--", label=f"best: epoch {best_epoch}")
            axes.set(xlabel="epoch", ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if name == "accuracy":
                axes.set_ylim(0, 1)
                axes.legend(loc="lower right", fontsize=8, frameon=True, edgecolor="none", framealpha=0.9)
    return figure


def examples(pictures: npt.NDArray[np.float32], titles: Sequence[str]) -> Figure:
    """Pictures as the network gets them, low bands at the bottom: (examples, height, width) in [0, 1]."""
    columns = min(5, len(pictures))
    rows = -(-len(pictures) // columns)
    with rc_context(STYLE):
        figure = new_figure(2.0 * columns, 2.2 * rows)
        for place, (picture, title) in enumerate(zip(pictures, titles, strict=True), start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.imshow(picture, origin="lower", cmap="magma", vmin=0, vmax=1)
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
    return figure


def threshold_curves(
    thresholds: npt.NDArray[np.float64],
    values: Mapping[str, npt.NDArray[np.float64]],
    tuned: npt.NDArray[np.float64] | None,
    title: str,
) -> Figure:
    """What a shared threshold gives: exact matches, F1, tracks with just one genre, and genres a track.

    Args:
        thresholds: (thresholds,).
        values: name -> (thresholds,).
        tuned: (genres,) tuned thresholds, marked.
    """
    with rc_context(STYLE):
        figure = new_figure(9, 3.6)
        shares, number = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        named = (("exact", "exact match", "#0072B2", "-"), ("micro_f1", "micro F1", "#D55E00", "-"))
        for name, label, colour, line in (*named, ("exactly_one", "exactly one genre", "#666666", "--")):
            shares.plot(thresholds, values[name], line, color=colour, label=label)
        shares.set(xlabel="threshold", ylabel="share of tracks, F1", ylim=(0, 1), title=title)
        number.plot(thresholds, values["genres"], color="#009E73", label="genres predicted a track")
        number.set(xlabel="threshold", ylabel="genres predicted a track", ylim=(0, None))
        for axes in (shares, number):
            axes.axvline(0.2, color="grey", linewidth=0.8, linestyle=":", label="0.2 (source document)")
            for place, threshold in enumerate(np.unique([] if tuned is None else tuned)):
                axes.axvline(threshold, color="#CC79A7", linewidth=0.8, label="tuned" if place == 0 else None)
        shares.legend(fontsize=8)
    return figure
