"""The record of a run's configuration, hparams.yaml: plain values under the keys that the command line knows."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from genre.files import write_text
from genre.paths import RECORD

Record = Mapping[str, Any]  # group or key -> values of JSON types


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
    """The configuration of a run folder."""
    return plain(DictConfig(OmegaConf.load(folder / RECORD)))


def write_record(folder: Path, record: Record) -> None:
    """Write a configuration so that Hydra composes the very same."""
    write_text(folder / RECORD, as_yaml(record))


def as_yaml(record: Record) -> str:
    """A configuration as YAML from which OmegaConf reads the very same texts."""
    return yaml.safe_dump(escape(record), sort_keys=False, allow_unicode=True)


def escape(value: Any) -> Any:
    """Escape what OmegaConf would interpolate."""
    if isinstance(value, Mapping):
        return {key: escape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escape(inner) for inner in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value
