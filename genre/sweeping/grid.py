"""A grid: every combination of some values of configuration keys. A point is known by what it changes in the base."""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genre import config
from genre.config import flatten_keys
from genre.errors import UserError
from genre.paths import PATH_KEYS

Point = dict[str, Any]  # configuration key -> value
FIXED = ("split", "data", "grid", "hydra")  # groups that all points share: they are compared on the same tracks
FIXED_KEYS = (
    "trainer.limit_tracks",
    "trainer.monitor",
    "trainer.devices",
    "trainer.strategy",
    "folder",
    "name",
    "worker",
    "resume",
    "debug",
)

MAY_DIFFER = PATH_KEYS - {"init_from"} | {  # between two commands of one sweep, or two machines
    "name",
    "worker",
    "debug",
    "data.download",
    "trainer.enable_progress_bar",
    "trainer.accelerator",
}


class Grid:
    """The values of each axis.

    Args:
        axes: configuration key -> its values, of any JSON type; a value that stands twice counts once.

    Raises:
        UserError: naming the axis that cannot be one.
    """

    def __init__(self, axes: Mapping[str, Any]) -> None:
        if not axes:
            raise UserError("grid.axes is empty; name configuration keys and their values, as in conf/grid/small.yaml")
        for key, values in axes.items():
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise UserError(f"grid.axes: {key}={values} is no list of values; write {key}: [{values}]")
            if key.split(".")[0] in FIXED or key in FIXED_KEYS:
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
        """Try every value of every axis once in the base configuration.

        Raises:
            UserError: if a key is not there, or its values concern several groups and do not go together.
        """
        for key, values in self.axes.items():
            for value in values:
                config.check(apply_point(base, {key: value}))


def grid_of(cfg: DictConfig) -> Grid:
    """The grid of a configuration; axes may stand under dotted keys or nested (``+grid.axes.optimizer.lr=[1e-3]``)."""
    axes = OmegaConf.to_container(cfg.grid.axes, resolve=True)
    return Grid(dict(flatten_keys(axes)))


def apply_point(base: DictConfig, point: Point) -> dict[str, Any]:
    """The base configuration with a point's values, as plain values.

    Raises:
        UserError: if the base has no such key, or a group of keys there.
    """
    changed = deepcopy(base)
    for key, value in point.items():
        try:
            before = OmegaConf.select(changed, key, throw_on_resolution_failure=False)
            OmegaConf.update(changed, key, value, merge=False)
        except OmegaConfBaseException:
            raise UserError(f"grid.axes: {key} is no key of this configuration; correct it, or add +{key}=…") from None
        if isinstance(before, DictConfig) and isinstance(value, str):
            raise UserError(f"grid.axes: {key} is a group of keys; sweep {key}={value} by itself with another name=…")
    return config.plain(changed)


def value_label(value: Any) -> str:
    """A value as it is shown: JSON, but texts plain."""
    return value if isinstance(value, str) else canonical_json(value)


def canonical_json(value: Any) -> str:
    """A value as it is compared: JSON, in which 1 and 1.0 are the same."""
    return json.dumps(normalize_numbers(value), sort_keys=True, ensure_ascii=False)


def normalize_numbers(value: Any) -> Any:
    """A value without the difference between whole numbers and floats."""
    if isinstance(value, Mapping):
        return {key: normalize_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [normalize_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def point_identity(point: Point, base: Mapping[str, Any]) -> str:
    """What tells a point from all others: the values in which it differs from the base.

    So a point stays the same when an axis is added at whose base value it was trained.

    Args:
        base: configuration key -> value, flat.
    """
    return canonical_json(
        {key: value for key, value in point.items() if canonical_json(value) != canonical_json(value_at(base, key))}
    )


def value_at(base: Mapping[str, Any], key: str) -> Any:
    """The value of a key that may be a group: leaves of a flat base put together again."""
    if key in base:
        return base[key]
    return {name.removeprefix(f"{key}."): value for name, value in base.items() if name.startswith(f"{key}.")}
