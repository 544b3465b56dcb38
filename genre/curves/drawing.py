"""Figures of a learning curve, in the style of ``genre.evaluation.figures``."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, PercentFormatter

from genre.curves.fit import Extrapolation
from genre.curves.measure import Genre, Measurements, SizeScores
from genre.evaluation.arrays import Floats
from genre.evaluation.figures import BLUE, GREEN, GREY, STYLE, VERMILION, new_figure, shorten

FINE = 100  # points of a drawn curve
LONGEST_LABEL = 24  # characters of a genre
VERDICT_COLOURS = {"more": VERMILION, "enough": GREEN, "unclear": GREY, "few": "#BBBBBB"}
VERDICT_LABELS = {
    "more": "wants more music", "enough": "nothing gained", "unclear": "unclear", "few": "not judged",
}  # fmt: skip


def curve_figure(accuracy: SizeScores, extrapolation: Extrapolation, title: str) -> Figure:
    """Return accuracy by number of training tracks: points with intervals, the fit with its band, and twice as many."""
    tracks, most = accuracy.training, extrapolation.tracks
    with rc_context(STYLE):
        figure = new_figure(7, 4.4)
        axes = figure.add_subplot()
        for begin, end, line in ((tracks[0], most, "-"), (most, 2 * most, "--")):
            sizes = np.geomspace(begin, end, FINE)
            fitted, low, high = extrapolation.accuracy(sizes)
            measured = line == "-"
            label = "power law" if measured else "extrapolated to twice the tracks"
            axes.plot(sizes, fitted, line, color=BLUE, label=label)
            band = "95 % of the fits to resampled test tracks" if measured else None
            axes.fill_between(sizes, low, high, color=BLUE, alpha=0.22 if measured else 0.1, linewidth=0, label=band)
        errors = np.abs(np.array(accuracy.intervals).T - accuracy.values)
        axes.errorbar(
            tracks, accuracy.values, errors, fmt="o", color=VERMILION, capsize=3, label="measured, 95 % interval"
        )
        label_tracks(axes, [*tracks, 2 * most])
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set(ylabel="accuracy (cross-validation)", title=title)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def label_tracks(axes: Axes, sizes: Sequence[float] | Floats) -> None:
    """Make the horizontal axis one of numbers of tracks: logarithmic, labelled at these."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training tracks")


def recalls_figure(measured: Measurements, title: str) -> Figure:
    """Return the recall of each genre at each size, and what the last step has added; the largest gain is on top."""
    genres = sorted(measured.genres, key=lambda genre: genre.recall.gains[-1])
    with rc_context(STYLE):
        figure = new_figure(8.4, 2.1 + 0.32 * len(genres))
        recalls, gains = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        draw_recalls(recalls, genres)
        draw_gains(gains, genres)
        names = [f"{shorten(genre.name, LONGEST_LABEL)} ({len(genre.recall.groups)})" for genre in genres]
        recalls.set_yticks(range(len(genres)), names)
        recalls.set_ylim(-0.6, len(genres) - 0.4)
        figure.suptitle(title, fontsize=11)
        figure.legend(*recalls.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)
        figure.legend(*gains.get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8)
        for axes in (recalls, gains):
            axes.grid(axis="x", color="#E5E5E5", linewidth=0.8)
            axes.set_axisbelow(True)
    return figure


def draw_recalls(axes: Axes, genres: Sequence[Genre]) -> None:
    """Draw the recall of each genre at each size, paler for fewer training tracks."""
    training = genres[0].recall.training
    colours = colormaps["Blues"](np.linspace(0.3, 1, len(training)))
    rows = np.arange(len(genres))
    values = np.array([genre.recall.values for genre in genres])
    axes.hlines(rows, values.min(axis=1), values.max(axis=1), color="#CCCCCC", linewidth=1.5, zorder=1)
    for size, colour, column in zip(training, colours, values.T, strict=True):
        axes.scatter(column, rows, color=colour, s=30, zorder=2, label=f"{size:,.0f} training tracks", clip_on=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlim=(0, 1), xlabel="recall", ylabel="genre (tested tracks)")


def draw_gains(axes: Axes, genres: Sequence[Genre]) -> None:
    """Draw what the last step has added to each genre's recall, with its interval, coloured by the verdict."""
    before, after = genres[0].recall.training[-2:]
    axes.axvline(0, color="black", linewidth=0.8)
    seen = set()
    for row, genre in enumerate(genres):
        (low, high), gain = genre.recall.gain_intervals[-1], genre.recall.gains[-1]
        label = None if genre.verdict in seen else VERDICT_LABELS[genre.verdict]
        seen.add(genre.verdict)
        error = np.abs(np.array([[low], [high]]) - gain) * 100
        axes.errorbar(
            100 * gain, row, xerr=error, fmt="o", color=VERDICT_COLOURS[genre.verdict], capsize=3, label=label
        )
    axes.set_xlabel(f"points gained\nfrom {before:,.0f} to {after:,.0f} tracks")
    axes.tick_params(axis="y", left=False)
