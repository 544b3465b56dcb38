"""A network with normalised features says how far a track lies from its training tracks, without a second pass."""

import numpy as np
import pytest
import torch

from genre.models.cnn import CNN
from genre.models.ensemble import Ensemble
from genre.models.frozen import FeatureNorm
from genre.models.networks import crop_logits, crop_outputs
from genre.models.vgg16 import VGG16


def network(blocks: list[int], features: str = "pooled") -> VGG16:
    """A frozen network on pictures of 32 pixels whose head has seen 20 of them."""
    built = VGG16(3, 32, weights="random", features=features, blocks=blocks).train()
    if isinstance(built.head[0], FeatureNorm):
        built.head[0].momentum = None  # the mean over the batches, of which there is one
    built(torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(1)))
    return built.eval()


@pytest.fixture(scope="module")
def frozen():
    return network([2])


@pytest.fixture(scope="module")
def pictures():
    """Two tracks of three crops."""
    return torch.rand(2, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_distance_is_the_mean_square_of_standardised_features_clipped_at_five_deviations():
    norm = FeatureNorm(3).eval()
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([4.0, 0.25, 0.0])
    features = np.array([[1.0, 2.0, 0.0], [5.0, 1.0, 0.0], [1.0, 99.0, 1.0]])
    standardised = (features - [1, 2, 0]) / np.sqrt(np.array([4, 0.25, 0]) + norm.eps)
    expected = (np.clip(standardised, -5, 5) ** 2).mean(1)
    np.testing.assert_allclose(norm.distances(torch.from_numpy(features).float()).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(expected, [0, 8 / 3, 50 / 3], rtol=1e-4)


def test_a_track_has_the_mean_distance_of_its_crops_and_the_logits_that_it_has_without(frozen, pictures):
    logits, distances = crop_outputs(frozen, pictures)
    torch.testing.assert_close(logits, crop_logits(frozen, pictures), rtol=0, atol=0)
    alone = torch.stack([crop_outputs(frozen, crop[None, None]).distances for track in pictures for crop in track])
    torch.testing.assert_close(distances, alone.view(2, 3).mean(1))


def test_features_and_pictures_have_the_same_distances(frozen, pictures):
    features = frozen.embed(pictures.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(crop_outputs(frozen, features).distances, crop_outputs(frozen, pictures).distances)


def test_the_backbone_runs_once(frozen, pictures, monkeypatch):
    calls = []
    embed = type(frozen).embed
    monkeypatch.setattr(type(frozen), "embed", lambda self, picture: calls.append(1) or embed(self, picture))
    crop_outputs(frozen, pictures)
    assert len(calls) == 1


def test_other_pictures_are_farther_away_than_those_of_the_training(frozen, pictures):
    foreign = torch.cat([torch.zeros(1, 3, 1, 32, 32), torch.linspace(0, 1, 32).expand(1, 3, 1, 32, 32)])
    assert crop_outputs(frozen, foreign).distances.min() > 2 * crop_outputs(frozen, pictures).distances.max()


def test_an_ensemble_has_the_mean_over_the_members_that_have_a_distance(frozen, pictures):
    other = network([1])
    members = {"one": frozen, "none": CNN(3, 32, filters=(2, 2, 4)).eval(), "other": other}
    expected = (crop_outputs(frozen, pictures).distances + crop_outputs(other, pictures).distances) / 2
    outputs = crop_outputs(Ensemble(members), pictures)
    torch.testing.assert_close(outputs.distances, expected)
    torch.testing.assert_close(outputs.logits, crop_logits(Ensemble(members), pictures))


def test_networks_without_normalised_features_have_no_distance(pictures):
    for plain in (CNN(3, 32, filters=(2, 2, 4)).eval(), network([5], features="flattened")):
        assert crop_outputs(plain, pictures).distances is None
        assert crop_outputs(Ensemble({"one": plain}), pictures).distances is None
