"""Figures of results in one style: readable in print and by the colour-blind, without global matplotlib state."""

import logging
import textwrap
import warnings
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
from matplotlib.font_manager import fontManager
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from genre.evaluation.arrays import Floats

log = logging.getLogger(__name__)

BLUE, VERMILION, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"  # Okabe and Ito's
TRAIN, VAL = BLUE, VERMILION
FONTS = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC",
    "IPAexGothic", "TakaoGothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Hiragino Sans", "PingFang SC",
    "Arial Unicode MS", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic",
)  # fmt: skip  # each glyph is drawn in the first of these that has it, for Japanese, Chinese and Korean names
INSTALLED_FONTS = {font.name for font in fontManager.ttflist}
STYLE: dict[Any, Any] = {
    "font.family": [name for name in FONTS if name in INSTALLED_FONTS],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.titlesize": 11,
    "legend.frameon": False,
}
DOTS_PER_INCH = 150
LETTERS_PER_INCH = 9.5  # of a title's line
FEW_CASES = 10  # a bin of the reliability diagram with fewer is hatched
GENRES_OVER_TIME = 20
PAPER_THRESHOLD = 0.2
FEW_LINES, RUG = 30, 0.06  # more tuned thresholds are marked over this share of the height only
TICK_FREQUENCIES = (512, 1024, 2048, 4096, 8192)  # Hz
Pixels = npt.NDArray[np.uint8]


GENRE_SCORES = (("precision", "precision", BLUE), ("recall", "recall", VERMILION), ("f1", "F1", GREEN))


@dataclass(frozen=True)
class Explanation:
    """A track's picture and its Grad-CAM maps.

    Args:
        title: of the picture.
        picture: (height, width) in [0, 1], row 0 the lowest band.
        maps: title -> (height, width) in [0, 1].
        begin: of the picture in the track, in seconds.
        seconds: length of the picture.
        band_edges: (bands + 2,) edges of the overlapping mel bands, in Hz.
    """

    title: str
    picture: npt.NDArray[np.float32]
    maps: dict[str, npt.NDArray[np.float32]]
    begin: float
    seconds: float
    band_edges: Floats


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that belongs to no window."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rasterize(figure: Figure) -> Pixels:
    """Draw a figure once, for a file and for TensorBoard: (height, width, 3).

    Characters that no installed font has are drawn as boxes, with one warning per figure.
    """
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        canvas.draw()
    missing = [warning for warning in caught if "missing from font" in str(warning.message)]
    if missing:
        log.warning("no font has all characters of a figure; install Noto Sans CJK (package fonts-noto-cjk)")
    for warning in caught:
        if warning not in missing:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return np.asarray(canvas.buffer_rgba())[..., :3]


def shorten(name: str, longest: int) -> str:
    """Return a name of at most ``longest`` characters; the middle is replaced by an ellipsis."""
    if len(name) <= longest:
        return name
    end = (longest - 1) * 2 // 3
    return f"{name[: longest - 1 - end]}…{name[-end:]}"


def wrapped(title: str, figure: Figure) -> str:
    """A title in lines that fit above the axes of a figure."""
    width = round(LETTERS_PER_INCH * figure.get_figwidth())
    return "\n".join(textwrap.wrap(title, width, break_on_hyphens=False))


def save_figure(figure: Figure | Pixels, path: Path) -> None:
    """Write a figure as PNG; its folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, rasterize(figure) if isinstance(figure, Figure) else figure, dpi=DOTS_PER_INCH)


def confusion(
    counts: npt.NDArray[np.int64], support: npt.NDArray[np.int64], genres: Sequence[str], title: str, multilabel: bool
) -> Figure:
    """Return a confusion matrix with counts; cell colour is the share of the true genre's tracks.

    Args:
        counts: (genres, genres), true by predicted; with several genres per track, how often one is predicted for
            tracks that have the other.
        support: (genres,) number of tracks per genre.
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
        axes.set(xlabel="predicted", ylabel="one of the true genres" if multilabel else "true")
        axes.set_title(wrapped(title, figure))
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true genre's tracks")
    return figure


def label_genre_axes(axes: Axes, genres: Sequence[str]) -> None:
    """Label both axes of a matrix with genres."""
    axes.set_xticks(range(len(genres)), genres, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(genres)), genres)
    axes.spines[:].set_visible(False)


def genre_bars(report: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Return bars of precision, recall and F1 per genre; dashed lines are the means over the genres."""
    genres = [name for name in report if name != "macro average"]
    with rc_context(STYLE):
        figure = new_figure(2.8 + 0.62 * len(genres), 3.6)
        axes = figure.add_subplot()
        for index, (name, label, colour) in enumerate(GENRE_SCORES):
            heights = [report[genre][name] for genre in genres]
            mean = report["macro average"][name]
            axes.bar(np.arange(len(genres)) + 0.27 * (index - 1), heights, 0.25, color=colour, label=label)
            axes.axhline(mean, color=colour, linewidth=0.8, linestyle=(0, (4, 2 + index)), zorder=0)
        names = [f"{genre}\n({report[genre]['support']:.0f})" for genre in genres]
        axes.set_xticks(range(len(genres)), names, fontsize=9)
        axes.set(
            ylim=(0, 1),
            title=wrapped(title, figure),
            ylabel="score",
            xlabel="genre (tracks); dashed: mean over the genres",
        )
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def reliability_diagram(
    probability: Floats, accuracy: Floats, count: npt.NDArray[np.int64], error: float, title: str
) -> Figure:
    """Return accuracy by probability, and the number of cases per bin (Guo et al. 2017); few cases are hatched.

    Args:
        probability: (bins,) mean probability, nan for an empty bin.
        accuracy: (bins,) share of cases that are right, nan for an empty bin.
        count: (bins,) number of cases.
        error: the expected calibration error.
    """
    width = 1 / len(count)
    middle = (np.arange(len(count)) + 0.5) * width
    few = count < FEW_CASES
    with rc_context(STYLE):
        figure = new_figure(4.6, 5.4)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        solid: dict[str, Any] = {"color": BLUE, "label": "accuracy"}
        hatched = {"color": "white", "edgecolor": BLUE, "hatch": "////", "linewidth": 0.8}
        hatched["label"] = f"accuracy, fewer than {FEW_CASES} cases"
        for chosen, look in ((~few, solid), (few & (count > 0), hatched)):
            if chosen.any():
                above.bar(middle[chosen], accuracy[chosen], 0.92 * width, **look)
        above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfect calibration")
        above.plot(probability, accuracy, "o", color=VERMILION, markersize=4, label="mean of a bin", clip_on=False)
        above.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1))
        above.set_title(f"{wrapped(title, figure)}\nexpected calibration error {error:.3f}")
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
        below.bar(middle, count, 0.92 * width, color=GREY)
        below.set(xlabel="probability", ylabel="cases")
        below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure


def cooccurrence(
    true: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], genres: Sequence[str], title: str
) -> Figure:
    """Return how often two genres occur together, true and predicted, (genres, genres) each."""
    side = 2.2 + 0.4 * len(genres)
    with rc_context(STYLE):
        figure = new_figure(2 * side + 0.6, side)
        highest = max(1, true.max(), predicted.max())
        for axes, counts, label in zip(figure.subplots(1, 2), (true, predicted), ("true", "predicted"), strict=True):
            above = np.triu(np.ones(counts.shape, bool), 1)  # symmetric
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
    """Return the probability of each genre over time, and that of the whole track.

    Of more than 20 genres those are drawn that are the most probable anywhere, and the next by their highest value.

    Args:
        begin: (windows,) in seconds.
        end: (windows,) in seconds.
        probabilities: (windows, genres).
        mean: (genres,) probabilities of the whole track.
    """
    rows = most_present(probabilities)
    title += f" ({len(rows)} of {len(genres)} genres)" if len(rows) < len(genres) else ""
    probabilities, mean, genres = probabilities[:, rows], mean[rows], [genres[row] for row in rows]
    middle = (begin + end) / 2
    between = (middle[1:] + middle[:-1]) / 2
    edges = np.concatenate([begin[:1], between, end[-1:]])
    with rc_context(STYLE):
        figure = new_figure(9, 1.6 + 0.27 * len(genres))
        along, whole = figure.subplots(1, 2, sharey=True, width_ratios=(5, 1))
        borders = np.arange(len(genres) + 1) - 0.5
        image = along.pcolormesh(edges, borders, probabilities.T, cmap="Blues", vmin=0, vmax=1)
        along.plot(middle, probabilities.argmax(1), "o", color=VERMILION, markersize=3, label="most probable")
        along.set_yticks(range(len(genres)), genres)
        along.set(xlabel="time (s); dot: the most probable genre", title=title, ylim=(len(genres) - 0.5, -0.5))
        whole.barh(range(len(genres)), mean, color=BLUE)
        whole.set(xlim=(0, 1), xlabel="whole track")
        figure.colorbar(image, ax=whole, label="probability", shrink=0.9)
    return figure


def most_present(probabilities: Floats) -> list[int]:
    """Return the genres to draw over time, in their order: (windows, genres)."""
    highest = probabilities.max(0)
    first = set(probabilities.argmax(1).tolist())
    ranked = sorted(range(len(highest)), key=lambda genre: (genre not in first, -highest[genre]))
    return sorted(ranked[: max(GENRES_OVER_TIME, len(first))])


def grad_cam_panels(rows: Sequence[Explanation], title: str) -> Figure:
    """Return a row per track: its picture, then the Grad-CAM map of each of two genres over it."""
    with rc_context(STYLE):
        figure = new_figure(9.2, 0.8 + 3.0 * len(rows))
        grid = figure.subplots(len(rows), 3, squeeze=False)
        for panels, row in zip(grid, rows, strict=True):
            draw_spectrogram(panels[0], row, "magma")
            panels[0].set_title(row.title, fontsize=9, parse_math=False)
            for axes, (label, weight) in zip(panels[1:], row.maps.items(), strict=True):
                extent = draw_spectrogram(axes, row, "gray")
                image = axes.imshow(
                    weight, origin="lower", cmap="viridis", vmin=0, vmax=1, alpha=0.55, aspect="auto", extent=extent
                )
                axes.set_title(label, fontsize=9, parse_math=False)
            panels[0].set_ylabel("frequency (Hz, mel scale)")
        figure.colorbar(image, ax=grid[:, 1:], shrink=0.6, label="evidence (1: strongest)")
        figure.suptitle(f"Grad-CAM, {title}", fontsize=11)
    return figure


def draw_spectrogram(axes: Axes, row: Explanation, colours: str) -> tuple[float, float, float, float]:
    """Draw a track's picture with axes in seconds and Hz; return its extent."""
    height = len(row.picture)
    extent = (row.begin, row.begin + row.seconds, 0.0, float(height))
    axes.imshow(row.picture, origin="lower", cmap=colours, vmin=0, vmax=1, aspect="auto", extent=extent)
    highest = row.band_edges[-1]
    ticks = [hertz for hertz in TICK_FREQUENCIES if hertz <= highest]
    bands = len(row.band_edges) - 2
    heights = np.interp(ticks, row.band_edges, np.arange(bands + 2) - 0.5) * height / bands
    axes.set_yticks(heights, [f"{hertz:,}" for hertz in ticks], fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set(xlabel="time (s)", ylim=(0, height))
    axes.spines[:].set_visible(False)
    return extent


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None, title: str) -> Figure:
    """Return accuracy and loss by epoch, training and validation; the best epoch is marked (paper, figures 5 and 6).

    Args:
        history: a row per epoch, with ``epoch`` and ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy``.
        best_epoch: the epoch of best.ckpt.
    """
    with rc_context(STYLE):
        figure = new_figure(9, 3.8)
        for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
            for subset, colour, label in (
                ("train", TRAIN, "training (running mean, augmented)"),
                ("val", VAL, "validation"),
            ):
                points = [(row["epoch"], row[f"{subset}_{name}"]) for row in history if f"{subset}_{name}" in row]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), color=colour, label=label, marker=".", markersize=4, clip_on=False
                    )
            if best_epoch is not None:
                axes.axvline(best_epoch, color="grey", linewidth=0.8, linestyle="--", label=f"best: epoch {best_epoch}")
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if name == "accuracy":
                axes.set_ylim(0, 1.03)
        lines, labels = axes.get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower center", ncols=3, fontsize=8)
        figure.suptitle(title, fontsize=11)
    return figure


def examples(pictures: npt.NDArray[np.float32], titles: Sequence[str]) -> Figure:
    """Return input pictures of the network, low bands at the bottom: (examples, height, width) in [0, 1]."""
    columns = min(5, len(pictures))
    rows = -(-len(pictures) // columns)
    with rc_context(STYLE):
        figure = new_figure(2.0 * columns, 2.2 * rows)
        for number, (picture, title) in enumerate(zip(pictures, titles, strict=True), start=1):
            axes = figure.add_subplot(rows, columns, number)
            axes.imshow(picture, origin="lower", cmap="magma", vmin=0, vmax=1)
            axes.set_title(title, fontsize=9, parse_math=False)
            axes.set_axis_off()
    return figure


def threshold_curves(
    thresholds: npt.NDArray[np.float64],
    values: Mapping[str, npt.NDArray[np.float64]],
    tuned: npt.NDArray[np.float64] | None,
    title: str,
) -> Figure:
    """Return exact matches, F1, the share of tracks with one genre, and genres per track, by shared threshold.

    Args:
        thresholds: (thresholds,).
        values: name -> (thresholds,).
        tuned: (genres,) thresholds, marked; None if none were tuned.
    """
    with rc_context(STYLE):
        figure = new_figure(9, 3.6)
        shares, number = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        named = (("exact", "exact match", BLUE, "-"), ("micro_f1", "micro F1", VERMILION, "-"))
        for name, label, colour, line in (*named, ("exactly_one", "exactly one genre", GREY, "--")):
            shares.plot(thresholds, values[name], line, color=colour, label=label)
        shares.set(xlabel="threshold", ylabel="share of tracks, F1", ylim=(0, 1.03))
        number.plot(thresholds, values["genres"], color=GREEN, label="genres predicted per track")
        number.set(xlabel="threshold", ylabel="genres predicted per track", ylim=(0, None))
        for axes in (shares, number):
            axes.axvline(
                PAPER_THRESHOLD, color="grey", linewidth=0.8, linestyle=":", label=f"{PAPER_THRESHOLD} (paper)"
            )
            marked = np.unique([] if tuned is None else tuned)
            height = 1 if len(marked) <= FEW_LINES else RUG
            for index, threshold in enumerate(marked):
                axes.axvline(threshold, 0, height, color=PINK, linewidth=0.8, label="tuned" if index == 0 else None)
        lines, labels = shares.get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside lower center", ncols=5, fontsize=8)
        figure.suptitle(title, fontsize=11)
    return figure
