"""Dropout behaves as PyTorch's, with other random numbers."""

import math

import pytest
import torch
from torch import nn

from genre.models.dropout import Dropout

KINDS = [(torch.float32, torch.contiguous_format), (torch.bfloat16, torch.channels_last)]


def maps(dtype=torch.float32, memory_format=torch.contiguous_format, channels=8):
    values = torch.rand((64, channels, 25, 25), generator=torch.Generator().manual_seed(1)) + 0.5
    return values.to(dtype, memory_format=memory_format)


@pytest.mark.parametrize(("dtype", "memory_format"), KINDS)
@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_share_of_zeros_is_p_and_the_rest_is_scaled(p, dtype, memory_format):
    values = maps(dtype, memory_format)
    dropped = Dropout(p)(values)
    share, error = float((dropped == 0).double().mean()), math.sqrt(p * (1 - p) / values.numel())
    assert share == pytest.approx(p, abs=4 * error)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept].float(), values[kept].float() / (1 - p), rtol=1e-2, atol=0)
    assert dropped.dtype == dtype and dropped.stride() == values.stride()


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_neighbouring_values_are_dropped_independently(axis):
    dropped = (Dropout(0.5)(maps()) == 0).double()
    here, neighbour = (dropped.narrow(axis, begin, dropped.shape[axis] - 1) for begin in (0, 1))
    assert float(torch.corrcoef(torch.stack([here.flatten(), neighbour.flatten()]))[0, 1]) == pytest.approx(0, abs=0.01)


def test_gradients_are_scaled_and_masked_as_the_values():
    values = maps().requires_grad_()
    dropped = Dropout(0.25)(values)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, (dropped != 0) / 0.75)


def test_the_seed_determines_the_mask():
    layer, values = Dropout(0.3), maps()
    draws = [(torch.manual_seed(seed), layer(values))[1] for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_probabilities_0_and_1_equal_pytorchs_dropout(p):
    values = maps()
    assert torch.equal(Dropout(p)(values), nn.Dropout(p)(values))


def test_evaluation_mode_returns_the_input():
    values = maps()
    assert Dropout(0.5).eval()(values) is values


def test_accepts_a_strided_view_with_an_odd_number_of_values():
    torch.testing.assert_close(Dropout(0.5)(torch.ones(7, 5)[:, ::2]).unique(), torch.tensor([0.0, 2.0]))
