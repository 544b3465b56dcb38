"""Augmentation differs between examples, adds sounds in power, and does nothing by default."""

import pytest
import scipy.stats
import torch

from genre.transforms.augment import Augment

HEIGHT = WIDTH = 64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def edge() -> torch.Tensor:
    """Eight pictures with one bright column in the middle."""
    pictures = torch.zeros(8, 1, HEIGHT, WIDTH)
    pictures[..., 32] = 1
    return pictures


def test_without_settings_nothing_changes(edge):
    assert not Augment().acts
    assert torch.equal(Augment().picture(edge, generator()), edge)


def test_a_shift_moves_only_time_and_differs_between_examples(edge):
    shifted = Augment(shift=0.25).picture(edge, generator())
    columns = shifted[:, 0, 0].argmax(-1)
    assert (shifted.std(dim=2) < 1e-5).all()
    assert len(columns.unique()) > 3
    assert (columns - 32).abs().max() <= 16


def test_a_shift_repeats_the_border():
    ramp = torch.linspace(0.5, 1, WIDTH).expand(8, 1, HEIGHT, WIDTH)
    assert Augment(shift=0.3).picture(ramp, generator()).min() >= 0.5 - 1e-6


def test_a_zoom_stays_within_its_limit(edge):
    broad = torch.zeros_like(edge)
    broad[..., 16:48] = 1
    widths = (Augment(zoom=0.1).picture(broad, generator())[:, 0, 32] > 0.5).sum(-1)
    assert len(widths.unique()) > 2
    assert widths.min() >= 28 and widths.max() <= 36


def test_masks_differ_between_examples_and_keep_to_their_width():
    ones = torch.ones(16, 1, HEIGHT, WIDTH)
    masked = Augment(time_masks=1, time_mask=0.25).picture(ones, generator())
    silent = (masked == 0).all(dim=2)[:, 0]
    assert silent.sum(-1).max() <= 17
    assert len(silent.unique(dim=0)) > 8
    banded = Augment(frequency_masks=1, frequency_mask=0.25).picture(ones, generator())
    assert ((banded == 0).all(dim=3)[:, 0].sum(-1) <= 17).all()


def test_noise_is_within_30_db_below_its_maximum():
    power = torch.zeros(64, 32, 200)
    power[:, 0, 0] = 1
    level = 10 * Augment(noise=-20).power(power, generator())[:, 1:].mean((1, 2)).log10()
    assert -50.5 < level.min() < -45 and -25 < level.max() < -19.5


def test_an_equaliser_is_smooth_over_bands_and_constant_in_time():
    gain = 10 * Augment(equalize=3).power(torch.ones(200, 64, 4), generator()).log10()
    assert (gain.std(dim=-1) < 1e-5).all()
    assert gain[:, 0, 0].std() == pytest.approx(3, abs=0.6)
    assert gain.diff(dim=1).abs().max() < 2


def test_partners_have_other_genres_and_shares_keep_both_audible():
    targets = torch.eye(3)[torch.arange(60) % 3]
    partner, share = Augment(mix=0.5, mix_ratio=0.3).partners(targets, generator())
    mixed = share < 1
    assert 15 < mixed.sum() < 45
    assert (targets[mixed] != targets[partner[mixed]]).any(-1).all()
    assert share[mixed].min() >= 0.3 and share[mixed].max() <= 0.7


def test_examples_of_one_genre_are_not_mixed():
    _, share = Augment(mix=1.0).partners(torch.ones(4, 1), generator())
    assert (share == 1).all()


def test_the_same_seed_draws_the_same(edge):
    every = Augment(shift=0.2, zoom=0.1, time_masks=1, time_mask=0.1)
    assert torch.equal(every.picture(edge, generator(3)), every.picture(edge, generator(3)))
    assert not torch.equal(every.picture(edge, generator(3)), every.picture(edge, generator(4)))


@pytest.mark.parametrize(
    ("key", "value"), [("shift", 1.5), ("zoom", -0.1), ("noise", 3), ("mix", 2), ("mix_ratio", 0.6)]
)
def test_wrong_values_are_refused_by_name(key, value):
    with pytest.raises(ValueError, match=key):
        Augment(**{key: value})


@pytest.mark.parametrize("shape", [(6, 5), (6, 1, 1, 8, 8)], ids=["features", "pictures"])
def test_mixup_interpolates_inputs_and_targets_by_the_same_shares(shape):
    inputs, targets = torch.randn(shape, generator=generator()), torch.eye(6)
    mixed, shares = Augment(mixup=0.5).interpolate(inputs, targets, seed=3)
    torch.testing.assert_close(mixed, torch.einsum("ij,j...->i...", shares, inputs))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(6))
    assert ((shares > 0).sum(dim=1) <= 2).all() and (shares < 1).any()


def test_shares_of_mixup_follow_the_beta_distribution():
    inputs, targets = torch.arange(2000.0)[:, None], torch.eye(2000)
    own = Augment(mixup=2.0).interpolate(inputs, targets, seed=0)[1].diagonal().numpy()
    assert scipy.stats.kstest(own, scipy.stats.beta(2, 2).cdf).pvalue > 0.01


def test_without_mixup_inputs_and_targets_stay():
    inputs, targets = torch.ones(2, 3), torch.eye(2)
    assert Augment().interpolate(inputs, targets, seed=0) == (inputs, targets)
