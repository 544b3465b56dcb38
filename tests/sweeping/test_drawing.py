"""Figures of a sweep: nothing is cut off or covered, and the expected best of a random search is exact."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from optuna.trial import TrialState

from genre.sweeping.drawing import draw_score_axis, expected_best
from genre.sweeping.finalists import Selection
from genre.sweeping.queue import QueueEntry
from genre.sweeping.report import importance_note, sweep_figures

LR = {"optimizer.lr": [1e-4, 1e-3, 1e-2]}
TWO = {"model.kernel_size": [3, 5], "model.filters": [[16, 32, 64], [32, 64, 128]]}
FOUR = {"model.dense_units": [32, 64, 128, 256], "model.dropout": [0, 0.3, 0.5], **LR, "optimizer.weight_decay": [0, 1]}


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""


def figures(axes, score="val/accuracy"):
    """Draw a sweep over these axes with random scores."""
    random = np.random.default_rng(0)
    entries = []
    for number, values in enumerate(itertools.product(*axes.values())):
        value = round(random.normal(0.6, 0.06), 2)
        results = {"val/loss": 1 - value, "val/accuracy": value, "parameters": 10_000 * (number + 1), "seconds": value}
        entries.append(QueueEntry(number, TrialState.COMPLETE, dict(zip(axes, values, strict=True)), value, results))
    done = Selection(score, 1, (0,)).rank(entries)
    title = f"Sweep document: {len(done)} points, 70 validation tracks"
    return sweep_figures(done, [entry.point for entry in done], Selection(score, 1, (0,)), title)


@pytest.mark.parametrize("score", ["val/accuracy", "val/loss"])
@pytest.mark.parametrize("axes", [LR, TWO, FOUR], ids=["one axis", "two axes", "four axes"])
def test_no_text_of_a_figure_is_cut_off(axes, score):
    for name, figure in figures(axes, score).items():
        figure.canvas.draw()
        drawn = figure.get_tightbbox(figure.canvas.get_renderer())  # in inches
        width, height = figure.get_size_inches()
        assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height, name


def test_no_line_of_parallel_coordinates_crosses_the_label_of_a_value():
    figure = figures(FOUR)["parallel"]
    (panel,) = figure.axes
    for box in panel.patches:
        left, right = box.get_x(), box.get_x() + box.get_width()
        for line in panel.lines:
            positions = np.asarray(line.get_xdata(), float)
            assert not ((positions > left + 0.06) & (positions < right - 0.06)).any()
        assert all(line.get_zorder() < box.get_zorder() for line in panel.lines)


def test_the_score_axis_of_parallel_coordinates_names_its_ends():
    panel = Figure().add_subplot()
    draw_score_axis(panel, Normalize(float(np.float32(0.1)), float(np.float32(0.2))), "accuracy", 0)
    assert [text.get_text() for text in panel.texts] == ["0.1", "0.125", "0.15", "0.175", "0.2", "accuracy"]


@pytest.mark.parametrize(("axes", "labels"), [(FOUR, ["1", "2", "5", "10", "20", "50"]), (TWO, ["1", "2", "3", "4"])])
def test_random_searchs_axis_has_plain_numbers(axes, labels):
    figure = figures(axes)["random"]
    figure.canvas.draw()
    (panel,) = figure.axes
    low, high = panel.get_xlim()
    ticks = [*panel.xaxis.get_major_ticks(), *panel.xaxis.get_minor_ticks()]
    shown = [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high]
    assert [label for label in shown if label] == labels


def test_the_importance_of_few_or_equal_points_is_not_computed():
    assert "needs 50 complete points; this sweep has 49" in importance_note(np.arange(49.0))
    assert "all points have the same score" in importance_note(np.ones(50))
    assert importance_note(np.arange(50.0)) == ""
    assert not figures(TWO)["importance"].axes[0].patches and figures(FOUR)["importance"].axes[0].patches


def test_the_expected_best_equals_the_mean_best_of_random_draws():
    values = np.sort(np.random.default_rng(0).random(12))
    draws = np.random.default_rng(1)
    means = expected_best(values)
    assert means[0] == pytest.approx(values.mean()) and means[-1] == pytest.approx(values.max())
    for count in (2, 5, 9):
        drawn = [draws.choice(values, count, replace=False).max() for _ in range(20_000)]
        assert means[count - 1] == pytest.approx(np.mean(drawn), abs=0.005)


def test_the_expected_best_of_many_points_stays_finite():
    means = expected_best(np.arange(576.0))
    assert np.isfinite(means).all() and (np.diff(means) > 0).all()
    assert means[1] == pytest.approx(575 - 577 / 3 + 1 / 3, abs=1)
