"""Pooling, ReLU and dropout in one step equal PyTorch's three layers."""

import pytest
import torch
import torch.nn.functional as F

from genre.models.pooling import PoolReLUDropout

KINDS = [
    (torch.float32, torch.contiguous_format),
    (torch.float32, torch.channels_last),
    (torch.bfloat16, torch.channels_last),
]


def maps(dtype, memory_format, height=12, width=12):
    """Whole numbers, exact in bfloat16, of which no two in a window of 2 x 2 are equal."""
    blocks = torch.randint(-30, 30, (4, 6, height, width), generator=torch.Generator().manual_seed(1))
    place = torch.arange(height)[:, None] % 2 * 2 + torch.arange(width) % 2
    values = (blocks * 4 + place).float()
    return values.to(dtype, memory_format=memory_format).requires_grad_()


def output_and_gradient(function, values):
    output = function(values)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output.dtype)
    (output * weights).sum().backward()
    return output.detach(), values.grad


@pytest.mark.parametrize(("dtype", "memory_format"), KINDS)
@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 12), (12, 15), (13, 15), (2, 3)])
def test_values_and_gradients_are_pytorchs_of_any_size(dtype, memory_format, height, width):
    ours, expected = (
        output_and_gradient(function, maps(dtype, memory_format, height, width))
        for function in (PoolReLUDropout(0.0), lambda values: F.relu(F.max_pool2d(values, 2)))
    )
    assert torch.equal(ours[0], expected[0]) and torch.equal(ours[1], expected[1])


def test_one_of_equal_maxima_has_the_gradient():
    values = torch.ones(1, 1, 4, 4, requires_grad=True)
    PoolReLUDropout(0.0)(values).sum().backward()
    assert values.grad[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("dtype", "memory_format"), KINDS)
def test_dropped_values_have_no_gradient_and_the_rest_is_scaled(dtype, memory_format):
    values, layer = maps(dtype, memory_format, 64, 64), PoolReLUDropout(0.25)
    output = layer(values)
    output.sum().backward()
    pooled = F.relu(F.max_pool2d(values.detach(), 2))
    kept = output != 0
    assert float(kept.sum() / (pooled != 0).sum()) == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(output[kept], (pooled / 0.75)[kept])
    torch.testing.assert_close(
        values.grad[values.grad != 0].float(), torch.full([int(kept.sum())], 1 / 0.75), rtol=1e-2, atol=0
    )


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_evaluation_mode_and_calls_without_gradients_agree_with_pytorch(p):
    values = maps(*KINDS[0])
    pooled = F.relu(F.max_pool2d(values, 2))
    assert torch.equal(PoolReLUDropout(p).eval()(values), pooled)
    with torch.no_grad():
        share = float((PoolReLUDropout(p)(values) != 0).sum() / (pooled != 0).sum())
    assert share == pytest.approx(1 - p, abs=0.1)


def test_the_seed_determines_what_is_dropped():
    layer, values = PoolReLUDropout(0.3), maps(*KINDS[1])
    draws = [(torch.manual_seed(seed), layer(values))[1] for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
