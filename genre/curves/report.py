"""Files of a learning curve: tables, sentences, figures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genre.curves.drawing import curve_figure, recalls_figure
from genre.curves.fit import Extrapolation
from genre.curves.measure import MIN_GROUPS, Measurements, SizeScores, Verdict
from genre.evaluation.figures import save_figure
from genre.files import write_csv, write_json, write_text

HARDLY_ANY = 0.02  # a gain whose interval ends below this is hardly any
NONE = 0.005  # a gain whose interval begins below this may be none
SIZE_COLUMNS = ("tracks", "{score}", "ci_low", "ci_high", "gain", "gain_ci_low", "gain_ci_high")
VERDICTS: dict[Verdict, str] = {
    "more": "Genres that want more music: {}.",
    "enough": "The last step added nothing for: {}.",
    "unclear": "Unclear (within the noise, or risen with one step alone): {}.",
    "few": f"Not judged, with fewer than {MIN_GROUPS} artists, recordings or tracks of their own: {{}}.",
}
NOT_INCLUDED = (
    "Intervals are over the tested tracks (those of one artist or recording are resampled together); other draws of "
    "the training tracks and other seeds are not in them."
)


def write_curve_report(folder: Path, title: str, measured: Measurements, extrapolation: Extrapolation) -> None:
    """Write all files of a learning curve, curve.json last, and print the sentences."""
    columns = ("share", *(column.format(score="accuracy") for column in SIZE_COLUMNS))
    write_csv(folder / "curve.csv", columns, score_rows(measured.shares, measured.accuracy))
    columns = ("genre", "tested", "share", *(column.format(score="recall") for column in SIZE_COLUMNS))
    rows = (
        (genre.name, len(genre.recall.groups), *row)
        for genre in measured.genres
        for row in score_rows(measured.shares, genre.recall)
    )
    write_csv(folder / "genres.csv", columns, rows)
    text = "\n".join([f"{title}, {measured.accuracy.hits.shape[1]} tracks", "", *report_lines(measured, extrapolation)])
    write_text(folder / "report.txt", f"{text}\n")
    save_figure(curve_figure(measured.accuracy, extrapolation, title), folder / "figures" / "curve.png")
    save_figure(recalls_figure(measured, title), folder / "figures" / "genres.png")
    write_json(folder / "curve.json", summary(measured, extrapolation))
    print(text)


def score_rows(shares: list[float], scores: SizeScores) -> Iterator[list[str]]:
    """One row per number of training tracks; the gain is that over the row before."""
    gains, intervals = [None, *scores.gains], [(None, None), *scores.gain_intervals]
    parts = zip(shares, scores.training, scores.values, scores.intervals, gains, intervals, strict=True)
    for share, tracks, value, interval, gain, gain_interval in parts:
        numbers = (share, tracks, value, *interval, gain, *gain_interval)
        yield ["" if number is None else f"{number:.6g}" for number in numbers]


def report_lines(measured: Measurements, extrapolation: Extrapolation) -> Iterator[str]:
    """The accuracy and recalls as tables, and what they say."""
    accuracy = measured.accuracy
    yield "training tracks  accuracy  95 % interval"
    for tracks, value, (low, high) in zip(accuracy.training, accuracy.values, accuracy.intervals, strict=True):
        yield f"{tracks:15.0f}  {100 * value:6.1f} %  {100 * low:.1f} to {100 * high:.1f}"
    yield ""
    yield outlook(measured, extrapolation)
    yield ""
    width = max(len(genre.name) for genre in measured.genres)
    sizes = "".join(f"{tracks:7.0f}" for tracks in accuracy.training)
    yield f"recall (%) with{sizes} training tracks; gain of the last step in points"
    for genre in sorted(measured.genres, key=lambda genre: -genre.recall.gains[-1]):
        values = "".join(f"{100 * value:7.0f}" for value in genre.recall.values)
        yield f"{genre.name:{max(width, 15)}}{values}   {gained(genre.recall)}"
    yield ""
    for verdict, sentence in VERDICTS.items():
        if names := [genre.name for genre in measured.genres if genre.verdict == verdict]:
            yield sentence.format(", ".join(names))
    yield NOT_INCLUDED


def gained(recall: SizeScores) -> str:
    """'+6 (-1 to 12)': the gain of the last step in points, with its interval."""
    low, high = recall.gain_intervals[-1]
    return f"{100 * recall.gains[-1]:+3.0f} ({100 * low:.0f} to {100 * high:.0f})"


def outlook(measured: Measurements, extrapolation: Extrapolation) -> str:
    """What twice the tracks would give, and whether that is much; nothing is said of a model at chance."""
    if measured.accuracy.intervals[-1][0] <= measured.commonest:
        return (
            f"The model is no better than always naming the commonest genre ({measured.commonest:.0%}), so that its "
            "curve says nothing of the music: choose another recipe, such as experiment=small, or more epochs."
        )
    (low, high), tracks = extrapolation.gain_interval, extrapolation.tracks
    points = f"about {in_points(extrapolation.gain)} more ({number(low)} to {number(high)})"
    twice = f"twice the songs ({2 * tracks:.0f} training tracks instead of {tracks:.0f}) would give {points}"
    if high < HARDLY_ANY:
        return f"More music of this kind would hardly help: {twice}."
    if low < NONE:
        return f"It is not certain that more music of this kind would help: {twice}."
    return f"{twice[0].upper()}{twice[1:]}."


def in_points(gain: float) -> str:
    """'4 points', '1 point', '0.3 points'."""
    return f"{number(gain)} point{'' if number(gain) == '1' else 's'}"


def number(gain: float) -> str:
    """A gain in points: whole ones, and tenths of less than one."""
    return f"{100 * gain:.0f}" if gain >= 0.0095 or gain < 0.0005 else f"{100 * gain:.1f}"


def summary(measured: Measurements, extrapolation: Extrapolation) -> dict[str, Any]:
    """Content of curve.json: what was measured, the fit, the extrapolation and the genres."""
    accuracy, law = measured.accuracy, extrapolation.law
    twice = 2 * extrapolation.tracks
    value, low, high = extrapolation.accuracy(np.array([twice]))[:, 0].tolist()
    return {
        "shares": measured.shares,
        "tracks": accuracy.training.tolist(),
        "tested": accuracy.hits.shape[1],
        "accuracy": accuracy.values.tolist(),
        "accuracy_ci95": accuracy.intervals,
        "fit": {
            "error": "scale * (tracks / unit) ** -exponent + floor", "unit": law.unit, "scale": float(law.scale[0]),
            "exponent": float(law.exponent[0]), "floor": float(law.floor[0]),
        },
        "twice": {
            "tracks": twice, "accuracy": value, "accuracy_ci95": [low, high],
            "gain": extrapolation.gain, "gain_ci95": extrapolation.gain_interval,
        },
        "genres": {
            genre.name: {
                "recall": genre.recall.values.tolist(), "gain": float(genre.recall.gains[-1]),
                "gain_ci95": genre.recall.gain_intervals[-1], "verdict": genre.verdict,
            }
            for genre in measured.genres
        },
    }  # fmt: skip
