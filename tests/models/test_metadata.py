"""The branch adds logits of known tokens to those of the music, and nothing where there are none."""

import pytest
import torch

from genre.data.metadata import Bags
from genre.models.metadata import GAIN, MetadataBranch

KNOWN = torch.tensor([3, 7, 9])


def bag(*tokens):
    return Bags(torch.tensor([tokens]), torch.ones(1, len(tokens)))


@pytest.fixture
def branch():
    """A branch whose weights are those that training might have found."""
    one = MetadataBranch(KNOWN, 2, tracks=10)
    with torch.no_grad():
        one.weight[1:] = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.5]]) / GAIN
    return one


def test_an_untrained_branch_adds_nothing_and_learns_only_what_it_sees():
    one = MetadataBranch(KNOWN, 2)
    logits = one(bag(7, 9, 0))
    assert logits.tolist() == [[0, 0]]
    logits[0, 1].backward()
    assert one.weight.grad[:, 1].tolist() == [0, 0, GAIN, GAIN] and not one.weight.grad[:, 0].any()


def test_the_logits_are_the_weighted_sum_over_the_known_tokens(branch):
    tokens = Bags(torch.tensor([[3, 7], [9, 0]]), torch.tensor([[0.5, 0.25], [1.0, 1.0]]))
    torch.testing.assert_close(branch(tokens), torch.tensor([[0.5, 0.5], [-1.0, 0.5]]))


@pytest.mark.parametrize("token", [0, 1, 4, 8, 10, 2**63 - 1])
def test_padding_and_unknown_tokens_add_nothing(branch, token):
    assert branch(bag(token)).tolist() == [[0, 0]]
    assert torch.equal(branch(bag(3, token)), branch(bag(3)))


def test_a_branch_without_known_tokens_adds_nothing():
    assert MetadataBranch(KNOWN[:0], 3)(bag(5, 0)).tolist() == [[0, 0, 0]]


def test_the_penalty_is_the_standard_normal_prior_of_the_weights_in_logits_per_track(branch):
    assert branch.penalty().item() == pytest.approx((1 + 4 + 1 + 0.25) / 2 / 10)


def test_a_branch_is_rebuilt_from_its_weights(branch):
    again = MetadataBranch.from_weights(branch.state_dict())
    assert torch.equal(again(bag(3, 7)), branch(bag(3, 7)))
    with pytest.raises((KeyError, RuntimeError)):
        MetadataBranch.from_weights({"weight": torch.zeros(2, 2)})
