"""Pictures of results, one style: readable in print, safe for the colour-blind, drawn without any global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from genre.evaluation.arrays import Floats

BLUE, VERMILION, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"  # Okabe and Ito's
TRAIN, VAL = BLUE, VERMILION
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.titlesize": 11,
    "legend.frameon": False,
}
DOTS_PER_INCH = 150
Pixels = npt.NDArray[np.uint8]
MERITS = (("precision", "precision", BLUE), ("recall", "recall", VERMILION), ("f1", "F1", GREEN))


@dataclass(frozen=True)
class Explanation:
    """A track's picture and what in it speaks for some genres.

    Args:
        title: what the track is.
        picture: (height, width) in [0, 1].
        maps: what is explained -> (height, width) in [0, 1].
    """

    title: str
    picture: npt.NDArray[np.float32]
    maps: dict[str, npt.NDArray[np.float32]]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rasterize(figure: Figure) -> Pixels:
    """A figure as it looks, (height, width, 3): drawn once for a file and for TensorBoard."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def save_figure(figure: Figure | Pixels, path: Path) -> None:
    """Write a figure as PNG, and its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, rasterize(figure) if isinstance(figure, Figure) else figure, dpi=DOTS_PER_INCH)


def confusion(
    counts: npt.NDArray[np.int64], support: npt.NDArray[np.int64], genres: Sequence[str], title: str, several: bool
) -> Figure:
    """Counts and shares of the row in their cells, coloured by the share.

    Args:
        counts: (genres, genres), true by predicted; with several genres a track, how often one is predicted where
            the other is true.
        support: (genres,) how many tracks have each genre, which is what the shares are of.
    """
    share = counts / np.maximum(support, 1)[:, None]
    side = 2.4 + 0.5 * len(genres)
    with rc_context(STYLE):
        figure = new_figure(side + 0.8, side)
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if share[row, column] > 0.55 else "black"
                text = f"{count}\n{share[row, column]:.0%}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7.5, linespacing=1.1)
        label_genre_axes(axes, genres)
        axes.set(xlabel="predicted", ylabel="one of the true genres" if several else "true", title=title)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row's tracks")
    return figure


def label_genre_axes(axes: Axes, genres: Sequence[str]) -> None:
    """Genres along both sides of a matrix."""
    axes.set_xticks(range(len(genres)), genres, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(genres)), genres)
    axes.spines[:].set_visible(False)


def genre_bars(report: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Precision, recall and F1 of each genre side by side, the means over the genres as lines across."""
    genres = [name for name in report if name != "macro average"]
    with rc_context(STYLE):
        figure = new_figure(2.6 + 0.62 * len(genres), 3.6)
        axes = figure.add_subplot()
        for place, (name, label, colour) in enumerate(MERITS):
            heights = [report[genre][name] for genre in genres]
            across = report["macro average"][name]
            axes.bar(np.arange(len(genres)) + 0.27 * (place - 1), heights, 0.25, color=colour, label=label)
            axes.axhline(across, color=colour, linewidth=0.8, linestyle=(0, (4, 2 + place)), zorder=0)
        names = [f"{genre}\n({report[genre]['support']:.0f})" for genre in genres]
        axes.set_xticks(range(len(genres)), names, fontsize=9)
        axes.set(ylim=(0, 1), title=title, xlabel="genre (tracks); dashed: mean over the genres")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def reliability_diagram(
    claimed: Floats, true: Floats, count: npt.NDArray[np.int64], error: float, title: str
) -> Figure:
    """How often what was claimed was true, over how many cases each bin rests on (Guo et al. 2017).

    Args:
        claimed: (bins,) mean probability, nan for none.
        true: (bins,) share that was right.
        count: (bins,) of cases.
        error: the expected calibration error.
    """
    width = 1 / len(count)
    middle = (np.arange(len(count)) + 0.5) * width
    with rc_context(STYLE):
        figure = new_figure(4.6, 5.0)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.bar(middle, np.nan_to_num(true), 0.92 * width, color=BLUE, label="right")
        above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as claimed")
        above.plot(claimed, true, "o", color=VERMILION, markersize=4, label="mean of a bin", clip_on=False, zorder=3)
        above.set(ylabel="share that is right", ylim=(0, 1), xlim=(0, 1))
        above.set_title(f"{title}\ncalibration error {error:.3f}")
        above.legend(loc="upper left", fontsize=8)
        below.bar(middle, count, 0.92 * width, color=GREY)
        below.set(xlabel="probability", ylabel="cases")
        below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure


def cooccurrence(
    true: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], genres: Sequence[str], title: str
) -> Figure:
    """How often two genres go together, in truth and as predicted: (genres, genres) each, alone on the diagonal."""
    side = 2.2 + 0.4 * len(genres)
    with rc_context(STYLE):
        figure = new_figure(2 * side + 0.6, side)
        highest = max(1, true.max(), predicted.max())
        for axes, counts, label in zip(figure.subplots(1, 2), (true, predicted), ("true", "predicted"), strict=True):
            above = np.triu(np.ones(counts.shape, bool), 1)  # the same once more
            image = axes.imshow(np.where(above, np.nan, counts), cmap="Blues", vmin=0, vmax=highest)
            for (row, column), count in np.ndenumerate(counts):
                if count and not above[row, column]:
                    colour = "white" if count > 0.55 * highest else "black"
                    axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
            label_genre_axes(axes, genres)
            axes.set_title(f"{label} together (diagonal: tracks with the genre)", fontsize=9)
        figure.suptitle(title, fontsize=11)
        figure.colorbar(image, ax=figure.axes, shrink=0.8, label="tracks")
    return figure


def over_time(
    begin: Floats, end: Floats, probabilities: Floats, mean: Floats, genres: Sequence[str], title: str
) -> Figure:
    """The probability of each genre along a track, and over the whole of it.

    Args:
        begin: (windows,) in seconds.
        end: (windows,) in seconds.
        probabilities: (windows, genres).
        mean: (genres,) what is said of the track as a whole.
    """
    middle = (begin + end) / 2
    between = (middle[1:] + middle[:-1]) / 2
    edges = np.concatenate([begin[:1], between, end[-1:]])
    with rc_context(STYLE):
        figure = new_figure(9, 1.6 + 0.27 * len(genres))
        along, whole = figure.subplots(1, 2, sharey=True, width_ratios=(5, 1))
        rows = np.arange(len(genres) + 1) - 0.5
        image = along.pcolormesh(edges, rows, probabilities.T, cmap="Blues", vmin=0, vmax=1)
        along.plot(middle, probabilities.argmax(1), "o", color=VERMILION, markersize=3, label="most probable")
        along.set_yticks(range(len(genres)), genres)
        along.set(xlabel="seconds (dot: the most probable genre)", title=title, ylim=(len(genres) - 0.5, -0.5))
        whole.barh(range(len(genres)), mean, color=BLUE)
        whole.set(xlim=(0, 1), xlabel="whole track")
        figure.colorbar(image, ax=whole, label="probability", shrink=0.9)
    return figure


def grad_cam(rows: Sequence[Explanation], title: str) -> Figure:
    """Where in the picture a network finds a genre: the picture of each track, then what speaks for two genres."""
    with rc_context(STYLE):
        figure = new_figure(8.4, 0.7 + 2.9 * len(rows))
        grid = figure.subplots(len(rows), 3, squeeze=False)
        for axes, row in zip(grid, rows, strict=True):
            axes[0].imshow(row.picture, origin="lower", cmap="magma", vmin=0, vmax=1, aspect="auto")
            axes[0].set_title(row.title, fontsize=9)
            for place, (label, weight) in zip(axes[1:], row.maps.items(), strict=True):
                place.imshow(row.picture, origin="lower", cmap="gray", vmin=0, vmax=1, aspect="auto")
                image = place.imshow(weight, origin="lower", cmap="viridis", vmin=0, vmax=1, alpha=0.55, aspect="auto")
                place.set_title(label, fontsize=9)
            for place in axes:
                place.set(xticks=[], yticks=[], xlabel="time")
                place.spines[:].set_visible(False)
            axes[0].set_ylabel("mel band")
        figure.colorbar(image, ax=grid[:, 1:], shrink=0.6, label="speaks for it (strongest place: 1)")
        figure.suptitle(f"Grad-CAM, {title}", fontsize=11)
    return figure


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None) -> Figure:
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
        named = (("exact", "exact match", BLUE, "-"), ("micro_f1", "micro F1", VERMILION, "-"))
        for name, label, colour, line in (*named, ("exactly_one", "exactly one genre", GREY, "--")):
            shares.plot(thresholds, values[name], line, color=colour, label=label)
        shares.set(xlabel="threshold", ylabel="share of tracks, F1", ylim=(0, 1), title=title)
        number.plot(thresholds, values["genres"], color=GREEN, label="genres predicted a track")
        number.set(xlabel="threshold", ylabel="genres predicted a track", ylim=(0, None))
        for axes in (shares, number):
            axes.axvline(0.2, color="grey", linewidth=0.8, linestyle=":", label="0.2 (source document)")
            for place, threshold in enumerate(np.unique([] if tuned is None else tuned)):
                axes.axvline(threshold, color=PINK, linewidth=0.8, label="tuned" if place == 0 else None)
        shares.legend(fontsize=8)
    return figure
