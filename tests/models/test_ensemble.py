"""An ensemble is the average of its members' probabilities; they train as if each were alone."""

import pytest
import torch
from torch import nn

from genre.config.build import build_network
from genre.config.settings import train_settings
from genre.data.backbone_features import frozen_backbones
from genre.errors import UserError
from genre.models.classifier import losses_and_probabilities
from genre.models.cnn import CNN
from genre.models.ensemble import Ensemble
from genre.models.networks import crop_logits
from genre.models.vgg16 import VGG16
from genre.tasks import Multiclass

CNN_NODE = "{_target_: genre.models.cnn.CNN, filters: [2, 2, 4], dense_units: 4}"


def frozen(width: int) -> VGG16:
    return VGG16(3, 32, weights="random", dense_units=width, cached_views=width)


def test_its_probabilities_are_the_mean_over_members_and_crops():
    members = {"one": CNN(3, 32, filters=(2, 2, 4)).eval(), "other": CNN(3, 32, filters=(4, 4, 4)).eval()}
    pictures, targets = torch.rand(2, 5, 1, 32, 32), torch.eye(3)[:2]
    logits = crop_logits(Ensemble(members), pictures)
    assert logits.shape == (2, 5 * 2, 3)
    losses, probabilities = losses_and_probabilities(Multiclass(), logits, targets)
    alone = [losses_and_probabilities(Multiclass(), crop_logits(n, pictures), targets) for n in members.values()]
    torch.testing.assert_close(losses, (alone[0][0] + alone[1][0]) / 2)
    torch.testing.assert_close(probabilities, (alone[0][1] + alone[1][1]) / 2)


def test_a_member_has_the_gradients_that_it_has_alone():
    members = {"one": nn.Linear(4, 3), "other": nn.Linear(4, 3)}
    inputs, targets = torch.rand(6, 1, 4), torch.eye(3).repeat(2, 1)
    stacked = torch.stack([member(inputs[:, 0]) for member in members.values()], dim=1)
    losses_and_probabilities(Multiclass(), stacked, targets)[0].mean().backward()
    together = members["one"].weight.grad.clone()
    members["one"].weight.grad = None
    losses_and_probabilities(Multiclass(), members["one"](inputs[:, 0])[:, None], targets)[0].mean().backward()
    torch.testing.assert_close(together, members["one"].weight.grad / 2)


def test_frozen_members_have_their_features_cached():
    network = Ensemble({"one": frozen(4), "other": frozen(6)}).eval()
    pictures, members = torch.rand(2, 1, 32, 32), list(network.members.values())
    assert frozen_backbones(network) == members
    features = torch.cat([member.embed(pictures) for member in members], dim=1)
    torch.testing.assert_close(network(features), network(pictures))


def test_frozen_weights_that_members_share_are_kept_once(tmp_path):
    one, other, third = frozen(4), frozen(6), frozen(6)
    other.features.load_state_dict(one.features.state_dict())
    other.fingerprint = one.fingerprint
    pictures = torch.rand(2, 1, 32, 32)
    alone = [member.eval()(pictures) for member in (one, other, third)]
    network = Ensemble({"one": one, "other": other, "third": third}).eval()
    torch.testing.assert_close(network(pictures), torch.stack(alone, dim=1))
    assert other.features[0].weight is one.features[0].weight is not third.features[0].weight
    assert other.head[1].weight is not one.head[1].weight
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    size = sum(p.numel() * p.element_size() for p in {id(p): p for p in network.parameters()}.values())
    assert size <= (tmp_path / "weights.pt").stat().st_size < 1.1 * size


def test_with_a_member_that_is_trained_as_a_whole_nothing_is_cached():
    assert not frozen_backbones(Ensemble({"one": frozen(4), "other": CNN(3, 32)}))


def test_only_what_is_trained_is_optimised():
    network = Ensemble({"one": frozen(4), "other": CNN(3, 32)})
    optimised = {id(p) for group in network.parameter_groups() for p in group["params"]}
    assert optimised == {id(p) for p in network.parameters() if p.requires_grad}


def test_members_are_built_from_the_configuration(configured):
    node = f"model={{_target_: genre.models.ensemble.Ensemble, members: {{a: {CNN_NODE}, b: {CNN_NODE}}}}}"
    network = build_network(train_settings(configured(node, network=None)), 5)
    assert list(network.members) == ["a", "b"] and network(torch.rand(2, 1, 128, 128)).shape == (2, 2, 5)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("{}", "must name at least one network"),
        ("{a: 3}", "model.members.a=3 is not a group"),
        ("{a: {_target_: genre.models.vgg16.VGG16, weights: x}}", "model.members.a.weights=x does not exist"),
        ("{a: {_target_: genre.models.cnn.CNN, dropout: 2}}", "model.members.a.dropout=2 must be"),
    ],
)
def test_members_that_are_no_networks_are_refused(configured, members, message):
    node = f"model={{_target_: genre.models.ensemble.Ensemble, members: {members}}}"
    with pytest.raises(UserError, match=message):
        build_network(train_settings(configured(node, network=None)), 5)
