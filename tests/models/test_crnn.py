"""The CRNN depends on the order of events, which an average over time discards."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.config.build import build_network
from genre.config.compose import compose
from genre.config.settings import train_settings
from genre.models.crnn import CRNN, WeightedMean

both_layers = pytest.mark.parametrize("over_time", ["gru", "attention"])


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


def order_only_over_time(over_time: str) -> nn.Module:
    """A CRNN whose convolutions cover one pair of columns each: only the layer over time can use their order."""
    return with_batch_statistics(CRNN(5, 64, kernel_size=1, over_time=over_time))


def reordered(picture: Tensor, order: Tensor) -> Tensor:
    """Pairs of columns in another order: (batch, 1, size, size), (size / 2,) -> (batch, 1, size, size)."""
    return picture.unflatten(-1, (-1, 2))[..., order, :].flatten(-2)


@both_layers
@pytest.mark.parametrize("size", [64, 128])
def test_pictures_give_one_logit_per_genre(size, over_time):
    assert CRNN(7, size, over_time=over_time)(pictures(3, size)).shape == (3, 7)


@both_layers
@torch.inference_mode()
def test_logits_do_not_depend_on_the_batch_in_evaluation_mode(over_time):
    network, batch = with_batch_statistics(CRNN(5, 64, over_time=over_time)), pictures(4)
    batched = network(batch)
    single = torch.cat([network(picture[None]) for picture in batch])
    torch.testing.assert_close(single, batched, atol=1e-5, rtol=1e-4)
    assert batched.std(dim=0).min() > 1e-3  # the pictures differ


@both_layers
def test_the_gradient_reaches_every_parameter(over_time):
    network = CRNN(5, 64, over_time=over_time)
    F.cross_entropy(network(pictures(4)), torch.tensor([0, 1, 2, 3])).backward()
    without_gradient = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without_gradient == []


@both_layers
@pytest.mark.parametrize("order", [torch.arange(31, -1, -1), torch.randperm(32, generator=torch.Generator())])
def test_logits_depend_on_the_order_of_the_columns(over_time, order):
    network, batch = order_only_over_time(over_time), pictures(4)
    change = (network(reordered(batch, order)) - network(batch)).abs().amax(dim=1)
    assert change.min() > 1e-4  # rounding stays below 1e-6


def test_logits_do_not_depend_on_the_order_without_the_layer_over_time():
    network, batch = order_only_over_time("gru"), pictures(4)
    network.over_time = nn.Identity()
    torch.testing.assert_close(network(reordered(batch, torch.arange(31, -1, -1))), network(batch))


@both_layers
def test_learns_whether_a_low_sound_precedes_a_high_one(over_time):
    low_first = torch.zeros(8, 1, 32, 32)
    for index, picture in enumerate(low_first):
        begin = 2 * index
        picture[0, :16, begin : begin + 8] = 1
        picture[0, 16:, begin + 8 : begin + 16] = 1
    batch = torch.cat([low_first, low_first.flip(-1)])
    truth = torch.tensor([0, 1]).repeat_interleave(8)
    network = CRNN(2, 32, filters=(8, 8), kernel_size=1, over_time=over_time, units=16, dropout=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(80):
        loss = F.cross_entropy(network(batch), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1  # without order ln 2 is the minimum: both classes have the same columns


@both_layers
@torch.inference_mode()
def test_bfloat16_agrees_with_float32(over_time):
    network, batch = with_batch_statistics(CRNN(5, 64, over_time=over_time)), pictures(4)
    with torch.autocast("cpu", torch.bfloat16):
        bfloat16 = network(batch)
    torch.testing.assert_close(bfloat16.float(), network(batch), atol=0.05, rtol=0.05)


@both_layers
def test_the_same_seed_gives_the_same_gradients(over_time):
    def gradients() -> Tensor:
        torch.manual_seed(3)
        network = CRNN(5, 64, over_time=over_time)
        network(pictures(4)).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    first = gradients()
    assert torch.equal(gradients(), first)
    assert first.abs().max() > 0


def test_the_weighted_mean_weights_steps_by_the_softmax_of_their_score():
    pool = WeightedMean(2)
    with torch.no_grad():
        pool.score.weight.copy_(torch.tensor([[1.0, 0.0]]))
    steps = torch.tensor([[[0.0, 1.0], [math.log(4), 6.0]]])  # weights 1 / (1 + 4) and 4 / (1 + 4)
    expected = torch.tensor([[0.8 * math.log(4), 0.2 * 1 + 0.8 * 6]])
    torch.testing.assert_close(pool(steps), expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"filters": []}, r"model.filters=\[\] does not fit pictures of 64 pixels"),
        ({"filters": [8, 0]}, "filters"),
        ({"filters": [8] * 4}, r"model.filters=\[8, 8, 8, 8\] does not fit pictures of 64 pixels"),
        ({"kernel_size": 4}, "model.kernel_size=4 must be odd"),
        ({"over_time": "lstm"}, "over_time"),
        ({"units": 0}, "units"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_an_invalid_value_is_refused_by_key(values, message):
    with pytest.raises(ValueError, match=message):
        CRNN(5, 64, **values)


def test_the_configuration_has_the_defaults_of_the_code():
    cfg = compose("model=crnn", "folder=x", "name=x", "data=logmel", "data.path=x")
    parameters = inspect.signature(CRNN).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    configured = train_settings(cfg).model.arguments
    assert configured == defaults | {"filters": list(defaults["filters"])}


def test_the_configured_network_is_built():
    cfg = compose("model=crnn", "folder=x", "name=x", "data=logmel", "data.path=x")
    network = build_network(train_settings(cfg), 10)
    assert isinstance(network, CRNN)
    assert network(pictures(2, 128)).shape == (2, 10)


def test_attention_is_selected_by_an_override():
    cfg = compose("model=crnn", "model.over_time=attention", "folder=x", "name=x", "data=logmel", "data.path=x")
    assert any(isinstance(part, nn.MultiheadAttention) for part in build_network(train_settings(cfg), 10).modules())
