"""Folds are put together per share; gains are paired over the same tracks, and genres are judged by theirs."""

import numpy as np
import pytest

from genre.curves.measure import SizeScores, measure, verdict
from genre.errors import UserError

TRUE = {f"{genre}{artist}.{number}": genre for genre in ("jazz", "rock") for artist in range(10) for number in range(2)}


def predicted(right):
    """Track -> (true, predicted), where ``right`` says which tracks are."""
    return {track: (genre, genre if right(track) else "pop") for track, genre in TRUE.items()}


@pytest.fixture
def measured(folds_of):
    """Jazz: 10 of 20 tracks are right, then all; rock: always all."""
    half = folds_of(0.5, predicted(lambda track: "rock" in track or track.endswith(".1")), 24)
    return measure([*folds_of(1, predicted(lambda track: True), 49), *half])


def test_every_track_counts_once_per_share(measured):
    assert measured.shares == [0.5, 1] and measured.accuracy.training.tolist() == [25, 50]
    assert measured.accuracy.values == pytest.approx([30 / 40, 1])
    assert measured.commonest == 0.5


def test_the_recall_of_a_genre_is_of_its_own_tracks(measured):
    jazz, rock = measured.genres
    assert (jazz.name, rock.name) == ("jazz", "rock")
    assert jazz.recall.values == pytest.approx([0.5, 1]) and rock.recall.values == pytest.approx([1, 1])
    assert jazz.verdict == "more" and rock.verdict == "enough"


def test_a_gain_is_paired_so_that_it_is_surer_than_the_two_accuracies(folds_of):
    before = predicted(lambda track: track.endswith(".1"))
    after = predicted(lambda track: track.endswith(".1") or track.startswith("jazz0."))
    scores = measure([*folds_of(0.5, before, 20), *folds_of(1, after, 40)]).accuracy
    (low, high), gain = scores.gain_intervals[0], scores.gains[0]
    assert gain == pytest.approx(1 / 40) and 0 <= low <= gain <= high < 0.1
    assert scores.intervals[0][1] - scores.intervals[0][0] > 0.25


def test_tracks_of_an_artist_are_resampled_together_and_all_sizes_alike():
    hits = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    resampled = SizeScores(hits, ["a", "a", "b", "b"], np.array([1, 2])).resampled
    assert set(resampled[:, 0]) == {0.0, 0.5, 1.0}
    assert (resampled[:, 0] == resampled[:, 1]).all()


def test_several_genres_per_track_each_have_their_recall(folds_of):
    tested = {f"artist{number}.0": ("jazz;rock", "jazz") for number in range(12)}
    jazz, rock = measure([*folds_of(0.5, tested, 5), *folds_of(1, tested, 10)]).genres
    assert jazz.recall.values[-1] == 1 and rock.recall.values[-1] == 0


def test_shares_that_tested_other_tracks_are_refused(folds_of):
    tested = predicted(lambda track: True)
    fewer = dict(list(tested.items())[:-2])
    with pytest.raises(UserError, match="have tested different tracks"):
        measure([*folds_of(0.5, fewer, 20), *folds_of(1, tested, 40)])


def recall_of(*shares, groups=40):
    """The recall of a genre of 40 tracks: these shares of them are right."""
    hits = np.array([[number < 40 * share for number in range(40)] for share in shares], float)
    return SizeScores(hits, [str(number % groups) for number in range(40)], 50 * 2.0 ** np.arange(len(shares)))


@pytest.mark.parametrize(
    ("recall", "expected"),
    [
        (recall_of(0.5, 0.6, 0.8), "more"),  # the last step is clear
        (recall_of(0.9, 0.6, 0.8), "unclear"),  # but had fallen before
        (recall_of(0.3, 0.5, 0.525), "more"),  # rises over all sizes, and is below the mean of 0.7
        (recall_of(0.6, 0.8, 0.825), "unclear"),  # as much, but above the mean
        (recall_of(0.7, 0.7, 0.725), "unclear"),
        (recall_of(0.7, 0.9, 0.9), "enough"),
        (recall_of(0.7, 0.9, 0.8), "enough"),
        (recall_of(0.5, 0.6, 0.8, groups=9), "few"),
    ],
)
def test_a_genre_wants_more_if_its_recall_clearly_rises(recall, expected):
    assert verdict(recall, mean=0.7) == expected
