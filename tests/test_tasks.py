"""Losses, predictions and targets of multiclass and multilabel tasks."""

import math

import pytest
import torch

from genre.tasks import Multiclass, Multilabel

GENRES = ("jazz", "pop", "rock")
TRACKS = [("pop", "rock"), ("jazz",)]


def test_multiclass_targets_are_the_first_genre_and_multilabel_targets_all():
    assert Multiclass().targets(TRACKS, GENRES).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert Multilabel().targets(TRACKS, GENRES).tolist() == [[0, 1, 1], [1, 0, 0]]


def test_the_losses_equal_their_formulas():
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    assert Multiclass().losses(logits, torch.tensor([[1.0, 0, 0]])).item() == pytest.approx(
        -math.log(math.exp(2) / (math.exp(2) + 2)), rel=1e-5
    )
    expected = (math.log(1 + math.exp(-2)) + 2 * math.log(2)) / 3
    assert Multilabel().losses(logits, torch.tensor([[1.0, 0, 1]])).item() == pytest.approx(expected, rel=1e-5)


def test_multilabel_probabilities_must_exceed_the_threshold():
    assert Multilabel(0.2).decide(torch.tensor([0.19, 0.2, 0.21])).tolist() == [False, False, True]


def test_a_prediction_is_correct_if_all_genres_are():
    probabilities = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4]])
    target = torch.tensor([[0.0, 1, 1], [1, 0, 0]])
    assert Multilabel(0.2).correct(probabilities, target).tolist() == [True, False]
    assert Multiclass().correct(probabilities, Multiclass().targets(TRACKS, GENRES)).tolist() == [True, True]


def test_multiclass_mixtures_have_shares_and_multilabel_mixtures_both_genres():
    one, other = torch.tensor([[1.0, 0, 0]] * 2), torch.tensor([[0.0, 0, 1]] * 2)
    share = torch.tensor([0.7, 1.0])
    torch.testing.assert_close(Multiclass().mix_targets(one, other, share), torch.tensor([[0.7, 0, 0.3], [1, 0, 0]]))
    assert Multilabel().mix_targets(one, other, share).tolist() == [[1, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("threshold", [0, 1, -0.2])
def test_a_threshold_outside_0_and_1_is_refused_by_name(threshold):
    with pytest.raises(ValueError, match="threshold"):
        Multilabel(threshold=threshold)


def test_label_smoothing_equals_pytorchs():
    logits, target = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1])
    one_hot = torch.nn.functional.one_hot(target, 3).float()
    smooth = Multiclass(label_smoothing=0.2).smooth_targets(one_hot)
    expected = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.2)
    assert Multiclass().losses(logits, smooth).mean().item() == pytest.approx(expected.item(), rel=1e-6)


def test_smoothed_multilabel_targets_are_as_far_from_0_and_1():
    assert Multilabel(label_smoothing=0.2).smooth_targets(torch.tensor([[0.0, 1]])).tolist() == [
        [pytest.approx(0.1), pytest.approx(0.9)]
    ]


@pytest.mark.parametrize("task", [Multiclass(), Multilabel()])
def test_without_label_smoothing_targets_stay(task):
    target = torch.tensor([[0.0, 1, 0], [0.3, 0.7, 0]])
    assert torch.equal(task.smooth_targets(target), target)
