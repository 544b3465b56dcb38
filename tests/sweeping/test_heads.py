"""Heads trained in one pass have the results that each has alone."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from genre.config.settings import train_settings
from genre.data.backbone_features import HeadBackbone, HeadLayers
from genre.models.vgg16 import VGG16
from genre.sweeping.grid import apply_point
from genre.sweeping.heads import family_of, groups_by_options, rounded_products, train_family
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
    """Return a function that composes a short training of a frozen VGG16 with random weights."""

    def compose(*overrides):
        quick = ("model.weights=random", "model.dense_units=8", "trainer.max_epochs=5", "batch_size=8")
        return configured("model=vgg16", *quick, *overrides, network="vgg16")

    return compose


@pytest.fixture(scope="module")
def trial_data():
    return TrialData()


def assert_same(together, alone, tolerance=1e-3):
    assert (together.epochs, together.best_epoch, together.parameters) == (
        alone.epochs, alone.best_epoch, alone.parameters,
    )  # fmt: skip
    assert together.metrics == pytest.approx(alone.metrics, rel=tolerance, abs=1e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("augment=none",), marks=pytest.mark.slow),
        pytest.param(("augment=document", "model.cached_views=2"), marks=pytest.mark.slow),
        pytest.param(("augment=none", "model.features=pooled", "model.blocks=[2]"), marks=pytest.mark.slow),
        pytest.param(("augment=none", "task=multilabel", "task.class_weights=true"), marks=pytest.mark.slow),
        pytest.param(
            ("augment=none", "view=segments", "view.seconds=2", "view.crops=2", "model.cached_views=2"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("augment=none", "optimizer=sgd", "scheduler=none"), marks=pytest.mark.slow),
        pytest.param(("augment=none", "stopping.monitor=val/accuracy"), marks=pytest.mark.slow),
        pytest.param(
            ("augment=none", "scheduler.patience=0", "scheduler.factor=0.5", "+scheduler.threshold=0.3"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_each_head_equals_its_own_run(base, overrides):
    cfg = base(*overrides)
    points = [apply_point(cfg, point) for point in DIFFERENT]
    together = train_family(points, TrialData())
    trial_data = TrialData()
    for point, one in zip(DIFFERENT, together, strict=True):
        assert_same(one, train_point(apply_point(cfg, point), trial_data))


def test_the_other_heads_continue_when_one_stops_early(base):
    cfg = base("augment=none", "stopping.patience=1", "trainer.max_epochs=6", "scheduler=none")
    points = [{"optimizer.lr": rate} for rate in (1e-3, 1e-20, 3e-3)]
    together = train_family([apply_point(cfg, point) for point in points], TrialData())
    alone = [train_point(apply_point(cfg, point), TrialData()) for point in points]
    assert together[1].epochs == 2 < together[0].epochs
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other)


def test_heads_that_the_judge_stops_end_and_the_others_are_as_alone(base):
    cfg, seen = base("augment=none"), {}
    points = [{"optimizer.lr": 1e-3}, {"seed": 3}, {"optimizer.lr": 3e-3}, {"optimizer.lr": 1e-2}]

    def judge(epochs, metrics):
        seen.setdefault(epochs, []).extend(metrics)
        return {0, 1} if epochs == 2 else {3} if epochs == 4 else ()

    together = train_family([apply_point(cfg, point) for point in points], TrialData(), judge)
    assert [(result.epochs, result.pruned) for result in together] == [(2, True), (2, True), (5, False), (4, True)]
    assert {epochs: sorted(indices) for epochs, indices in seen.items()} == {
        1: [0, 1, 2, 3], 2: [0, 1, 2, 3], 3: [2, 3], 4: [2, 3],
    }  # fmt: skip
    assert_same(together[2], train_point(apply_point(cfg, points[2]), TrialData()))


def test_in_half_precision_a_head_is_close_to_its_own_run(base):
    cfg = base("augment=none", "trainer.precision=bf16-mixed")
    points = [apply_point(cfg, {"optimizer.lr": rate}) for rate in (1e-4, 1e-3)]
    together = train_family([apply_point(cfg, {"optimizer.lr": rate}) for rate in (1e-4, 1e-3)], TrialData())
    for one, values in zip(together, points, strict=True):
        alone = train_point(values, TrialData())
        assert one.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"], rel=0.02)


def test_products_are_rounded_while_heads_train_in_half_precision_and_never_after():
    before, (left, right) = torch.get_float32_matmul_precision(), torch.rand(2, 64, 64)
    exact = left @ right
    with rounded_products(False):
        assert (left @ right).equal(exact)
    with pytest.raises(KeyError), rounded_products(True):
        assert torch.get_float32_matmul_precision() == "medium"
        raise KeyError
    assert torch.get_float32_matmul_precision() == before


def test_a_fused_optimiser_has_one_group_for_heads_with_the_same_options():
    def group(fused, rate):
        optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2)) for _ in range(2)], lr=rate, fused=fused)
        return optimizer.param_groups[0]

    groups = [group(True, 0.1), group(True, 0.2), group(True, 0.1), group(False, 0.1), group(False, 0.1)]
    merged = groups_by_options(groups)
    assert [(len(each["params"]), each["lr"], each["fused"]) for each in merged] == [
        (4, 0.1, True), (2, 0.2, True), (2, 0.1, False), (2, 0.1, False),
    ]  # fmt: skip
    assert merged[0]["params"] == [*groups[0]["params"], *groups[2]["params"]] and len(groups[0]["params"]) == 2


def test_points_of_one_family_differ_in_keys_of_the_head_only(base):
    cfg = base()
    family = family_of(train_settings(cfg))
    assert family is not None
    for key, value in (("optimizer.lr", 0.1), ("model.dense_units", 3), ("seed", 9)):
        assert family_of(apply_point(cfg, {key: value})) == family
    for key, value in (("batch_size", 4), ("augment.shift", 0.3), ("trainer.max_epochs", 2)):
        assert family_of(apply_point(cfg, {key: value})) not in (family, None)


@pytest.mark.parametrize(
    "point",
    [{"model.unfreeze": 1}, {"model.cached_views": 0}, {"data.keep": False}, {"trainer.precision": "16-mixed"}],
)
def test_a_point_without_cached_features_has_no_family(base, point):
    assert family_of(apply_point(base(), point)) is None


def test_a_network_without_head_arguments_has_no_family(configured):
    assert family_of(train_settings(configured())) is None


def test_make_head_gives_the_head_that_a_new_network_has_under_the_same_seed():
    def seeded(**values):
        torch.manual_seed(5)
        return VGG16(3, 32, "random", **values)

    expected, made = (
        seeded(dense_units=7, dropout=0.1).head,
        seeded(dense_units=9).make_head(dense_units=7, dropout=0.1),
    )
    assert [p.tolist() for p in expected.parameters()] == [p.tolist() for p in made.parameters()]
    assert str(expected) == str(made)


class Halving(nn.Module):
    """Features are divided by two, then two linear layers with a ReLU between; not a Sequential."""

    def __init__(self, width, hidden, genres, rate):
        super().__init__()
        self.into, self.out, self.rate = nn.Linear(width, hidden), nn.Linear(hidden, genres), rate

    def forward(self, features):
        return self.out(nn.functional.dropout(self.into(features / 2).relu(), self.rate, self.training))


class Half(nn.Module):
    def forward(self, features):
        return features / 2


class MeanBackbone(nn.Module):
    """A backbone of its own: the mean of each mel band is a feature. It has the protocol's members and no others."""

    head_arguments = frozenset({"hidden", "rate"})
    feature_identity: ClassVar = {"backbone": "mean of each mel band"}
    cached_views = 1

    def __init__(self, genres, size, hidden=6, rate=0.25):
        super().__init__()
        self.rng_state = torch.get_rng_state()
        self.sizes, self.head = (size, genres), Halving(size, hidden, genres, rate)

    def forward(self, inputs):
        return self.head(self.embed(inputs) if inputs.ndim == 4 else inputs)

    def embed(self, picture):
        return picture.mean(dim=(1, 3))

    @classmethod
    def caches_features(cls, arguments):
        return True

    def make_head(self, hidden=6, rate=0.25):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.rng_state)
            return Halving(self.sizes[0], hidden, self.sizes[1], rate)

    def head_layers(self, head):
        return HeadLayers(Half(), head.into, head.rate, head.out)


def test_heads_of_another_backbone_need_the_protocol_only(base):
    def point(**arguments):
        settings = train_settings(base("augment=none"))
        return settings.replace(model={"_target_": f"{__name__}.MeanBackbone", **arguments})

    arguments = [{"hidden": 6}, {"hidden": 12}, {"hidden": 6, "rate": 0.0}]
    assert isinstance(MeanBackbone(3, 32), HeadBackbone) and isinstance(VGG16(3, 32, "random"), HeadBackbone)
    assert len({family_of(point(**each)) for each in arguments} - {None}) == 1
    together = train_family([point(**each) for each in arguments], TrialData())
    for each, result in zip(arguments, together, strict=True):
        assert_same(result, train_point(point(**each), TrialData()))
