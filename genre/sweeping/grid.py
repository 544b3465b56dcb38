"""A grid: every combination of values of some configuration keys. A point is identified by its changes to the base."""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genre.config.build import check_buildable
from genre.config.records import flatten, plain
from genre.config.settings import GridSettings, TrainSettings, train_settings
from genre.errors import UserError
from genre.paths import PATH_KEYS

Point = dict[str, Any]  # configuration key -> value
FIXED_GROUPS = ("split", "data", "grid", "hydra")  # groups without axes: points are compared on the same tracks
FIXED_KEYS = (
    "stopping.monitor",
    "trainer.devices",
    "trainer.strategy",
    "folder",
    "name",
    "worker",
    "resume",
    "debug",
    "profile",
)

MAY_DIFFER = PATH_KEYS - {"init_from"} | {  # between two commands or two machines of one sweep
    "name",
    "worker",
    "debug",
    "profile",
    "data.download",
    "trainer.enable_progress_bar",
    "trainer.accelerator",
}


class Grid:
    """The values of each axis.

    Args:
        axes: configuration key -> its values, of any JSON type; a value listed twice counts once.

    Raises:
        UserError: naming the invalid axis.
    """

    def __init__(self, axes: Mapping[str, Any]) -> None:
        if not axes:
            raise UserError("grid.axes is empty; name configuration keys and their values, as in conf/grid/small.yaml")
        for key, values in axes.items():
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise UserError(f"grid.axes: {key}={values} is not a list of values; write {key}: [{values}]")
            if key.split(".")[0] in FIXED_GROUPS or key in FIXED_KEYS:
                raise UserError(
                    f"grid.axes: {key} cannot differ between points, which are compared on the same tracks; "
                    "start a sweep of its own with another name=…"
                )
        self.axes = {
            key: list({canonical_json(value): value for value in values}.values()) for key, values in axes.items()
        }

    def __len__(self) -> int:
        return len(list(self.points()))

    def points(self) -> Iterator[Point]:
        """Every combination once, the last axis changing fastest."""
        for values in product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def check(self, base: DictConfig) -> None:
        """Check the base configuration with each value of each axis.

        Raises:
            UserError: if a key does not exist, or values of several groups contradict each other.
        """
        for key, values in self.axes.items():
            for value in values:
                check_buildable(apply_point(base, {key: value}))


def grid_of(settings: GridSettings) -> Grid:
    """Build the grid of a sweep; axes have dotted keys or nested ones (``+grid.axes.optimizer.lr=[1e-3]``)."""
    return Grid(dict(flatten(settings.axes)))


def apply_point(base: DictConfig, point: Point) -> TrainSettings:
    """Return the base configuration with a point's values.

    Raises:
        UserError: if a key does not exist in the base, or names a group.
    """
    changed = deepcopy(base)
    for key, value in point.items():
        try:
            before = OmegaConf.select(changed, key, throw_on_resolution_failure=False)
            OmegaConf.update(changed, key, value, merge=False)
        except OmegaConfBaseException:
            raise UserError(
                f"grid.axes: {key} is not a key of this configuration; correct it, or add +{key}=…"
            ) from None
        if isinstance(before, DictConfig) and isinstance(value, str):
            raise UserError(f"grid.axes: {key} is a group of keys; sweep {key}={value} by itself with another name=…")
    return train_settings(plain(changed))


def value_label(value: Any) -> str:
    """Label of a value in tables and figures: JSON, strings without quotes."""
    return value if isinstance(value, str) else canonical_json(value)


def canonical_json(value: Any) -> str:
    """JSON by which values are compared; 1 and 1.0 are equal."""
    return json.dumps(normalize_numbers(value), sort_keys=True, ensure_ascii=False)


def normalize_numbers(value: Any) -> Any:
    """Replace whole floats by integers, at any depth."""
    if isinstance(value, Mapping):
        return {key: normalize_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [normalize_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def point_identity(point: Point, base: Mapping[str, Any]) -> str:
    """Key of a point: the values in which it differs from the base.

    A point so keeps its identity when an axis is added and the point has that axis's base value.

    Args:
        base: configuration key -> value, flat.
    """
    return canonical_json(
        {key: value for key, value in point.items() if canonical_json(value) != canonical_json(value_at(base, key))}
    )


def value_at(base: Mapping[str, Any], key: str) -> Any:
    """Value of a key in a flat base; for a group, a dict of its leaves."""
    if key in base:
        return base[key]
    return {name.removeprefix(f"{key}."): value for name, value in base.items() if name.startswith(f"{key}.")}
