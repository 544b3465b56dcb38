"""Figures of a sweep, in the style of ``genre.evaluation.figures``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.special import gammaln

from genre.evaluation.arrays import Floats
from genre.evaluation.figures import STYLE, TRAIN, VAL, new_figure

Ints = npt.NDArray[np.int64]
POINT_COLOUR = "#B8B8B8"
SCORE_COLOURS = "viridis"
PANELS_PER_ROW = 5
LOG_SCALE_RATIO = 4  # of the largest cost to the smallest, above which the axis of a cost is logarithmic
INCHES_PER_CHARACTER = 0.085  # of axis labels
COST_LABELS = {"parameters": "parameters of the network", "seconds": "training time of the point (s)"}


@dataclass(frozen=True)
class Axis:
    """A varied configuration key of a sweep.

    Args:
        key: of the configuration.
        labels: of its values, in the order in which they are drawn.
        indices: (points,) index of each point's value in ``labels``.
    """

    key: str
    labels: Sequence[str]
    indices: Ints

    @property
    def width(self) -> float:
        """Width in inches of its longest label."""
        return INCHES_PER_CHARACTER * max(map(len, self.labels))


@dataclass(frozen=True)
class Scores:
    """The scores of the points.

    Args:
        name: such as 'val/accuracy'.
        values: (points,).
        maximize: True if the largest is the best.
    """

    name: str
    values: Floats
    maximize: bool

    @property
    def label(self) -> str:
        """Name with its unit, for an axis."""
        subset, name = self.name.split("/")
        unit = "\n(fraction of tracks)" if name == "accuracy" else ""
        return f"{'validation' if subset == 'val' else subset} {name}{unit}"


def spread(count: int, width: float) -> Floats:
    """Return evenly scattered offsets within ``width``, the same in every drawing: (count,)."""
    return (np.arange(count, dtype=np.float64) * 0.618 % 1 - 0.5) * width


def marginals_figure(axes: Sequence[Axis], scores: Scores, title: str) -> Figure:
    """The effect of each axis: every point, and mean and quartiles over all points with the same value."""
    columns = min(PANELS_PER_ROW, len(axes))
    rows = -(-len(axes) // columns)
    with rc_context(STYLE):
        figure = new_figure(max(2.7 * columns, 5.0), 2.9 * rows + (0.5 if columns > 2 else 1.0))
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for panel, axis in zip(panels, axes, strict=False):
            draw_marginal(panel, axis, scores.values)
        for panel in panels[::columns]:
            panel.set_ylabel(scores.label)
        for panel in panels[len(axes) :]:
            panel.set_axis_off()
        figure.suptitle(title, fontsize=11)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3 if columns > 2 else 1, fontsize=9)
    return figure


def draw_marginal(panel: Axes, axis: Axis, values: Floats) -> None:
    """Draw the points of one axis, and their mean and quartiles per value."""
    groups = [values[axis.indices == index] for index in range(len(axis.labels))]
    positions = range(len(groups))
    low, high = (np.array([np.percentile(group, edge) for group in groups]) for edge in (25, 75))
    scattered = axis.indices + spread(len(values), 0.3)
    panel.plot(scattered, values, ".", color=POINT_COLOUR, markersize=4, zorder=1, label="one point of the sweep")
    panel.vlines(
        positions,
        low,
        high,
        color=TRAIN,
        linewidth=5,
        alpha=0.45,
        zorder=2,
        label="middle half of the points with this value",
    )
    means = [float(group.mean()) for group in groups]
    panel.plot(
        positions,
        means,
        "o-",
        color=VAL,
        linewidth=1,
        markersize=5,
        zorder=3,
        label="mean of the points with this value",
    )
    rotated = sum(map(len, axis.labels)) > 20
    panel.set_xticks(positions, axis.labels, rotation=25 if rotated else 0, ha="right" if rotated else "center")
    panel.set(xlabel=axis.key, xlim=(-0.5, len(groups) - 0.5))


def parallel_figure(axes: Sequence[Axis], scores: Scores, title: str) -> Figure:
    """Parallel coordinates: one line per point from value to value, ending at its score; the best is drawn last.

    Lines end at the boxes of the values, so that no line crosses a label. Of equal points the first is the best.
    """
    pitch = max(1.6, *(INCHES_PER_CHARACTER * len(axis.key) + 0.2 for axis in axes), *(axis.width + 1 for axis in axes))
    norm = Normalize(float(scores.values.min()), float(scores.values.max()) + 1e-9)
    count = len(scores.values)
    heights = [(axis.indices + 0.5 + spread(count, 0.4)) / len(axis.labels) for axis in axes]
    with rc_context(STYLE):
        figure = new_figure(max(pitch * len(axes) + 2.2, 6.5), 4.6)
        panel = figure.add_subplot()
        panel.set_axis_off()
        edges = [pitch * column + side * axis.width / 2 for column, axis in enumerate(axes) for side in (-1, 1)]
        paths = np.column_stack([*np.repeat(heights, 2, axis=0), np.asarray(norm(scores.values))])
        draw_lines(panel, [*edges, pitch * len(axes)], paths, scores)
        for column, axis in enumerate(axes):
            draw_values(panel, axis, pitch * column)
        draw_score_axis(panel, norm, scores.label, pitch * len(axes))
        panel.set(ylim=(-0.03, 1.14), xlim=(-axes[0].width / 2 - 0.3, pitch * len(axes) + 1.0))
        panel.set_title(f"{title}\none line per point, coloured by its score at the right; the best in orange")
    return figure


def draw_lines(panel: Axes, positions: Sequence[float], paths: Floats, scores: Scores) -> None:
    """Draw one line per point, the best last and in orange: (points, positions) heights, the scaled score last."""
    colours = score_colours(scores)
    worst_first = np.argsort(-scores.values if scores.maximize else scores.values, kind="stable")[::-1]
    for index in worst_first[:-1]:
        panel.plot(positions, paths[index], color=colours(paths[index, -1]), linewidth=1, alpha=0.75)
    panel.plot(positions, paths[worst_first[-1]], color=VAL, linewidth=2.2)


def score_colours(scores: Scores) -> Colormap:
    """Return the colour map of scores scaled to [0, 1]; the best is light."""
    return colormaps[SCORE_COLOURS if scores.maximize else f"{SCORE_COLOURS}_r"]


def draw_values(panel: Axes, axis: Axis, position: float) -> None:
    """Draw an axis of parallel coordinates: a box per value, in front of the lines."""
    width, height = axis.width + 0.1, 1 / len(axis.labels)
    for index, label in enumerate(axis.labels):
        corner = (position - width / 2, (index + 0.2) * height)
        panel.add_patch(Rectangle(corner, width, 0.6 * height, facecolor="white", edgecolor="black", zorder=4))
        panel.text(position, (index + 0.5) * height, label, ha="center", va="center", fontsize=8, zorder=5)
    panel.text(position, 1.03, axis.key, ha="center", va="bottom", fontsize=9)


def draw_score_axis(panel: Axes, norm: Normalize, label: str, position: float) -> None:
    """Draw the last axis of parallel coordinates, with the scores to its right."""
    assert norm.vmin is not None and norm.vmax is not None
    panel.vlines(position, 0, 1, color="black", linewidth=0.8, zorder=4)
    ticks = np.asarray(MaxNLocator(5).tick_values(norm.vmin, norm.vmax))
    margin = 1e-3 * (norm.vmax - norm.vmin)  # scores are float32: 0.1 is stored as 0.100000001
    for tick in ticks[(ticks >= norm.vmin - margin) & (ticks <= norm.vmax + margin)]:
        height = float(norm(tick))
        panel.hlines(height, position, position + 0.06, color="black", linewidth=0.8)
        panel.text(position + 0.1, height, f"{tick:.3g}", ha="left", va="center", fontsize=8)
    panel.text(position, 1.03, label, ha="center", va="bottom", fontsize=9)


def importance_figure(shares: Mapping[str, float], title: str) -> Figure:
    """The importance of each axis: key -> share."""
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    with rc_context(STYLE):
        figure = new_figure(6.5, 1.4 + 0.4 * len(ordered))
        panel = figure.add_subplot()
        bars = panel.barh([key for key, _ in ordered], [share for _, share in ordered], color=TRAIN, height=0.6)
        panel.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
        panel.set(
            xlabel="importance (share of 1)\nPED-ANOVA: the best tenth of the points compared with all", xlim=(0, 1.08)
        )
        panel.set_title(title)
        panel.tick_params(axis="y", length=0)
    return figure


def note_figure(note: str, title: str) -> Figure:
    """A sentence in place of a figure that would mean nothing."""
    with rc_context(STYLE):
        figure = new_figure(6.5, 1.4)
        panel = figure.add_subplot()
        panel.set_axis_off()
        panel.text(0.5, 0.5, note, ha="center", va="center", fontsize=9)
        panel.set_title(title)
    return figure


def costs_figure(costs: Mapping[str, Floats], scores: Scores, title: str) -> Figure:
    """Score of each point against its costs.

    Args:
        costs: a key of COST_LABELS -> (points,).
        scores: of the points.
        title: of the figure.
    """
    with rc_context(STYLE):
        figure = new_figure(4.5 * len(costs), 3.8)
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for panel, (name, cost) in zip(panels, costs.items(), strict=True):
            panel.plot(cost, scores.values, "o", color=TRAIN, markersize=4, alpha=0.6, markeredgewidth=0)
            panel.set_xlabel(COST_LABELS[name])
            if cost.max() > LOG_SCALE_RATIO * cost.min():
                use_log_scale(panel)
            else:
                panel.xaxis.set_major_locator(MaxNLocator(5))
            panel.xaxis.set_major_formatter(EngFormatter(sep="") if name == "parameters" else "{x:g}")
        panels[0].set_ylabel(scores.label)
        figure.suptitle(f"{title}\none dot per point", fontsize=11)
    return figure


def use_log_scale(panel: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers at 1, 2 and 5 times the powers of ten."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())


def expected_best(ordered: Floats) -> Floats:
    """Expected largest of N values drawn without replacement, for N from 1 to all: (points,) ascending -> (points,).

    The i-th smallest of M values is the largest of N drawn ones with probability C(i-1, N-1) / C(M, N).
    """
    count = len(ordered)
    rank, drawn = np.arange(1, count + 1)[None, :], np.arange(1, count + 1)[:, None]
    possible = rank >= drawn
    below = np.where(possible, rank - drawn + 1, 1)
    log_chance = (
        gammaln(rank) - gammaln(np.broadcast_to(drawn, below.shape)) - gammaln(below)
        - gammaln(count + 1) + gammaln(drawn + 1) + gammaln(count - drawn + 1)
    )  # fmt: skip
    chances = np.where(possible, np.exp(log_chance), 0.0)
    means: Floats = chances @ ordered
    return means


def random_search_figure(scores: Scores, title: str) -> Figure:
    """The expected best score of a random search with N points, beside the best of all points."""
    sign = 1 if scores.maximize else -1
    ascending = np.sort(sign * scores.values)
    means, count = sign * expected_best(ascending), len(ascending)
    with rc_context(STYLE):
        figure = new_figure(6.5, 4.0)
        panel = figure.add_subplot()
        panel.axhline(sign * ascending[-1], color=VAL, linewidth=1.2, label=f"best of all {count} points")
        panel.plot(np.arange(1, count + 1), means, ".-", color=TRAIN, label="mean best score of N random points")
        if count > 10:
            use_log_scale(panel)
        else:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set(xlabel="N: number of points drawn at random", ylabel=scores.label, xlim=(0.95, max(count, 2) * 1.05))
        panel.set_title(title)
        panel.legend(loc="lower right" if scores.maximize else "upper right", fontsize=9)
    return figure
