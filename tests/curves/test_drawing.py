"""Figures of a learning curve: nothing is cut off, and their axes and dashes say what was measured and what was not."""

import numpy as np
import pytest

from genre.curves.drawing import curve_figure, recalls_figure
from genre.curves.fit import extrapolate
from genre.curves.measure import Genre, Measurements, SizeScores

TITLE = "vgg16-pooled, split artist (seed 0, 5 folds)"
TRACKS = np.array([56.0, 112.0, 225.0, 1450.0])


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    hits = (generator.random((4, 200)) < np.array([[0.3], [0.4], [0.5], [0.6]])).astype(float)
    return SizeScores(hits, [str(track) for track in range(200)], TRACKS)


def fitted(scores):
    return extrapolate(scores.training, scores.values, scores.resampled)


def recalls(scores, genres):
    names = ["jazz", "a genre whose name is as long as some of them are", *map(str, range(20))][:genres]
    verdicts = ["more", "enough", "unclear", "few"] * 6
    judged = [Genre(name, scores, verdict) for name, verdict in zip(names, verdicts, strict=False)]
    return recalls_figure(Measurements([0.1, 0.2, 0.5, 1], scores, judged, 0.1), TITLE)


@pytest.mark.parametrize("genres", [0, 2, 22], ids=["curve", "two genres", "many genres"])
def test_no_text_is_cut_off(scores, genres):
    figure = recalls(scores, genres) if genres else curve_figure(scores, fitted(scores), TITLE)
    figure.canvas.draw()
    drawn = figure.get_tightbbox(figure.canvas.get_renderer())  # in inches
    width, height = figure.get_size_inches()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height


def test_what_was_not_measured_is_dashed(scores):
    (axes,) = curve_figure(scores, fitted(scores), TITLE).axes
    lines = {line.get_linestyle(): line.get_xdata() for line in axes.lines if len(line.get_xdata()) > 10}
    assert (lines["-"][0], lines["-"][-1]) == pytest.approx((56, 1450))
    assert (lines["--"][0], lines["--"][-1]) == pytest.approx((1450, 2900))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["56", "112", "225", "1,450", "2,900"]


def test_a_genre_has_its_recall_at_each_size_and_its_gain(scores):
    left, right = recalls(scores, 2).axes
    assert [points.get_offsets()[0, 0] for points in left.collections[1:]] == pytest.approx(scores.values)
    assert [line.get_xdata()[0] for line in right.lines if line.get_marker() == "o"] == pytest.approx(
        [100 * scores.gains[-1]] * 2
    )
    assert right.get_xlabel() == "points gained\nfrom 225 to 1,450 tracks"
