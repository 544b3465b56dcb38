"""musicnn is the published network: its maps equal those of the published TensorFlow graph."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from genre.data.backbone_features import Backbone
from genre.models.musicnn import FRONT_CHANNELS, MusiCNN, approximate_log_mel, band_interpolation

REFERENCE = Path(__file__).with_name("musicnn_reference.csv")  # the published graph's pooled maps of ``noise()``


def noise() -> torch.Tensor:
    """A log-mel of random values that fall with frequency, (96, 187)."""
    values = np.random.default_rng(0).random((187, 96)) * np.linspace(4, 1, 96)
    return torch.from_numpy(values.astype(np.float16)).float().T


def test_maps_equal_those_of_the_published_graph_but_for_maps_that_never_change():
    _, mean, maximum = torch.from_numpy(np.loadtxt(REFERENCE, np.float32, delimiter=",", skiprows=1)).T
    backbone = MusiCNN(10, 625).eval().backbone  # a column per frame
    with torch.no_grad():
        backbone.scale.fill_(1)
        backbone.shift.fill_(0)
        maps = backbone(noise()[None])[0]
    changes = maps.amax(-1) > maps.mean(-1) + 1e-5
    expected = maximum > mean + 1e-5
    torch.testing.assert_close(maps.mean(-1)[changes], mean[expected], atol=1e-4, rtol=5e-4)  # of four digits
    torch.testing.assert_close(maps.amax(-1)[changes], maximum[expected], atol=1e-4, rtol=5e-4)


def test_kernels_that_are_left_out_never_change_a_map_of_the_published_graph():
    _, mean, maximum = torch.from_numpy(np.loadtxt(REFERENCE, np.float32, delimiter=",", skiprows=1)).T
    published = 2 * 204 + 3 * 51  # maps of the first layer
    assert (maximum > mean + 1e-5)[:published].sum() <= FRONT_CHANNELS < published / 8


def frames_at(columns: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """(96, columns) -> values that are linear between the columns, (1, 96, positions)."""
    places = np.arange(columns.shape[1])
    frames = np.stack([np.interp(positions.numpy(), places, band) for band in columns.numpy()])
    return torch.from_numpy(frames).float()[None]


def test_frames_between_columns_are_linear_in_these():
    columns, published = noise()[:, :60], MusiCNN(10, 625).eval().backbone
    expected = published(frames_at(columns, (torch.arange(240) + 0.5) / 4 - 0.5))
    narrower = MusiCNN(10, 250, seconds=16.0).eval().backbone  # 4 frames per column
    inside = slice(80, 160)  # beyond the ends both read zeros, between which and the last column these know frames
    torch.testing.assert_close(narrower(columns[None])[..., inside], expected[..., inside], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("stride", "places"), [(2, [-0.25, 0.25]), (4, [0.0])])
def test_with_a_stride_the_first_layer_is_linear_between_fewer_places_per_column(stride, places):
    columns, published = noise()[:, :60], MusiCNN(10, 625).eval().backbone
    computed = [
        published(frames_at(columns, place + torch.arange(240) / 4))[0, :FRONT_CHANNELS, ::4] for place in places
    ]
    known = np.add.outer(np.arange(60), places).ravel()
    frames = (np.arange(240) + 0.5) / 4 - 0.5
    values = torch.stack(computed, -1).flatten(1).numpy()
    expected = torch.from_numpy(np.stack([np.interp(frames, known, row) for row in values])).float()
    sparse = MusiCNN(10, 250, seconds=16.0, stride=stride).eval().backbone(columns[None])[0, :FRONT_CHANNELS]
    torch.testing.assert_close(sparse[:, 80:160], expected[:, 80:160], atol=1e-4, rtol=1e-4)


def test_bands_are_interpolated_on_librosas_mel_scale():
    rows = torch.from_numpy(librosa.mel_frequencies(130, fmin=0, fmax=11_025)[1:-1]).float()
    bands = band_interpolation(128, 11_025.0)
    torch.testing.assert_close(bands.sum(1), torch.ones(96))
    expected = torch.from_numpy(librosa.mel_frequencies(98, fmin=0, fmax=8_000)[1:-1]).float()
    torch.testing.assert_close(bands @ rows, expected, rtol=2e-3, atol=1.0)


def test_the_loudest_and_the_quietest_level_keep_their_distance():
    pictures = torch.stack([torch.ones(1, 128, 128), torch.zeros(1, 128, 128)])
    loud, quiet = approximate_log_mel(pictures, band_interpolation(128, 8_000.0))
    assert loud.shape == (96, 128)
    torch.testing.assert_close(loud, torch.full_like(loud, 6.0), atol=1e-3, rtol=0)  # log10(1 + 10,000 * 10^2)
    torch.testing.assert_close(quiet, torch.full_like(quiet, np.log10(1.01)), atol=1e-3, rtol=0)


def test_only_the_head_is_trained_and_the_rest_stays_in_evaluation_mode():
    network = MusiCNN(10, 128).train()
    assert network.head.training and not any(layer.training for layer in network.backbone.modules())
    trained = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"head"} and isinstance(network, Backbone)


def test_features_and_pictures_give_the_same_logits():
    network, pictures = MusiCNN(10, 64, seconds=2.0).eval(), torch.rand(3, 1, 64, 64)
    torch.testing.assert_close(network(network.embed(pictures)), network(pictures))


@pytest.mark.parametrize("options", [{"seconds": 5.0}, {"f_max": 11_025.0}, {"stride": 2}])
def test_cached_features_depend_on_what_a_picture_covers_and_the_stride(options):
    assert MusiCNN(10, 64).feature_identity != MusiCNN(10, 64, **options).feature_identity


def test_a_batch_of_one_track_is_normalized_by_what_was_seen_before():
    head = MusiCNN(10, 64).train().head
    features = torch.randn(8, head[0].num_features)
    head(features)
    before = head[0].running_mean.clone()
    alone = head[0](features[:1])
    torch.testing.assert_close(alone, head[0].eval()(features[:1]))
    assert torch.equal(head[0].running_mean, before)
