"""Heads that train side by side are each what they would have become alone."""

import pytest
import torch

from genre import config
from genre.sweeping.grid import apply_point
from genre.sweeping.heads import family_of, train_family
from genre.sweeping.trial import TrialData, train_point

DIFFERENT = [
    {},
    {"optimizer.lr": 3e-4},
    {"model.dropout": 0.0},
    {"model.dense_units": 5, "optimizer.lr": 3e-3},
    {"optimizer.weight_decay": 0.1},
    {"model.dense_units": 5, "model.dropout": 0.2},
    {"seed": 3},
    {"seed": 3, "model.dense_units": 12},
]


@pytest.fixture
def base(configured):
    """A frozen network without pre-training, whose head is trained for a few epochs in small batches."""

    def compose(*overrides):
        quick = ("model.weights=random", "model.dense_units=8", "trainer.max_epochs=5", "batch_size=8")
        return configured("model=vgg16", *quick, *overrides, network="vgg16")

    return compose


@pytest.fixture(scope="module")
def trial_data():
    return TrialData()


def same(together, alone, tolerance=1e-3):
    assert (together.epochs, together.best_epoch, together.parameters) == (
        alone.epochs, alone.best_epoch, alone.parameters,
    )  # fmt: skip
    assert together.metrics == pytest.approx(alone.metrics, rel=tolerance, abs=1e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        ("augment=none",),
        pytest.param(("augment=document", "model.cached_views=2"), marks=pytest.mark.slow),
        ("augment=none", "model.features=pooled", "model.blocks=[2]"),
        pytest.param(("augment=none", "task=multilabel", "task.class_weights=true"), marks=pytest.mark.slow),
        ("augment=none", "view=segments", "view.seconds=2", "view.crops=2", "model.cached_views=2"),
        pytest.param(("augment=none", "optimizer._target_=torch.optim.SGD", "scheduler=null"), marks=pytest.mark.slow),
        pytest.param(("augment=none", "trainer.monitor=val/accuracy"), marks=pytest.mark.slow),
        ("augment=none", "scheduler.patience=0", "scheduler.factor=0.5", "+scheduler.threshold=0.3"),
    ],
)
def test_each_head_equals_its_own_run(base, overrides):
    cfg = base(*overrides)
    points = [apply_point(cfg, point) for point in DIFFERENT]
    together = train_family(points, TrialData())
    trial_data = TrialData()
    for point, one in zip(DIFFERENT, together, strict=True):
        same(one, train_point(apply_point(cfg, point), trial_data))


def test_a_head_that_stops_early_leaves_the_others_to_go_on(base):
    cfg = base("augment=none", "trainer.patience=1", "trainer.max_epochs=6", "scheduler=null")
    points = [{"optimizer.lr": rate} for rate in (1e-3, 0.0, 3e-3)]
    together = train_family([apply_point(cfg, point) for point in points], TrialData())
    alone = [train_point(apply_point(cfg, point), TrialData()) for point in points]
    assert together[1].epochs == 2 < together[0].epochs
    for one, other in zip(together, alone, strict=True):
        same(one, other)


def test_in_half_precision_a_head_is_close_to_its_own_run(base):
    cfg = base("augment=none", "trainer.precision=bf16-mixed")
    points = [apply_point(cfg, {"optimizer.lr": rate}) for rate in (1e-4, 1e-3)]
    together = train_family([apply_point(cfg, {"optimizer.lr": rate}) for rate in (1e-4, 1e-3)], TrialData())
    for one, values in zip(together, points, strict=True):
        alone = train_point(values, TrialData())
        assert one.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"], rel=0.02)


def test_what_is_no_heads_own_separates_families(base):
    cfg = base()
    own = family_of(config.plain(cfg))
    assert own is not None
    for key, value in (("optimizer.lr", 0.1), ("model.dense_units", 3), ("seed", 9)):
        assert family_of(apply_point(cfg, {key: value})) == own
    for key, value in (("batch_size", 4), ("augment.shift", 0.3), ("trainer.max_epochs", 2)):
        assert family_of(apply_point(cfg, {key: value})) not in (own, None)


@pytest.mark.parametrize(
    "point",
    [{"model.unfreeze": 1}, {"model.cached_views": 0}, {"data.keep": False}, {"trainer.precision": "16-mixed"}],
)
def test_what_is_not_frozen_and_kept_trains_alone(base, point):
    assert family_of(apply_point(base(), point)) is None


def test_a_convolutional_network_trains_alone(configured):
    assert family_of(config.plain(configured())) is None


def test_another_head_is_the_one_that_the_seed_would_have_given():
    from genre.models.vgg16 import VGG16

    def seeded(**values):
        torch.manual_seed(5)
        return VGG16(3, 32, "random", **values)

    wanted, other = seeded(dense_units=7, dropout=0.1).head, seeded(dense_units=9).make_head(7, 0.1)
    assert [p.tolist() for p in wanted.parameters()] == [p.tolist() for p in other.parameters()]
    assert str(wanted) == str(other)
