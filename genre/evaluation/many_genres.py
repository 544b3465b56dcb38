"""Figures of more genres than fit into those of ``genre.evaluation.figures``: ordered, without text in cells."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, PowerNorm
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from genre.evaluation.arrays import Floats
from genre.evaluation.figures import BLUE, GENRE_SCORES, STYLE, new_figure, shorten

MANY_GENRES = 30  # more are drawn as here
CELL = 0.115  # inches
NAME_SIZE = 6.0  # points: names of neighbouring cells do not touch
LONGEST_GENRE = 26  # characters
ROWS_PER_PANEL = 54
ROW = 0.19  # inches

Counts = npt.NDArray[np.int64]


def similar_order(share: Floats) -> npt.NDArray[np.intp]:
    """Order genres so that those which are confused, or occur together, are neighbours.

    Average-linkage clustering by 1 minus the mean of both shares, leaves ordered by Bar-Joseph et al. (2001).

    Args:
        share: (genres, genres) share of the row's tracks that have the column.
    """
    distance = 1 - (share + share.T).clip(0, 2) / 2
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance), "average", optimal_ordering=True)).astype(np.intp)


def clustered_confusion(counts: Counts, support: Counts, genres: Sequence[str], title: str, multilabel: bool) -> Figure:
    """Return a confusion matrix whose genres are clustered by their confusions; see ``figures.confusion``."""
    share = counts / np.maximum(support, 1)[:, None]
    order = similar_order(share)
    with rc_context(STYLE):
        figure, axes = square_figure(len(genres))
        image = axes.imshow(share[np.ix_(order, order)], cmap="Blues", norm=PowerNorm(0.5, 0, 1))
        label_cells(axes, [genres[index] for index in order])
        axes.set(xlabel="predicted", ylabel="one of the true genres" if multilabel else "true")
        axes.set_title(f"{title}\ngenres that are confused are neighbours")
        figure.colorbar(image, ax=axes, shrink=0.5, aspect=40, label="share of the true genre's tracks")
    return figure


def clustered_cooccurrence(true: Counts, predicted: Counts, genres: Sequence[str], title: str) -> Figure:
    """Return how often two genres occur together: true below the diagonal, predicted above; (genres, genres) each."""
    order = similar_order(true / np.maximum(true.diagonal(), 1)[:, None])
    both = np.tril(true[np.ix_(order, order)]) + np.triu(predicted[np.ix_(order, order)], 1)
    with rc_context(STYLE):
        figure, axes = square_figure(len(genres))
        shown = np.where(both > 0, both, np.nan)
        image = axes.imshow(shown, cmap="viridis", norm=LogNorm(1, max(2, both.max())))
        label_cells(axes, [genres[index] for index in order])
        axes.set_title(f"{title}\ntogether: true below the diagonal (on it: tracks with the genre), predicted above")
        figure.colorbar(image, ax=axes, shrink=0.5, aspect=40, label="tracks")
    return figure


def square_figure(genres: int) -> tuple[Figure, Axes]:
    """Return a figure for a matrix of some genres, and its axes."""
    side = 2.6 + CELL * genres
    figure = new_figure(side + 0.9, side)
    return figure, figure.add_subplot()


def label_cells(axes: Axes, genres: Sequence[str]) -> None:
    """Label rows and columns with genres, with a faint line at every fifth."""
    names = [shorten(genre, LONGEST_GENRE) for genre in genres]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=NAME_SIZE)
    axes.set_yticks(range(len(names)), names, fontsize=NAME_SIZE)
    axes.tick_params(length=1.5, pad=1.5)
    axes.spines[:].set_visible(False)
    for line in np.arange(4.5, len(names) - 1, 5):
        axes.axhline(line, color="#BBBBBB", linewidth=0.3)
        axes.axvline(line, color="#BBBBBB", linewidth=0.3)


def confusion_bars(confusions: Sequence[tuple[str, str, int, int]], title: str) -> Figure:
    """Return bars of the most frequent confusions.

    Args:
        confusions: true genre, predicted genre, tracks, tracks of the true genre; the most frequent first; not none.
    """
    places = range(len(confusions))
    names = [
        f"{shorten(true, LONGEST_GENRE)} predicted as {shorten(other, LONGEST_GENRE)}"
        for true, other, _, _ in confusions
    ]
    numbers = [count for _, _, count, _ in confusions]
    with rc_context(STYLE):
        figure = new_figure(8.5, 1.2 + 0.27 * len(confusions))
        axes = figure.add_subplot()
        axes.barh(places, numbers, color=BLUE)
        for place, (_, _, count, support) in zip(places, confusions, strict=True):
            text = f" {count} of {support} ({count / support:.0%})"
            axes.text(count, place, text, va="center", fontsize=8)
        axes.set_yticks(places, names, fontsize=8)
        axes.set(xlabel="tracks", xlim=(0, 1.25 * max(numbers)), ylim=(len(confusions) - 0.5, -0.5), title=title)
    return figure


def genre_dots(report: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Return precision, recall and F1 as dots, a row per genre in panels side by side, the highest F1 first."""
    genres = sorted((name for name in report if name != "macro average"), key=lambda name: -report[name]["f1"])
    columns = -(-len(genres) // ROWS_PER_PANEL)
    rows = -(-len(genres) // columns)
    with rc_context(STYLE):
        figure = new_figure(4.3 * columns, 1.2 + ROW * rows)
        for number, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
            draw_dots(axes, report, genres[number * rows : (number + 1) * rows], rows)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(f"{title}\ngenre (tracks); dashed: mean over the genres", fontsize=11)
    return figure


def draw_dots(axes: Axes, report: Mapping[str, Mapping[str, float]], genres: Sequence[str], rows: int) -> None:
    """Draw one panel of ``genre_dots``, with room for ``rows`` rows."""
    places = np.arange(len(genres))
    for name, label, colour in GENRE_SCORES:
        axes.plot([report[genre][name] for genre in genres], places, "o", color=colour, markersize=4, label=label)
        axes.axvline(report["macro average"][name], color=colour, linewidth=0.8, linestyle="--", zorder=0)
    names = [f"{shorten(genre, LONGEST_GENRE)} ({report[genre]['support']:.0f})" for genre in genres]
    axes.set_yticks(places, names, fontsize=8)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set(xlim=(-0.02, 1.02), ylim=(rows - 0.5, -0.5), xlabel="score")
