"""Grad-CAM equals class activation maps where these are defined, and works for every network."""

import pytest
import torch
from torch import nn

from genre.evaluation.gradcam import grad_cam
from genre.models.cnn import CNN
from genre.models.crnn import CRNN
from genre.models.ensemble import Ensemble
from genre.models.musicnn import MusiCNN
from genre.models.networks import last_convolution
from genre.models.resnet import ResNet
from genre.models.vgg16 import VGG16


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""


class Averaged(nn.Module):
    """A convolution, the average over the picture, a linear layer."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 5, 3, padding=1)
        self.linear = nn.Linear(5, 4)

    def forward(self, pictures):
        return self.linear(self.convolution(pictures).mean((-2, -1)))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_before_a_global_average_it_equals_the_class_activation_map_of_zhou_et_al():
    """There the map of a class is the sum of the channels, weighted by its row of the linear layer (CVPR 2016)."""
    network, pictures, genres = Averaged(), torch.rand(3, 1, 8, 8), torch.tensor([2, 0, 3])
    channels = network.convolution(pictures)
    expected = torch.einsum("bc,bchw->bhw", network.linear.weight[genres], channels).clamp_min(0)
    expected = expected / expected.amax((1, 2), keepdim=True).clamp_min(1e-12)
    torch.testing.assert_close(grad_cam(network, network.convolution, pictures, genres), expected.detach())


def test_evidence_in_one_corner_is_found_there():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(64, 2))
    convolution, linear = network[0], network[2]
    with torch.no_grad():
        convolution.weight.fill_(1)
        convolution.bias.zero_()
        linear.weight.zero_()
        linear.weight[1].view(8, 8)[:4, :4] = 1
    picture = torch.zeros(1, 1, 8, 8)
    picture[..., :4, :4] = 1
    cam = grad_cam(network, convolution, picture, torch.tensor([1]))[0]
    assert cam[:4, :4].min() > 0.9 * cam.max() and cam[4:, 4:].max() < 0.3


@pytest.mark.parametrize(
    "network",
    [
        lambda: CNN(3, 64, filters=(4, 4, 8), dense_units=8),
        lambda: ResNet(3, 64, filters=(4, 8)),
        lambda: CRNN(3, 64, filters=(4, 8), units=4),
        lambda: CRNN(3, 64, filters=(4, 8), units=4, over_time="attention"),
        lambda: VGG16(3, 64, weights="random", dense_units=8),
        lambda: VGG16(3, 64, weights="random", features="pooled", blocks=[3, 2], dense_units=8),
        lambda: Ensemble({"one": MusiCNN(3, 64), "other": CNN(3, 64, filters=(4, 4, 8), dense_units=8)}),
    ],
    ids=["cnn", "resnet", "gru", "attention", "frozen vgg16", "its first blocks", "ensemble"],
)
def test_every_network_has_a_map_and_is_unchanged(network):
    network = network().eval()
    pictures = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        cam = grad_cam(network, last_convolution(network), pictures, torch.tensor([0, 2]))
    assert cam.shape == (2, 64, 64) and cam.min() >= 0 and cam.max() <= 1 + 1e-6
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(layer._forward_hooks for layer in network.modules())


def test_the_last_convolution_is_not_that_of_a_shortcut():
    network = ResNet(3, 64, filters=(4, 8))
    assert last_convolution(network) is network.stages[-1][-1].residual[2][0]


@pytest.mark.parametrize("network", [nn.Linear(3, 2), MusiCNN(3, 64)], ids=["linear", "time and bands exchanged"])
def test_a_network_without_maps_like_the_picture_has_no_last_convolution(network):
    assert last_convolution(network) is None
