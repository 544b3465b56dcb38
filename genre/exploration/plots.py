"""Figures of a collection: boxplots by genre, a mel spectrogram."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genre.evaluation.figures import STYLE, TRAIN, VAL, new_figure, shorten
from genre.evaluation.many_genres import MANY_GENRES

FILL = "#CFE3F1"  # a light TRAIN blue, so that the median is visible in print
TICKS = (500, 1000, 2000, 4000, 8000)  # Hz
GENRE_WIDTH = 20  # characters of a genre below a box


def boxplots(values: Mapping[str, Sequence[float]], label: str, title: str) -> Figure:
    """Boxplot of a feature per genre (figures 2 and 3 of the paper).

    The box spans the middle half of a genre's tracks, its line is the median; whiskers reach to the furthest track
    within 1.5 box lengths; tracks beyond are points. Many genres are below each other.

    Args:
        values: genre -> one value per track.
        label: of the y axis.
    """
    many = len(values) > MANY_GENRES
    size = (8.0, 1.2 + 0.2 * len(values)) if many else (max(4.0, 1.6 + 0.62 * len(values)), 4.0)
    with rc_context(STYLE):
        figure = new_figure(*size)
        axes = figure.add_subplot()
        axes.boxplot(
            list(values.values()),
            orientation="horizontal" if many else "vertical",
            widths=0.6,
            patch_artist=True,
            boxprops={"facecolor": FILL, "edgecolor": TRAIN},
            medianprops={"color": VAL, "linewidth": 2},
            whiskerprops={"color": TRAIN},
            capprops={"color": TRAIN},
            flierprops={"marker": ".", "markersize": 4, "markerfacecolor": "#666666", "markeredgecolor": "none"},
        )
        label_boxes(axes, [shorten(genre, GENRE_WIDTH) for genre in values], many)
        axes.set(title=title, **{"xlabel" if many else "ylabel": label})
    return figure


def label_boxes(axes: Axes, names: Sequence[str], horizontal: bool) -> None:
    """Name the boxes, and draw a grid along the values."""
    of_names, of_values = (axes.yaxis, axes.xaxis) if horizontal else (axes.xaxis, axes.yaxis)
    slanted: dict[str, Any] = {} if horizontal else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    of_names.set_ticks(range(1, len(names) + 1), names, **slanted)
    of_names.set_tick_params(length=0)
    of_values.set_major_formatter("{x:,g}")
    of_values.grid(True, color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    if horizontal:
        axes.invert_yaxis()


def mel_spectrogram(
    level: npt.NDArray[np.float32], seconds: float, edges: npt.NDArray[np.float64], title: str
) -> Figure:
    """Mel spectrogram with axes (figure 1 of the paper), low bands at the bottom.

    Args:
        level: (bands, columns) in dB relative to the clip's maximum.
        seconds: duration of all columns.
        edges: (bands + 2,) in Hz: lower edge of the first band, centre of each band, upper edge of the last band.
    """
    with rc_context(STYLE):
        figure = new_figure(8, 3.6)
        axes = figure.add_subplot()
        image = axes.imshow(
            level, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0, interpolation="nearest",
            extent=(0, seconds, -0.5, len(level) - 0.5),
        )  # fmt: skip
        ticks = [edges[0], *(hertz for hertz in TICKS if hertz < 0.9 * edges[-1]), edges[-1]]
        positions = np.interp(ticks, edges, np.arange(-1, len(level) + 1)).clip(-0.5, len(level) - 0.5)
        axes.set_yticks(positions, [f"{hertz:,.0f}" for hertz in ticks])
        axes.set(xlabel="time (s)", ylabel="frequency (Hz, mel scale)", title=title)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.set_label("level relative to the maximum")
        bar.ax.yaxis.set_major_formatter("{x:.0f} dB")
        bar.outline.set_visible(False)
    return figure
