"""The residual network for small collections."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.config.build import build_network
from genre.config.compose import compose
from genre.config.settings import train_settings
from genre.models.resnet import ResidualBlock, ResNet


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(batch: int, size: int = 64) -> Tensor:
    """Random coarse patterns: (batch, 1, size, size) in [0, 1]."""
    return F.interpolate(torch.rand(batch, 1, 8, 8), size)


def with_batch_statistics(network: nn.Module, size: int = 64) -> nn.Module:
    """The network in evaluation mode after one batch, so that normalisation has its statistics."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # plain average
    network.train()(pictures(8, size))
    return network.eval()


@pytest.mark.parametrize("size", [64, 128])
def test_pictures_give_one_logit_per_genre(size):
    assert ResNet(7, size)(pictures(3, size)).shape == (3, 7)


@torch.inference_mode()
def test_logits_do_not_depend_on_the_batch_in_evaluation_mode():
    network, batch = with_batch_statistics(ResNet(5, 64)), pictures(4)
    batched = network(batch)
    single = torch.cat([network(picture[None]) for picture in batch])
    torch.testing.assert_close(single, batched, atol=1e-5, rtol=1e-4)
    assert batched.std(dim=0).min() > 1e-3  # the pictures differ


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_gradient_reaches_every_parameter(blocks):
    network = ResNet(5, 64, blocks=blocks)
    F.cross_entropy(network(pictures(4)), torch.tensor([0, 1, 2, 3])).backward()
    without_gradient = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without_gradient == []


def test_a_block_with_zero_convolutions_returns_its_input():
    block, maps = ResidualBlock(4, 4), torch.rand(2, 4, 8, 8)
    nn.init.zeros_(block.residual[-1][1].weight)  # of the last normalisation
    torch.testing.assert_close(block(maps), maps)


def test_a_block_adds_its_convolutions_to_its_input():
    block, maps = ResidualBlock(4, 4).eval(), torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(block(maps), (maps + block.residual(maps)).clamp_min(0))


def test_the_first_convolution_and_each_stage_halve_height_and_width():
    network = ResNet(5, 128, filters=(8, 16, 24))
    assert network.stages(network.stem(pictures(1, 128).repeat(2, 1, 1, 1))).shape == (2, 24, 8, 8)


def test_each_further_block_adds_two_convolutions_and_their_normalisation():
    def parameters(blocks: int) -> int:
        return sum(p.numel() for p in ResNet(5, 64, filters=(8, 16), blocks=blocks).parameters())

    added = sum(2 * (9 * width * width + 2 * width) for width in (8, 16))
    assert parameters(3) - parameters(2) == parameters(2) - parameters(1) == added


@torch.inference_mode()
def test_bfloat16_agrees_with_float32():
    network, batch = with_batch_statistics(ResNet(5, 64)), pictures(4)
    with torch.autocast("cpu", torch.bfloat16):
        bfloat16 = network(batch)
    torch.testing.assert_close(bfloat16.float(), network(batch), atol=0.05, rtol=0.05)


def test_the_same_seed_gives_the_same_gradients():
    def gradients() -> Tensor:
        torch.manual_seed(3)
        network = ResNet(5, 64)
        network(pictures(4)).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    first = gradients()
    assert torch.equal(gradients(), first)
    assert first.abs().max() > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"filters": []}, r"model.filters=\[\] does not fit pictures of 64 pixels"),
        ({"filters": [8, 0]}, "filters"),
        ({"filters": [8] * 5}, r"model.filters=\[8, 8, 8, 8, 8\] does not fit pictures of 64 pixels"),
        ({"blocks": 0}, "blocks"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_an_invalid_value_is_refused_by_key(values, message):
    with pytest.raises(ValueError, match=message):
        ResNet(5, 64, **values)


def test_the_largest_number_of_stages_accepts_a_batch_of_one_picture():
    assert ResNet(5, 64, filters=[8] * 4)(pictures(1)).isfinite().all()


def test_the_configured_network_has_1_to_1_5_million_parameters():
    cfg = compose("model=resnet", "folder=x", "name=x", "data=logmel", "data.path=x")
    network = build_network(train_settings(cfg), 10)
    assert isinstance(network, ResNet)
    assert 1_000_000 < sum(p.numel() for p in network.parameters()) < 1_500_000


def test_the_configuration_has_the_defaults_of_the_code():
    cfg = compose("model=resnet", "folder=x", "name=x", "data=logmel", "data.path=x")
    parameters = inspect.signature(ResNet).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    configured = train_settings(cfg).model.arguments
    assert configured == defaults | {"filters": list(defaults["filters"])}
