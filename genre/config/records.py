"""The record of a run's configuration, hparams.yaml: plain values under the keys that the command line knows."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from genre.errors import UserError
from genre.files import write_text
from genre.paths import RECORD, escape, unescape
from genre.redaction import redacted

Record = Mapping[str, Any]  # group or key -> values of JSON types
FOREIGN = ("hydra", "defaults", "trust")  # instructions to Hydra, or to us: never a run's


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Resolve a configuration into plain JSON types."""
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested mapping under their dotted keys."""
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))


def read_record(folder: Path) -> dict[str, Any]:
    """The configuration of a run folder, which may be a stranger's: read as data, of which nothing is interpolated.

    Raises:
        UserError: if the file holds something else.
    """
    path = folder / RECORD
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}); restore it") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is not the record of a run; restore it")
    if found := [name for name in FOREIGN if name in values]:
        raise UserError(f"{path} has the section {found[0]}, which no run of this program writes; remove it")
    record: dict[str, Any] = map_texts(values, unescape)
    return record


def write_record(folder: Path, record: Record) -> None:
    """Write a configuration without its secrets; ``read_record`` gives back the very same."""
    write_text(folder / RECORD, as_yaml(redacted(record)))


def as_yaml(record: Record) -> str:
    """A configuration as YAML from which OmegaConf reads the very same texts."""
    return yaml.safe_dump(map_texts(record, escape), sort_keys=False, allow_unicode=True)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A value with every text in it changed, keys excepted."""
    if isinstance(value, Mapping):
        return {key: map_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [map_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value
