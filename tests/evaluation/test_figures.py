"""Figures show what their titles and axes say."""

import logging
import warnings

import numpy as np
import pytest

from genre.evaluation import figures
from genre.transforms.spectrogram import LogMel


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""


def test_a_long_name_is_shortened_in_its_middle():
    assert figures.shorten("short.mp3", 12) == "short.mp3"
    assert figures.shorten("The Band - A Very Long Title (Live).mp3", 12) == "The …ve).mp3"


def test_bins_of_few_cases_are_hatched():
    values = np.array([0.25, 0.75])
    axes = figures.reliability_diagram(values, values, np.array([40, 1]), 0.0, "title").axes[0]
    assert [(bar.get_x() > 0.4, bar.get_hatch()) for bar in axes.patches] == [(False, None), (True, "////")]


def test_the_accuracy_axis_has_room_above_1():
    history = [{"epoch": 0.0, "train_loss": 0.0, "train_accuracy": 1.0}]
    figure = figures.curves(history, 0, "run: learning curves")
    assert figure.axes[0].get_ylim()[1] > 1.02
    assert figure.get_suptitle() == "run: learning curves"


def test_every_axis_of_the_bars_has_a_label():
    row = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3.0}
    axes = figures.genre_bars({"rock": row, "macro average": row}, "title").axes[0]
    assert axes.get_ylabel() == "score" and axes.get_xlabel().startswith("genre (tracks)")


@pytest.fixture
def explanation():
    picture = np.zeros((64, 64), np.float32)
    edges = LogMel(22_050, 2048, 512, 128, 8000.0).band_edges()
    return figures.Explanation("A$AP.mp3\nrock", picture, {"for rock": picture, "for pop": picture}, 12.0, 5.0, edges)


def test_grad_cam_has_axes_in_seconds_and_hertz(explanation):
    axes = figures.grad_cam_panels([explanation], "test").axes[0]
    assert axes.get_xlim() == (12.0, 17.0) and axes.get_xlabel() == "time (s)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["512", "1,024", "2,048", "4,096"]
    assert axes.get_ylabel() == "frequency (Hz, mel scale)"


def test_the_band_whose_middle_is_at_a_frequency_is_drawn_there(explanation):
    """Band k of 128 covers the picture's heights k/2 to (k + 1)/2 of 64."""
    axes = figures.grad_cam_panels([explanation], "test").axes[0]
    middles = explanation.band_edges[1:-1]
    for frequency, height in zip((512, 1024, 2048, 4096), axes.get_yticks(), strict=True):
        assert abs(np.abs(middles - frequency).argmin() / 2 + 0.25 - height) <= 0.26


def test_names_in_any_script_are_drawn_with_at_most_one_warning(explanation, monkeypatch, caplog):
    monkeypatch.setitem(figures.STYLE, "font.family", ["DejaVu Sans"])
    figure = figures.examples(np.zeros((1, 8, 8), np.float32), ["日本語 中文 한국어"])
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        assert figures.rasterize(figure).shape[2] == 3
    assert caplog.text.count("Noto Sans CJK") == 1


def test_only_installed_fonts_are_asked_for(caplog):
    with caplog.at_level(logging.WARNING, "matplotlib.font_manager"):
        figures.rasterize(figures.examples(np.zeros((1, 8, 8), np.float32), ["A$AP $x^$ Ünï"]))
    assert caplog.text == ""


LONG = (
    "test, split artist (seed 0, fold 1 of 5, fault-filtered train and val, 43 of 639 tracks without artist), 9 tracks"
)


@pytest.mark.parametrize("genres", [4, 10])
def test_a_long_title_lies_inside_the_figure(genres):
    names, ones = [f"genre{number}" for number in range(genres)], np.ones(genres)
    row = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 9.0}
    bins = np.linspace(0.05, 0.95, 10)
    drawn = [
        figures.confusion(np.eye(genres, dtype=int), ones.astype(int), names, LONG, False),
        figures.genre_bars(dict.fromkeys([*names, "macro average"], row), LONG),
        figures.reliability_diagram(bins, bins, np.full(10, 9), 0.0, LONG),
    ]
    for figure in drawn:
        figures.rasterize(figure)
        title = figure.axes[0].title
        assert " ".join(title.get_text().split()).startswith(LONG)
        box, page = title.get_window_extent(), figure.bbox
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and box.y1 <= page.y1
