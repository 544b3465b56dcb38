"""Pictures of a sweep, in the style of the results' (figures.py)."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.special import gammaln

from genre.evaluation.figures import STYLE, TRAIN, VAL, new_figure

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
POINT_COLOUR = "#B8B8B8"
SCORE_COLOURS = "viridis"
PANELS_PER_ROW = 5  # panels beside each other
LOG_SCALE_RATIO = 4  # times from the least cost to the largest, beyond which its axis is logarithmic


def axis_label(score: str) -> str:
    """A score's name as a label."""
    subset, name = score.split("/")
    return f"{'validation' if subset == 'val' else subset} {name}"


def marginals_figure(
    axes: Mapping[str, Sequence[str]], places: Mapping[str, Ints], values: Floats, score: str, title: str
) -> Figure:
    """The effect of each axis on its own: every point, and the mean over all other axes with its middle half.

    Args:
        axes: key -> its values, as shown.
        places: key -> which of them each point has, (points,).
        values: (points,).
    """
    across = min(PANELS_PER_ROW, len(axes))
    down = -(-len(axes) // across)
    with rc_context(STYLE):
        figure = new_figure(max(2.7 * across, 4.0), 2.9 * down + 0.4)
        panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
        for panel, (key, order) in zip(panels, axes.items(), strict=False):
            at = places[key]
            jitter = (np.arange(len(at)) * 0.618 % 1 - 0.5) * 0.3  # even, and the same at every drawing
            panel.plot(at + jitter, values, ".", color=POINT_COLOUR, markersize=4, zorder=1)
            groups = [values[at == place] for place in range(len(order))]
            means = [float(group.mean()) for group in groups]
            low, high = (np.array([np.percentile(group, edge) for group in groups]) for edge in (25, 75))
            panel.vlines(range(len(order)), low, high, color=TRAIN, linewidth=5, alpha=0.45, zorder=2)
            panel.plot(range(len(order)), means, "o-", color=VAL, linewidth=1, markersize=5, zorder=3)
            turned = max(map(len, order)) > 6
            panel.set_xticks(range(len(order)), order, rotation=25 if turned else 0, ha="right" if turned else "center")
            panel.set(xlabel=key, xlim=(-0.5, len(order) - 0.5))
        for panel in panels[:: max(across, 1)]:
            panel.set_ylabel(axis_label(score))
        for panel in panels[len(axes) :]:
            panel.set_axis_off()
        figure.suptitle(f"{title}: each axis, mean over the others (orange), middle half (blue)", fontsize=11)
    return figure


def parallel_figure(
    axes: Mapping[str, Sequence[str]],
    places: Mapping[str, Ints],
    values: Floats,
    score: str,
    title: str,
    largest: bool,
) -> Figure:
    """Every point as a line through its values, the best drawn last; of equal ones that which comes first.

    Args:
        axes: key -> its values, as shown.
        places: key -> which of them each point has, (points,).
        values: (points,).
        largest: whether the largest value is the best.
    """
    norm = Normalize(float(values.min()), float(values.max()) + 1e-9)
    heights = np.column_stack(
        [*((places[key] + 0.5) / len(order) for key, order in axes.items()), np.asarray(norm(values))]
    )
    order_drawn = np.argsort(-values if largest else values, kind="stable")[::-1]
    jitter = (np.arange(len(values)) * 0.618 % 1 - 0.5)[:, None] * 0.06
    heights[:, :-1] += jitter
    with rc_context(STYLE):
        figure = new_figure(2.1 * (len(axes) + 1) + 0.8, 4.2)
        panel = figure.add_subplot()
        panel.set_axis_off()
        colours = colormaps[SCORE_COLOURS if largest else f"{SCORE_COLOURS}_r"]
        for place in order_drawn:
            panel.plot(heights[place], color=colours(norm(values[place])), linewidth=1, alpha=0.75)
        panel.vlines(range(len(axes) + 1), 0, 1, color="black", linewidth=0.8)
        panel.text(len(axes), 1.03, axis_label(score), ha="center", va="bottom", fontsize=9)
        for height, edge in enumerate((norm.vmin, norm.vmax)):
            panel.text(len(axes) + 0.04, height, f"{edge:.3g}", ha="left", va="center", fontsize=8)
        best = order_drawn[-1]
        panel.plot(heights[best], color=VAL, linewidth=2.2)
        for column, (key, order) in enumerate(axes.items()):
            panel.text(column, 1.03, key, ha="center", va="bottom", fontsize=9)
            for place, label in enumerate(order):
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
                panel.text(column, (place + 0.5) / len(order), label, ha="center", va="center", fontsize=8, bbox=box)
        panel.set(ylim=(-0.03, 1.12), xlim=(-0.5, len(axes) + 0.4), title=f"{title} (the best in orange)")
    return figure


def importance_figure(shares: Mapping[str, float], title: str) -> Figure:
    """How much each axis matters: key -> share."""
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    with rc_context(STYLE):
        figure = new_figure(6.5, 1.2 + 0.4 * len(ordered))
        panel = figure.add_subplot()
        bars = panel.barh([key for key, _ in ordered], [share for _, share in ordered], color=TRAIN, height=0.6)
        panel.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
        panel.set(xlabel="importance among the best tenth (PED-ANOVA)", title=title, xlim=(0, 1.08))
        panel.tick_params(axis="y", length=0)
    return figure


def costs_figure(costs_figure: Mapping[str, Floats], values: Floats, score: str, title: str) -> Figure:
    """What a point is worth against what it costs.

    Args:
        costs: 'parameters' and 'seconds', (points,) each.
        values: (points,).
    """
    with rc_context(STYLE):
        figure = new_figure(4.5 * len(costs_figure), 3.6)
        panels = figure.subplots(1, len(costs_figure), sharey=True, squeeze=False)[0]
        for panel, (name, cost) in zip(panels, costs_figure.items(), strict=True):
            panel.plot(cost, values, "o", color=TRAIN, markersize=4, alpha=0.6, markeredgewidth=0)
            panel.set(xlabel="parameters of the network" if name == "parameters" else "seconds of training")
            if cost.max() > LOG_SCALE_RATIO * cost.min():
                panel.set_xscale("log")
                panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                panel.xaxis.set_minor_formatter(NullFormatter())
            else:
                panel.xaxis.set_major_locator(MaxNLocator(5))
            panel.xaxis.set_major_formatter(EngFormatter(sep="") if name == "parameters" else "{x:g}")
        panels[0].set_ylabel(axis_label(score))
        figure.suptitle(title, fontsize=11)
    return figure


def expected_best(ordered: Floats) -> Floats:
    """What the best of N random points is worth on average, for N from 1 to all: (points,) rising -> (points,).

    The i-th smallest of M values is the largest of N drawn without repetition with probability C(i-1, N-1) / C(M, N).
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


def random_search_figure(ordered: Floats, score: str, title: str, largest: bool) -> Figure:
    """What random search would have found, beside the grid's best.

    Args:
        ordered: (points,) rising; negative where the smallest value is the best.
        largest: whether the largest value is the best.
    """
    sign = 1 if largest else -1
    means = sign * expected_best(ordered)
    with rc_context(STYLE):
        figure = new_figure(6.5, 3.8)
        panel = figure.add_subplot()
        panel.axhline(sign * ordered[-1], color=VAL, linewidth=1.2, label=f"the whole grid ({len(ordered)} points)")
        panel.semilogx(np.arange(1, len(means) + 1), means, color=TRAIN, label="best of N random points, on average")
        panel.set(
            xlabel="N, points drawn at random", ylabel=axis_label(score), title=title, xlim=(1, max(len(means), 2))
        )
        panel.xaxis.set_major_formatter("{x:g}")
        panel.legend(loc="lower right" if largest else "upper right", fontsize=9)
    return figure
