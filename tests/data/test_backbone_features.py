"""Cached features of a frozen backbone give the same results as computing them live."""

import functools

import pytest
import torch

import genre
from genre.models.ensemble import Ensemble
from genre.models.vgg16 import VGG16
from helpers import opened_data

SMALL = ["model=vgg16", "model.weights=random", "model.dense_units=8", "spectrogram.size=32"]


@pytest.fixture
def vgg(configured, monkeypatch):
    """Compose for VGG16 on small pictures; the backbone's random weights are the same each time."""
    load = VGG16.__init__

    @functools.wraps(load)
    def seeded(self, *arguments, **values):
        torch.manual_seed(5)
        load(self, *arguments, **values)

    monkeypatch.setattr(VGG16, "__init__", seeded)

    def compose(*overrides):
        return configured(*SMALL, *overrides, network="vgg16")

    return compose


@pytest.mark.parametrize(
    ("view", "features"),
    [
        ("whole", "flattened"),
        ("segments", "pooled"),
        pytest.param("whole", "pooled", marks=pytest.mark.slow),
        pytest.param("segments", "flattened", marks=pytest.mark.slow),
    ],
)
def test_cached_and_live_evaluation_give_the_same_logits(vgg, features, view):
    options = [f"view={view}", "view.seconds=2", "augment=none", f"model.features={features}"]
    cached, live = opened_data(vgg(*options)), opened_data(vgg(*options, "model.cached_views=0"))
    assert (cached.eval_store.stage, live.eval_store.stage) == ("features", "picture")
    for index in cached.batches("test"):
        inputs = [data.fetch(index).inputs.flatten(0, 1) for data in (cached, live)]
        with torch.inference_mode():
            torch.testing.assert_close(*(cached.backbone(each) for each in inputs), atol=1e-4, rtol=1e-4)


def test_without_augmentation_training_reads_the_evaluation_features(vgg):
    data = opened_data(vgg("augment=none"))
    assert data.train_store is data.eval_store


def test_with_augmentation_views_of_the_training_tracks_are_cached(vgg):
    data = opened_data(vgg("augment=document", "model.cached_views=3"))
    assert data.train_store.stage == "views"
    assert sorted(data.train_store.names) == sorted(data.track_names("train"))
    views = data.train_store.take(torch.tensor([0]))[0]
    assert views.shape == (3, 512 + 3)
    assert not torch.equal(views[0], views[1])


def test_folds_share_the_views_of_all_tracks(vgg):
    options = ["augment=document", "model.cached_views=2", "split.folds=3"]
    folds = [opened_data(vgg(*options, f"split.fold={fold}")) for fold in range(2)]
    assert folds[0].track_names("train") != folds[1].track_names("train")
    assert folds[0].train_store.key.name == folds[1].train_store.key.name
    for data in folds:
        assert all(torch.equal(b.targets, data.targets[b.rows]) for b in map(data.fetch, data.train_dataloader()))


def test_an_ensemble_reads_the_stores_of_its_members(vgg):
    options = ["augment=document", "model.cached_views=2"]
    alone = opened_data(vgg(*options))
    together = opened_data(vgg(*options), Ensemble({"a": alone.backbone, "b": alone.backbone}))
    rows = torch.tensor([1, 0])
    assert torch.equal(together.eval_store.take(rows), torch.cat([alone.eval_store.take(rows)] * 2, dim=-1))
    views = alone.train_store.take(rows)
    assert torch.equal(together.train_store.take(rows), torch.cat([views[..., :-3], views], dim=-1))
    assert together.eval_store.key == alone.eval_store.key and together.cached_views == 2


def test_shares_of_the_training_tracks_read_the_same_stores(vgg):
    options = ["augment=document", "model.cached_views=2", "split.folds=3", "split.fold=0"]
    whole, half = (opened_data(vgg(*options, f"split.train_share={share}")) for share in (1, 0.5))
    assert len(half.track_names("train")) < len(whole.track_names("train"))
    assert half.train_store.key.name == whole.train_store.key.name
    assert half.eval_store.key.name == whole.eval_store.key.name
    assert all(torch.equal(b.targets, half.targets[b.rows]) for b in map(half.fetch, half.train_dataloader()))


def test_mixed_views_are_of_the_training_tracks_of_a_fold_alone(vgg):
    options = ["augment.mix=1", "task=multilabel", "model.cached_views=2", "split.folds=3", "split.fold=0"]
    data = opened_data(vgg(*options))
    assert sorted(data.train_store.names) == sorted(data.track_names("train"))


def test_a_cached_view_has_the_targets_of_its_track(vgg):
    data = opened_data(vgg("augment=document", "model.cached_views=2"))
    for index in data.train_dataloader():
        batch = data.fetch(index)
        assert torch.equal(batch.targets, data.targets[batch.rows])
        assert batch.inputs.shape[1:] == (1, 512)


def test_mixed_views_have_the_targets_of_both(vgg):
    data = opened_data(vgg("augment.mix=1", "task=multilabel", "model.cached_views=2"))
    targets = torch.cat([data.fetch(index).targets for index in data.train_dataloader()])
    assert (targets.sum(1) == 2).float().mean() > 0.8


def test_unfrozen_blocks_are_computed_live(vgg):
    assert opened_data(vgg("model.unfreeze=1")).train_store.stage == "picture"


def test_the_head_trains_in_training_mode_on_cached_features(vgg, monkeypatch):
    modes = []
    forward = VGG16.forward

    def recording_forward(self, inputs):
        modes.append((self.head.training, self.features.training, torch.is_grad_enabled()))
        return forward(self, inputs)

    monkeypatch.setattr(VGG16, "forward", recording_forward)
    genre.train(vgg("augment=none"))
    assert (True, False, True) in modes and (False, False, False) in modes
    assert not any(head and not grad for head, _, grad in modes)


@pytest.mark.parametrize("overrides", [["augment=none"], ["augment=document", "model.cached_views=2"]])
def test_a_run_on_cached_features_writes_a_complete_checkpoint(vgg, overrides):
    run = genre.train(vgg(*overrides))
    model = genre.load(run.folder)
    assert model(torch.rand(1, 4 * 22_050) - 0.5).shape == (1, 3)
    last = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert not any(name.startswith("network.features") for name in last["state_dict"])
    assert last["genre"]["frozen"] == model.network.fingerprint
