"""Hydra's side of the configuration: composing from Python, and options that are replaced."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from genre.config import resolvers  # noqa: F401  # registers them
from genre.config.components import TARGET, import_target, parameters
from genre.config.records import map_texts, read_record
from genre.paths import AUTO, CONF, escape, folder_to_resume, literal, unescape

OWN_KEYS = {  # which no class takes
    "data": ("cache", "keep", "limit_tracks"),
    "model": ("metadata", "metadata_dropout"),
    "scheduler": ("interval",),
}
NO_OPTIONS, RESUMED = Path(__file__).parent, "resumed"  # a folder without options; a run's record in Hydra's store


def compose(*overrides: str, config_name: str = "config") -> DictConfig:
    """Compose the configuration that ``train.py`` would run with these overrides, for use from Python.

    Args:
        overrides: as on the command line; ``folder=…`` must be one.
        config_name: of another command: 'evaluate', 'predict', 'export', 'explore', 'sweep' or 'curve'.

    Example:
        >>> genre.train(genre.compose("data=synthetic", "folder=outputs/mine"))
    """
    directory, quoted = CONF, [literal(override) for override in overrides]
    if folder := resumed_folder(quoted):
        offer_record(folder)
        directory, config_name = NO_OPTIONS, RESUMED
    with separate_hydra(directory):
        cfg = hydra.compose(config_name, quoted, return_hydra_config=True)
    with open_dict(cfg):
        if "name" in cfg:
            cfg.name = escape(str(cfg.name))  # resolved now: the chosen options go with Hydra's part
        del cfg["hydra"]
    return drop_inherited(cfg, quoted)


def resumed_folder(overrides: Sequence[str]) -> Path | None:
    """The folder of the run that ``resume=RUN``, quoted for Hydra's grammar, names; None if there is no such override.

    Raises:
        UserError: if the folder does not contain a run.
    """
    given = [override for override in overrides if override.startswith("resume=")]
    run = OverridesParser.create().parse_override(given[-1]).value() if given else None
    return folder_to_resume(unescape(str(run))) if run and run != AUTO else None


def offer_record(folder: Path) -> None:
    """Make the record of a run a configuration that Hydra can compose: ``RESUMED``.

    Hydra does not read the file, which may be a stranger's: in ``hydra`` and ``defaults`` it would be told what to
    import and where to write.

    Raises:
        UserError: if the record is damaged, or is none.
    """
    record = {**map_texts(read_record(folder), escape), "trust": None}
    ConfigStore.instance().store(RESUMED, record)


@contextmanager
def separate_hydra(directory: Path) -> Iterator[None]:
    """Hydra over a folder of configurations, also inside a command of Hydra's, which would else refuse a second one."""
    shared = GlobalHydra.instance()
    outer, shared.hydra = shared.hydra, None
    try:
        with hydra.initialize_config_dir(str(directory), version_base="1.3"):
            yield
    finally:
        shared.hydra = outer


def composed(cfg: DictConfig) -> DictConfig:
    """The configuration of a Hydra command without what its replaced options would have inherited."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return drop_inherited(cfg.copy(), overrides)


def drop_inherited(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Drop, in place, the keys that a replaced option leaves behind.

    ``model._target_=mynets.Tiny`` is then enough: the filters of the default network are not given to it. Of
    ``model={_target_: …}`` only the keys inside remain. A key that an override names itself always stays, and is
    refused later if it is unknown.
    """
    parsed = [override for override in OverridesParser.create().parse_overrides(list(overrides)) if override.value()]
    named = {override.key_or_group for override in parsed}
    with open_dict(cfg):
        for override in parsed:
            group, value = override.key_or_group, override.value()
            node = cfg.get(group.removesuffix(f".{TARGET}"))
            if not isinstance(node, DictConfig):
                continue
            if isinstance(value, dict):
                keep = {str(key) for key in value}
            elif isinstance(value, str) and group.endswith(f".{TARGET}"):
                group = group.removesuffix(f".{TARGET}")
                keep = {TARGET, *OWN_KEYS.get(group, ()), *parameters(import_target(f"{group}.{TARGET}", value))}
            else:
                continue
            for key in [str(key) for key in node if key not in keep and f"{group}.{key!s}" not in named]:
                del node[key]
    return cfg
