"""Post-processing turns logits into probabilities, predicted genres and uncertain tracks."""

import pytest
import torch

from genre.models.postprocessing import PostProcessing
from genre.tasks import Multiclass, Multilabel

LOGITS = torch.tensor([[[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]]])  # one track, two crops, three genres


def test_probabilities_are_the_mean_over_crops_at_the_temperature():
    expected = (LOGITS[0] / 2).softmax(-1).mean(0)
    probabilities = PostProcessing(temperature=2.0).probabilities(Multiclass(), LOGITS)
    torch.testing.assert_close(probabilities[0], expected)


def test_without_a_temperature_logits_are_unchanged():
    assert PostProcessing().scale(LOGITS) is LOGITS


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [("fixed", [True, False, True]), ("shared", [False, False, True]), ("per_genre", [False, False, True])],
)
def test_tuned_thresholds_are_used_if_the_task_asks_for_them(thresholds, expected):
    postprocessing = PostProcessing(thresholds=torch.tensor([0.6, 0.6, 0.3], dtype=torch.float64))
    task = Multilabel(threshold=0.2, thresholds=thresholds)
    assert postprocessing.predicted(task, torch.tensor([0.5, 0.1, 0.4])).tolist() == expected


def test_a_multiclass_task_predicts_the_most_probable_genre():
    assert PostProcessing().predicted(Multiclass(), torch.tensor([0.2, 0.5, 0.3])).tolist() == [False, True, False]


def test_a_track_is_uncertain_if_its_highest_probability_is_below_the_threshold():
    probabilities = torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    assert PostProcessing(uncertain_below=0.6).uncertain(probabilities).tolist() == [True, False]
    assert PostProcessing().uncertain(probabilities) is None


def test_a_track_is_uncertain_if_its_distance_is_beyond_the_threshold_however_probable_a_genre_is():
    probabilities, distances = torch.tensor([[0.5, 0.5], [0.2, 0.8], [0.1, 0.9]]), torch.tensor([0.1, 0.3, 0.2])
    both = PostProcessing(uncertain_below=0.6, uncertain_beyond=0.2)
    assert both.uncertain(probabilities, distances).tolist() == [True, True, False]
    assert both.uncertain(probabilities).tolist() == [True, False, False]  # the distances are unknown
    assert PostProcessing(uncertain_below=0.6).uncertain(probabilities, distances).tolist() == [True, False, False]


def test_parameters_survive_a_checkpoint():
    postprocessing = PostProcessing(
        1.5, 0.4, 0.3, torch.tensor([0.1, 0.7], dtype=torch.float64), torch.tensor([True, False])
    )
    metadata = postprocessing.metadata()
    assert metadata == {
        "temperature": 1.5, "uncertain_below": 0.4, "uncertain_beyond": 0.3, "thresholds": [0.1, 0.7],
        "most_common_set": [True, False],
    }  # fmt: skip
    assert PostProcessing.from_metadata(metadata | {"version": 2}).metadata() == metadata


def test_parameters_that_were_not_fitted_are_not_written():
    assert PostProcessing(temperature=1.5).metadata() == {"temperature": 1.5}
    assert PostProcessing.from_metadata({}) == PostProcessing()
