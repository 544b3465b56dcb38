"""Pictures of a collection, in the style of the results' (figures.py): boxplots by genre, a mel spectrogram."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

from genre.evaluation.figures import STYLE, TRAIN, VAL, new_figure

FILL = "#CFE3F1"  # the blue of the results' figures, light enough for the median to stand out in print
OCTAVES = (512, 1024, 2048, 4096, 8192)  # Hz


def boxes(values: Mapping[str, Sequence[float]], label: str, title: str) -> Figure:
    """How a feature is distributed in each genre (figures 2 and 3 of the source document).

    The box holds the middle half of a genre's tracks, its line is their median; whiskers reach to the furthest track
    within 1.5 box lengths, and every track beyond is a point.

    Args:
        values: genre -> a number a track.
    """
    with rc_context(STYLE):
        figure = new_figure(max(4.0, 1.6 + 0.62 * len(values)), 4.0)
        axes = figure.add_subplot()
        axes.boxplot(
            list(values.values()),
            tick_labels=list(values),
            widths=0.6,
            patch_artist=True,
            boxprops={"facecolor": FILL, "edgecolor": TRAIN},
            medianprops={"color": VAL, "linewidth": 2},
            whiskerprops={"color": TRAIN},
            capprops={"color": TRAIN},
            flierprops={"marker": ".", "markersize": 4, "markerfacecolor": "#666666", "markeredgecolor": "none"},
        )
        axes.set_xticks(axes.get_xticks(), list(values), rotation=45, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0)
        axes.yaxis.grid(True, color="#E5E5E5", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set(ylabel=label, title=title)
    return figure


def mel_spectrogram(
    level: npt.NDArray[np.float32], seconds: float, edges: npt.NDArray[np.float64], title: str
) -> Figure:
    """A mel spectrogram with its axes (figure 1 of the source document), low bands at the bottom.

    Args:
        level: (bands, columns) in dB below the clip's maximum.
        seconds: what the columns span.
        edges: (bands + 2,) of the overlapping bands, in Hz: the first and last, and between them the middles.
    """
    with rc_context(STYLE):
        figure = new_figure(8, 3.6)
        axes = figure.add_subplot()
        image = axes.imshow(
            level, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0, interpolation="nearest",
            extent=(0, seconds, -0.5, len(level) - 0.5),
        )  # fmt: skip
        shown = [edges[0], *(hertz for hertz in OCTAVES if hertz < 0.9 * edges[-1]), edges[-1]]
        places = np.interp(shown, edges, np.arange(-1, len(level) + 1)).clip(-0.5, len(level) - 0.5)
        axes.set_yticks(places, [f"{hertz:,.0f}" for hertz in shown])
        axes.set(xlabel="time (s)", ylabel="frequency (Hz, mel scale)", title=title)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.set_label("relative to the loudest point")
        bar.ax.yaxis.set_major_formatter("{x:.0f} dB")
        bar.outline.set_visible(False)
    return figure
