"""The accuracies of a table of runs as one figure, with the differences from one of them."""

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genre.evaluation.figures import BLUE, GREY, STYLE, VERMILION, new_figure, shorten
from genre.evaluation.table_row import TableRow, mean_and_deviation

LONGEST_MODEL = 48  # characters
ROW_HEIGHT = 0.27  # inches


def accuracies(rows: Sequence[TableRow], title: str) -> Figure | None:
    """Return test accuracies (left) and differences from the reference (right), with 95 % intervals.

    Args:
        rows: of one table, in the order of the figure; those without an interval, as the paper's, are left out.

    Returns:
        None if fewer than two rows have an interval.
    """
    drawn = [row for row in rows if row.interval is not None]
    if len(drawn) < 2:
        return None
    reference = next(row for row in drawn if row.difference is None)
    with rc_context(STYLE):
        figure = new_figure(9, 1.4 + ROW_HEIGHT * len(drawn))
        left, right = figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(drawn):
            draw_row(left, right, place, row)
        left.set_yticks(range(len(drawn)), [shorten(row.model, LONGEST_MODEL) for row in drawn])
        left.set(ylim=(len(drawn) - 0.5, -0.5), xlabel="test accuracy, %")
        right.axvline(0, color=GREY, linewidth=0.8)
        right.set(xlabel=f"difference from {shorten(reference.model, LONGEST_MODEL)}, points")
        right.tick_params(left=False)
        figure.suptitle(f"{title}; 95 % intervals", fontsize=10)
    return figure


def draw_row(left: Axes, right: Axes, place: int, row: TableRow) -> None:
    """Draw an accuracy with its interval, and its difference, coloured if its interval excludes 0."""
    accuracy, _ = mean_and_deviation(row.values["test accuracy"])
    assert accuracy is not None and row.interval is not None
    interval(left, place, accuracy, row.interval, BLUE)
    if row.difference is None:
        right.plot(0, place, "D", color=GREY, markersize=4)
        return
    low, high = row.difference.low, row.difference.high
    interval(right, place, row.difference.mean, (low, high), VERMILION if low > 0 or high < 0 else GREY)


def interval(axes: Axes, place: int, value: float, limits: tuple[float, float], colour: str) -> None:
    """Draw a value from 0 to 1 and its limits, in per cent."""
    axes.plot([100 * limits[0], 100 * limits[1]], [place, place], color=colour, linewidth=1.5)
    axes.plot(100 * value, place, "o", color=colour, markersize=5)
