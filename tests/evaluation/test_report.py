"""A report's sentences agree with its table and with the learning curves."""

from dataclasses import replace

import numpy as np
import pytest

from genre.evaluation import report as reporting
from genre.models.postprocessing import PostProcessing

GENRES = ("blues", "jazz", "rock", "pop")


@pytest.fixture
def with_genres(make_predictions):
    """Return predictions for tracks, given the indices of their genres."""

    def make(true, predicted, highest=0.9, multilabel=False):
        targets, predicted_genres = (np.zeros((len(true), len(GENRES)), bool) for _ in range(2))
        for row, (true_genres, genres) in enumerate(zip(true, predicted, strict=True)):
            targets[row, true_genres], predicted_genres[row, genres] = True, True
        probabilities = np.where(predicted_genres, highest, 0.01)
        return make_predictions(targets, probabilities, predicted_genres, multilabel=multilabel, genres=GENRES)

    return make


@pytest.fixture
def predictions(with_genres):
    """Blues is always right, half of jazz is predicted as rock, one rock as blues; there is no pop."""
    return with_genres([0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 2, 0])


@pytest.fixture
def many_predictions(with_genres):
    """The same three times."""
    return with_genres([0, 0, 1, 1, 1, 1, 2, 2] * 3, [0, 0, 1, 1, 2, 2, 2, 0] * 3)


def test_the_best_and_worst_genre_by_precision_and_by_recall(many_predictions):
    assert reporting.best_and_worst_note(many_predictions) == [
        "Precision is highest for jazz (1.00) and lowest for rock (0.33).",
        "Recall is highest for blues (1.00) and lowest for jazz and rock (0.50).",
    ]


def test_genres_with_few_tracks_are_neither_best_nor_worst(predictions):
    assert reporting.best_and_worst_note(predictions) == []


def test_a_genre_that_is_rarely_predicted_has_neither_the_best_nor_the_worst_precision(with_genres):
    """Jazz is predicted once, and that is right."""
    predictions = with_genres([0] * 10 + [1] * 5 + [2] * 5, [0] * 9 + [2] * 5 + [1] + [2] * 4 + [0])
    precision, recall = reporting.best_and_worst_note(predictions)
    assert precision == "Precision is highest for blues (0.90) and lowest for rock (0.44)."
    assert recall == "Recall is highest for blues (0.90) and lowest for jazz (0.20)."


def test_equal_genres_are_neither_best_nor_worst(with_genres):
    perfect = with_genres([0] * 6 + [1] * 6, [0] * 6 + [1] * 6)
    assert reporting.best_and_worst_note(perfect) == []


@pytest.mark.parametrize(
    ("genres", "text"),
    [
        (["blues"], "blues"),
        (["blues", "jazz"], "blues and jazz"),
        (["blues", "jazz", "rock"], "blues, jazz and rock"),
        (["blues", "jazz", "rock", "pop"], "4 genres"),
    ],
)
def test_genres_of_equal_value_are_listed_or_counted(genres, text):
    assert reporting.listed(genres) == text


def test_the_most_frequent_confusions(predictions):
    assert reporting.confusions_note(predictions) == [
        "Most frequent confusions: jazz predicted as rock (2 of 4 tracks), rock predicted as blues (1 of 2 tracks)."
    ]


def test_a_genre_that_is_true_too_is_no_confusion(with_genres):
    both_right = with_genres([[0, 1]], [[0, 1]], multilabel=True)
    one_wrong = with_genres([[0]], [[0, 2]], multilabel=True)
    assert reporting.confusions_note(both_right) == ["No genre was confused."]
    assert "blues predicted as rock (1 of 1 track)" in reporting.confusions_note(one_wrong)[0]


def test_how_many_tracks_are_uncertain(predictions):
    assert reporting.uncertainty_note(predictions, PostProcessing()) == []
    assert reporting.uncertainty_note(predictions, PostProcessing(uncertain_below=0.5)) == [
        "0 of 8 tracks are uncertain (highest probability below 0.5); the most probable genre of the others is "
        "right for 5 of 8."
    ]
    assert reporting.uncertainty_note(predictions, PostProcessing(uncertain_below=1.0)) == [
        "All 8 tracks are uncertain: validation gave no reliable threshold."
    ]
    assert reporting.uncertainty_note(predictions, PostProcessing(uncertain_below=0.95)) == [
        "All 8 tracks are uncertain: highest probability below 0.95."
    ]


def test_how_many_tracks_are_uncertain_by_their_distance(predictions):
    far = replace(predictions, distances=np.array([0.1, 0.9, 0.2, 0.3, 0.4, 0.8, 0.1, 0.2]))
    assert reporting.uncertainty_note(far, PostProcessing(uncertain_below=0.5, uncertain_beyond=0.7)) == [
        "2 of 8 tracks are uncertain (highest probability below 0.5 or distance from the training tracks above 0.7); "
        "the most probable genre of the others is right for 4 of 6."
    ]
    assert reporting.uncertainty_note(far, PostProcessing(uncertain_below=0.0, uncertain_beyond=0.85)) == [
        "1 of 8 tracks is uncertain (distance from the training tracks above 0.85); the most probable genre of the "
        "others is right for 4 of 7."
    ]


def test_a_certainty_threshold_of_0_is_not_mentioned(predictions):
    assert reporting.uncertainty_note(predictions, PostProcessing(uncertain_below=0.0)) == []


def test_a_fitted_temperature_is_reported():
    assert reporting.temperature_note(PostProcessing()) == []
    assert reporting.temperature_note(PostProcessing(temperature=1.5)) == [
        "Probabilities are at temperature 1.50, fitted on validation tracks."
    ]


HISTORY = [
    {"epoch": 0.0, "train_loss": 2.0, "train_accuracy": 0.4, "val_loss": 1.0, "val_accuracy": 0.5},
    {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": 0.8, "val_loss": 1.5, "val_accuracy": 0.6},
]


@pytest.mark.parametrize(
    ("monitor", "epoch", "gap"),
    [("val/loss", 0, "10.0 points higher"), ("val/accuracy", 1, "20.0 points lower"),
     ("train/loss", 1, "20.0 points lower")],
)  # fmt: skip
def test_the_gap_at_the_best_epoch_by_the_monitored_value(monitor, epoch, gap):
    (sentence,) = reporting.generalization_gap_note(HISTORY, monitor, validation_tracks=500)
    assert f"At the best epoch ({epoch})" in sentence and sentence.endswith(f"500 validation tracks, {gap}.")


def test_the_best_epoch_is_one_that_was_validated():
    skipped = {key: value for key, value in HISTORY[0].items() if not key.startswith("val")}
    assert reporting.best_epoch_row([skipped, HISTORY[1]], "val/loss")["epoch"] == 1


def test_a_gap_within_the_interval_of_the_validation_accuracy_is_not_mentioned():
    (sentence,) = reporting.generalization_gap_note(HISTORY, "val/loss", validation_tracks=20)
    assert sentence == (
        "At the best epoch (0), accuracy is 40.0% on training tracks (running mean, augmented) and 50.0% on 20 "
        "validation tracks."
    )


def test_there_is_no_gap_without_validation_or_with_few_validation_tracks():
    unvalidated = [{key: value for key, value in row.items() if "val" not in key} for row in HISTORY]
    for history, tracks in ((unvalidated, 0), ([], 50), (HISTORY, 3)):
        assert reporting.generalization_gap_note(history, "val/loss", tracks) == []
    assert reporting.best_epoch_row(unvalidated, "val/loss")["epoch"] == 1


def test_the_last_column_of_predictions_is_whether_the_track_is_uncertain(predictions, tmp_path):
    reporting.write_predictions(tmp_path / "plain.csv", predictions, PostProcessing())
    reporting.write_predictions(tmp_path / "more.csv", predictions, PostProcessing(uncertain_below=0.95))
    plain, more = ((tmp_path / name).read_text().splitlines() for name in ("plain.csv", "more.csv"))
    assert plain[0] == "track,true,predicted,blues,jazz,rock,pop"
    assert more == [f"{plain[0]},uncertain", *(f"{line},yes" for line in plain[1:])]
