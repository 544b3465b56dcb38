"""Features are what a network's last layers decide from; keeping them changes nothing, and threads do not mix them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from genre.models.cnn import CNN
from genre.models.ensemble import Ensemble
from genre.models.features import feature_layers, keep_features, kept_features, mean_features
from genre.models.frozen import FrozenBackbone
from genre.models.musicnn import MusiCNN
from genre.models.resnet import ResNet


def pictures(count=2, seed=0):
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def computed(network, inputs):
    with torch.inference_mode(), kept_features() as kept:
        network(inputs)
    return mean_features(kept)


@pytest.fixture
def resnet():
    network = ResNet(3, 32, filters=[4, 8]).eval()
    keep_features(network)
    return network


def test_the_features_of_a_network_are_the_inputs_of_its_last_linear_layer(resnet):
    expected = resnet.stages(resnet.stem(pictures())).mean((-2, -1)).mean(0)
    torch.testing.assert_close(computed(resnet, pictures()), expected / expected.norm())


def test_the_features_of_a_frozen_backbone_are_normalised_by_its_head():
    network = MusiCNN(3, 32, dense_units=4).eval()
    normalization = network.head[0]
    normalization.running_mean.fill_(0.1)
    normalization.running_var.fill_(4.0)
    keep_features(network)
    inputs = torch.randn(5, network.width)
    expected = ((inputs - 0.1) / 2).mean(0)
    torch.testing.assert_close(computed(network, inputs), expected / expected.norm(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("dense_units", "layers"), [(0, 1), (4, 1), (4, 2), (0, 2)])
def test_every_head_of_a_frozen_backbone_has_features(dense_units, layers):
    network = FrozenBackbone()
    network.add_head(3, 6 * layers, True, dense_units, 0.0, layers)
    assert keep_features(network.eval())
    assert computed(network, torch.randn(2, 6 * layers)).shape == (6,)


def test_the_features_of_an_ensemble_are_those_of_its_members(resnet):
    other = CNN(3, 32, filters=[4], dense_units=5).eval()
    ensemble = Ensemble({"one": ResNet(3, 32, filters=[4, 8]).eval(), "other": other})
    keep_features(ensemble)
    assert computed(ensemble, pictures()).shape == (8 + 5,)


def test_a_network_without_linear_layers_has_no_features():
    network = nn.Sequential(nn.Conv2d(1, 3, 32), nn.Flatten())
    assert feature_layers(network) == [] and not keep_features(network)
    assert computed(network, pictures()) is None


def test_nothing_is_kept_outside_the_context_and_batches_in_a_row_are_one_mean(resnet):
    whole = computed(resnet, pictures(4))
    with torch.inference_mode(), kept_features() as kept:
        for batch in pictures(4).split(1):
            resnet(batch)
    resnet(pictures(1, seed=1))
    torch.testing.assert_close(mean_features(kept), whole)


def test_threads_that_share_a_network_keep_their_own_features(resnet):
    expected = [computed(resnet, pictures(seed=seed)) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: computed(resnet, pictures(seed=seed)), range(20)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
