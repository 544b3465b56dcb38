"""Figures of 87 to 161 genres fit on a screen's canvas, with every name, similar genres side by side."""

from itertools import pairwise

import numpy as np
import pytest

from genre.evaluation import figures, many_genres, report
from genre.models.postprocessing import PostProcessing

BLOCKS = 7  # genres are confused within theirs


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""


@pytest.fixture(scope="module")
def many(make_predictions):
    """Predictions of a number of genres, whose mistakes are within blocks: genre g belongs to block g % 7."""

    def make(genres, multilabel=False):
        random = np.random.default_rng(0)
        true = np.repeat(np.arange(genres), 6)
        other = (true + BLOCKS * random.integers(0, 3, len(true))) % (genres - genres % BLOCKS)
        targets, predicted = np.eye(genres, dtype=bool)[true], np.eye(genres, dtype=bool)[other]
        names = tuple(f"Genre number {number}" for number in range(genres))
        return make_predictions(targets, predicted * 0.8 + 0.1, predicted, multilabel=multilabel, genres=names)

    return make


def names_on(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize(("genres", "multilabel"), [(87, True), (161, False)])
def test_every_figure_fits_on_4000_pixels(many, genres, multilabel):
    pages = report.subset_figures(many(genres, multilabel), "test", PostProcessing())
    sizes = {name: page.get_size_inches() * figures.DOTS_PER_INCH for name, page in pages.items()}
    assert all(size.max() < 4000 for size in sizes.values())
    assert {"confusion", "confusions", "genres", "reliability"} <= pages.keys()
    assert ("cooccurrence" in pages) == multilabel


def test_thirty_genres_have_the_figures_of_few(many):
    pages = report.subset_figures(many(30), "test", PostProcessing())
    assert pages["confusion"].axes[0].texts and "confusions" not in pages


def test_names_beside_the_cells_do_not_touch(many):
    predictions = many(161)
    figure = report.predictions_confusion(predictions, "test")
    figure.canvas.draw()
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        assert sorted(names_on(axis)) == sorted(predictions.genres)
        boxes = sorted(
            (label.get_window_extent().extents for label in axis.get_ticklabels()), key=lambda box: box[:2].sum()
        )
        assert not any(
            one[2] > other[0] and one[3] > other[1] and one[0] < other[2] and one[1] < other[3]
            for one, other in pairwise(boxes)
        )


def test_genres_that_are_confused_are_neighbours(many):
    predictions = many(84)
    axes = report.predictions_confusion(predictions, "test").axes[0]
    blocks = [int(name.split()[-1]) % BLOCKS for name in names_on(axes.yaxis)]
    assert sum(one != other for one, other in pairwise(blocks)) == BLOCKS - 1
    assert names_on(axes.xaxis) == names_on(axes.yaxis)


def test_cells_are_the_share_of_the_true_genre(many):
    predictions = many(84)
    axes = report.predictions_confusion(predictions, "test").axes[0]
    index = [predictions.genres.index(name) for name in names_on(axes.yaxis)]
    expected = (predictions.confusion_counts / 6)[np.ix_(index, index)]
    np.testing.assert_allclose(axes.images[0].get_array(), expected)


def test_genres_that_never_occur_and_are_never_predicted_are_ordered_too():
    assert sorted(many_genres.similar_order(np.zeros((40, 40))).tolist()) == list(range(40))


def test_true_pairs_are_below_the_diagonal_and_predicted_ones_above():
    true, predicted = np.full((40, 40), 3), np.full((40, 40), 5)
    axes = many_genres.clustered_cooccurrence(true, predicted, [f"{n}" for n in range(40)], "test").axes[0]
    shown = axes.images[0].get_array()
    assert (shown[np.tril_indices(40)] == 3).all() and (shown[np.triu_indices(40, 1)] == 5).all()


def test_the_20_most_frequent_confusions_are_bars_with_their_share(many):
    predictions = many(84)
    axes = report.subset_figures(predictions, "test", PostProcessing())["confusions"].axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert len(widths) == 20 and widths == sorted(widths, reverse=True)
    true, _, predicted = names_on(axes.yaxis)[0].partition(" predicted as ")
    count = predictions.confusion_counts[predictions.genres.index(true), predictions.genres.index(predicted)]
    assert widths[0] == count and axes.texts[0].get_text() == f" {count} of 6 ({count / 6:.0%})"


def test_predictions_without_a_mistake_have_no_bars(make_predictions):
    targets = np.eye(40, dtype=bool)
    predictions = make_predictions(targets, targets * 0.9, targets, genres=tuple(f"g{n}" for n in range(40)))
    assert "confusions" not in report.subset_figures(predictions, "test", PostProcessing())


def test_each_genre_has_a_row_of_dots_the_best_first(many):
    predictions = many(161)
    figure = report.subset_figures(predictions, "test", PostProcessing())["genres"]
    names = [name.rpartition(" (")[0] for axes in figure.axes for name in names_on(axes.yaxis)]
    values = report.genre_report(predictions)
    assert names == sorted(predictions.genres, key=lambda name: -values[name]["f1"])


def test_over_time_the_genres_that_are_there_are_drawn():
    probabilities = np.full((3, 161), 0.001)
    probabilities[[0, 1, 2], [150, 7, 60]] = 0.8
    probabilities[1, 33] = 0.5
    names = [f"Genre number {number}" for number in range(161)]
    begin = np.arange(3.0)
    axes = figures.over_time(begin, begin + 1, probabilities, probabilities.mean(0), names, "song").axes[0]
    assert {names[index] for index in (7, 33, 60, 150)} <= set(names_on(axes.yaxis))
    assert len(names_on(axes.yaxis)) == 20 and axes.get_title() == "song (20 of 161 genres)"
    dots = [names_on(axes.yaxis)[int(place)] for place in axes.lines[0].get_ydata()]
    assert dots == [names[150], names[7], names[60]]
