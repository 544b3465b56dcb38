"""Accuracy and recall at each number of training tracks, from the test tracks of all folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genre.errors import UserError
from genre.evaluation.arrays import Floats
from genre.evaluation.cross_validation import merge_folds
from genre.evaluation.finished_runs import Run
from genre.evaluation.intervals import accuracy_interval, bootstrap_interval, bootstrap_means

MIN_GROUPS = 10  # artists, recordings or tracks of a genre, below which nothing is said of its gain
Interval = tuple[float, float]
Verdict = Literal["more", "enough", "unclear", "few"]


@dataclass(frozen=True)
class SizeScores:
    """A share of the test tracks that is right, at each number of training tracks.

    Args:
        hits: (sizes, tracks) of 0 and 1; the same test tracks at all sizes.
        groups: (tracks,) tracks of one group are resampled together.
        training: (sizes,) mean number of training tracks per fold.
    """

    hits: Floats
    groups: list[str]
    training: Floats

    @property
    def values(self) -> Floats:
        """(sizes,) share that is right."""
        values: Floats = self.hits.mean(axis=1)
        return values

    @property
    def intervals(self) -> list[Interval]:
        """The interval of each share."""
        return [accuracy_interval(row, self.groups) or (0.0, 1.0) for row in self.hits]

    @property
    def gains(self) -> Floats:
        """(sizes - 1,) by how much each share exceeds that of the size before."""
        gains: Floats = np.diff(self.values)
        return gains

    @property
    def gain_intervals(self) -> list[Interval]:
        """The interval of each gain, paired: the same resampled tracks at both sizes."""
        return [bootstrap_interval(row, self.groups) for row in np.diff(self.hits, axis=0)]

    @property
    def slope_interval(self) -> Interval:
        """Of the gain per doubling of the training tracks: least squares over all sizes."""
        doublings = np.log2(self.training)
        centred = doublings - doublings.mean()
        return bootstrap_interval(centred @ self.hits / (centred @ centred), self.groups)

    @property
    def resampled(self) -> Floats:
        """(resamples, sizes) shares of resampled groups, the same groups at all sizes."""
        return np.stack([bootstrap_means(row, self.groups) for row in self.hits], axis=1)


@dataclass(frozen=True)
class Genre:
    """What more music does for a genre.

    Args:
        name: of the genre.
        recall: of its test tracks.
        verdict: 'more': it wants more music; 'enough': the last step added nothing; 'unclear': neither; 'few': too few
            groups for an interval.
    """

    name: str
    recall: SizeScores
    verdict: Verdict


@dataclass(frozen=True)
class Measurements:
    """The learning curve of a model.

    Args:
        shares: (sizes,) of the training tracks, rising.
        accuracy: of all tracks.
        genres: sorted by name.
        commonest: accuracy of always naming the commonest set of genres.
    """

    shares: list[float]
    accuracy: SizeScores
    genres: list[Genre]
    commonest: float


def measure(runs: Sequence[Run]) -> Measurements:
    """Put the folds of each share together, so that every track is tested once per share.

    Raises:
        UserError: if the folds of a share tested other tracks than those of another.
    """
    merged = sorted(merge_folds(runs)[0], key=lambda run: run.settings["split.train_share"])
    tracks = sorted(merged[0].tested)
    if any(sorted(run.tested) != tracks for run in merged):
        raise UserError("the trainings have tested different tracks; the music has changed, begin a new curve")
    training = np.array([mean_training_tracks(runs, run) for run in merged])
    groups = [merged[0].groups[track] for track in tracks]
    correct = np.array([[run.correct[track] for track in tracks] for run in merged], float)
    accuracy = SizeScores(correct, groups, training)
    shares = [run.settings["split.train_share"] for run in merged]
    counts = Counter(true for true, _ in merged[0].tested.values())
    commonest = counts.most_common(1)[0][1] / len(tracks)
    return Measurements(shares, accuracy, genres_of_curve(merged, tracks, accuracy), commonest)


def mean_training_tracks(runs: Sequence[Run], merged: Run) -> float:
    """Mean number of training tracks of the folds that were merged."""
    return float(np.mean([run.metrics["tracks"]["train"] for run in runs if run.folders[0] in merged.folders]))


def genres_of_curve(merged: Sequence[Run], tracks: Sequence[str], accuracy: SizeScores) -> list[Genre]:
    """Recall per genre and what more music does for it.

    Args:
        merged: the folds of each share as one run.
        tracks: of the columns of ``accuracy.hits``.
    """
    true = [set(merged[0].tested[track][0].split(";")) for track in tracks]
    recalls = {}
    for name in sorted(set().union(*true)):
        columns = [column for column, own in enumerate(true) if name in own]
        hits = [[name in run.tested[tracks[column]][1].split(";") for column in columns] for run in merged]
        groups = [accuracy.groups[column] for column in columns]
        recalls[name] = SizeScores(np.array(hits, float), groups, accuracy.training)
    mean = float(np.mean([recall.values[-1] for recall in recalls.values()]))
    return [Genre(name, recall, verdict(recall, mean)) for name, recall in recalls.items()]


def verdict(recall: SizeScores, mean: float) -> Verdict:
    """Whether a genre wants more music: 'more', 'enough', 'unclear' or 'few', as in ``Genre``.

    It does if its recall has clearly risen over all sizes, and either clearly with the last step or while it is still
    below the mean. One step alone may be the luck of a draw of training tracks, which no interval here includes.

    Args:
        mean: of the recalls of all genres, at the largest size.
    """
    if len(set(recall.groups)) < MIN_GROUPS:
        return "few"
    gain, (low, _) = recall.gains[-1], recall.gain_intervals[-1]
    if recall.slope_interval[0] > 0 and (low > 0 or (gain > 0 and recall.values[-1] < mean)):
        return "more"
    return "enough" if gain <= 0 else "unclear"
