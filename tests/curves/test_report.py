"""The sentences say what the numbers say, plainly where more music would hardly help."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genre.curves.fit import extrapolate
from genre.curves.measure import Genre, Measurements, SizeScores
from genre.curves.report import number, outlook, write_curve_report
from helpers import csv_rows


def scores(*shares, tested=400):
    hits = np.array([[track < round(tested * share) for track in range(tested)] for share in shares], float)
    return SizeScores(hits, [str(track) for track in range(tested)], np.array([50.0, 100, 200, 400])[: len(shares)])


def measurements(*shares):
    accuracy = scores(*shares)
    genres = [
        Genre("jazz", accuracy, "more"),
        Genre("r&b; soul [x]", accuracy, "unclear"),
        Genre("pop", accuracy, "few"),
    ]
    return Measurements([0.125, 0.25, 0.5, 1][: len(shares)], accuracy, genres, commonest=0.1)


def said(measured):
    accuracy = measured.accuracy
    return outlook(measured, extrapolate(accuracy.training, accuracy.values, accuracy.resampled))


def test_a_rising_curve_names_points_and_interval():
    sentence = said(measurements(0.45, 0.55, 0.64, 0.72))
    assert sentence.startswith("Twice the songs (800 training tracks instead of 400) would give about ")
    points, low, high = (float(word.strip("().,")) for word in np.array(sentence.split())[[-6, -3, -1]])
    assert 1 <= low <= points <= high <= 10


def test_a_flat_curve_says_that_more_music_would_hardly_help():
    assert said(measurements(0.7, 0.7, 0.7, 0.7)).startswith(
        "More music of this kind would hardly help: twice the songs"
    )


def test_a_gain_whose_interval_contains_none_is_not_promised():
    accuracy = scores(0.5, 0.5, 0.5, tested=40)
    accuracy.hits[1, 18:22] = 1  # two tracks more, of 40
    accuracy.hits[2, 17:23] = 1
    measured = Measurements([0.25, 0.5, 1], accuracy, [], commonest=0.1)
    assert said(measured).startswith("It is not certain that more music of this kind would help: twice the songs")


def test_a_model_at_chance_says_nothing_of_the_music():
    sentence = said(replace(measurements(0.1, 0.11, 0.1, 0.12), commonest=0.1))
    assert sentence.startswith("The model is no better than always naming the commonest genre (10%)")


@pytest.mark.parametrize(("gain", "text"), [(0.042, "4"), (0.0096, "1"), (0.0034, "0.3"), (0.0002, "0"), (0.0, "0")])
def test_points_are_whole_but_for_small_ones(gain, text):
    assert number(gain) == text


def test_the_files_hold_what_was_measured(tmp_path, capsys):
    measured = measurements(0.45, 0.55, 0.64, 0.72)
    fitted = extrapolate(measured.accuracy.training, measured.accuracy.values, measured.accuracy.resampled)
    write_curve_report(tmp_path, "cnn, split random (seed 0, 5 folds)", measured, fitted)
    rows = csv_rows(tmp_path / "curve.csv")
    assert [row["share"] for row in rows] == ["0.125", "0.25", "0.5", "1"]
    assert rows[0]["accuracy"] == "0.45" and rows[0]["gain"] == "" and float(rows[1]["gain"]) == pytest.approx(0.1)
    assert all(float(row["ci_low"]) < float(row["accuracy"]) < float(row["ci_high"]) for row in rows)
    genres = csv_rows(tmp_path / "genres.csv")
    assert [row["genre"] for row in genres][::4] == ["jazz", "r&b; soul [x]", "pop"] and genres[3]["recall"] == "0.72"
    result = json.loads((tmp_path / "curve.json").read_text())
    assert result["twice"]["tracks"] == 800 and result["twice"]["gain"] == pytest.approx(fitted.gain)
    assert result["twice"]["accuracy"] == pytest.approx(1 - fitted.law.error([800])[0, 0])
    report = (tmp_path / "report.txt").read_text()
    assert report == capsys.readouterr().out
    assert "Genres that want more music: jazz." in report
    assert "Unclear (within the noise, or risen with one step alone): r&b; soul [x]." in report
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"curve.png", "genres.png"}
