"""A grid is every combination once; a point is identified by its changes to the base."""

from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from torch import nn

import genre
from genre.config.build import build_network
from genre.config.records import flatten
from genre.config.settings import sweep_settings
from genre.errors import UserError
from genre.sweeping.grid import Grid, apply_point, canonical_json, grid_of, point_identity

CONF = Path(__file__).parents[2] / "conf"
GRIDS = sorted({path.stem for path in (CONF / "grid").glob("*.yaml")} - {"custom"})
WITHOUT_HYDRA = ["folder=x", "name=x"]


def composed(*overrides, grid="small"):
    return genre.compose(f"grid={grid}", "data=synthetic", *WITHOUT_HYDRA, *overrides, config_name="sweep")


def base(*overrides):
    return genre.compose("data=synthetic", *WITHOUT_HYDRA, *overrides)


def axes_in(name):
    return OmegaConf.to_container(OmegaConf.load(CONF / "grid" / f"{name}.yaml").axes)


def test_a_grid_has_every_combination_once():
    points = list(Grid({"model.kernel_size": [3, 5], "optimizer.lr": [0.1, 0.2, 0.3]}).points())
    assert len(points) == 6 == len({canonical_json(point) for point in points})
    assert points[1] == {"model.kernel_size": 3, "optimizer.lr": 0.2}


def test_a_value_listed_twice_counts_once():
    assert len(Grid({"model.dropout": [0, 0.0, 0.5], "model.filters": [[1, 2], [1.0, 2]]})) == 2


def test_the_papers_grid_has_576_points_and_contains_the_base_model():
    grid = grid_of(sweep_settings(composed(grid="document")).grid)
    assert len(grid) == 576
    flat_base = dict(flatten(OmegaConf.to_container(base())))
    assert sum(point_identity(point, flat_base) == "{}" for point in grid.points()) == 1


def test_the_small_grid_has_24_points():
    assert len(grid_of(sweep_settings(composed()).grid)) == 24


SLOWEST = ("document", "vgg16")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOWEST else []) for name in GRIDS]
)
def test_every_value_of_a_grid_can_be_built(name):
    model = ["model=vgg16", "model.weights=random"] if name == "vgg16" else []
    grid_of(sweep_settings(composed(*model, grid=name)).grid).check(base(*model))
    for key, values in axes_in(name).items():
        for value in values:
            settings = apply_point(base(*model), {key: value})
            settings.optimizer.component.build(nn.Linear(1, 1).parameters())
            if key.startswith("model"):
                build_network(settings, 10)


def test_hydras_own_sweeper_enumerates_the_same_points():
    """What ``python train.py -m experiment=document/grid`` would run, without running it."""
    experiment = OmegaConf.load(CONF / "experiment" / "document" / "grid.yaml")
    parser = OverridesParser.create()
    overrides = parser.parse_overrides([f"{key}={value}" for key, value in experiment.hydra.sweeper.params.items()])
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    enumerated = [{o.key_or_group: o.value() for o in parser.parse_overrides(job)} for job in jobs]
    points = grid_of(sweep_settings(composed(grid="document")).grid).points()
    assert sorted(map(canonical_json, enumerated)) == sorted(map(canonical_json, points))


def test_applying_a_point_leaves_the_base_unchanged():
    before = base()
    settings = apply_point(before, {"model.filters": [8, 8], "scheduler": None})
    assert settings.model.arguments["filters"] == [8, 8] and settings.scheduler is None
    assert before.model.filters == [32, 64, 128] and before.scheduler.patience == 5


def test_a_point_keeps_its_identity_when_an_axis_is_added_at_its_base_value():
    flat_base = dict(flatten(OmegaConf.to_container(base())))
    old, new = {"model.kernel_size": 5}, {"model.kernel_size": 5.0, "optimizer.lr": 1e-3}
    assert point_identity(old, flat_base) == point_identity(new, flat_base)
    assert point_identity(old, flat_base) != point_identity({"model.kernel_size": 7}, flat_base)


def test_axes_can_be_added_and_changed_on_the_command_line():
    grid = grid_of(sweep_settings(composed("+grid.axes.model.kernel_size=[7]", "+grid.axes.batch_size=[16,32]")).grid)
    assert grid.axes["model.kernel_size"] == [7] and grid.axes["batch_size"] == [16, 32]
    assert len(grid) == 24


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "grid.axes is empty"),
        ({"model.kernel_size": 3}, r"model.kernel_size=3 is not a list of values; write model.kernel_size: \[3\]"),
        ({"model.kernel_size": []}, "is not a list of values"),
        ({"split.seed": [0, 1]}, "split.seed cannot differ between points"),
        ({"data.limit_tracks": [1]}, "data.limit_tracks cannot differ between points"),
        ({"model.kernelsize": [3]}, "model.kernelsize is not a key of this configuration"),
        ({"nothing": [3]}, "nothing is not a key of this configuration"),
        ({"model": ["cnn", "vgg16"]}, "model is a group of keys"),
        ({"batch_size": [0]}, "batch_size=0"),
    ],
)
def test_an_invalid_axis_is_refused_by_name(axes, message):
    with pytest.raises(UserError, match=message):
        Grid(axes).check(base())
