"""Hydra's errors about wrong overrides, as one sentence with the nearest known name."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from genre.config.compose import compose
from genre.config.errors import suggestion
from genre.config.records import flatten
from genre.paths import CONF

UNKNOWN_KEY = re.compile(r"Could not (?:override|append to config|delete from config)[.:]? ?'([^']+)'")


def error_message(error: Exception, arguments: Sequence[str], config_name: str) -> str:
    """The message of an error without Hydra's advice on tracebacks, naming what was probably meant.

    Args:
        arguments: of the command line.
        config_name: of the command, such as 'evaluate'.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        while group and not (CONF / group).is_dir():
            group, _, parent = group.rpartition("/")
            option = f"{parent}/{option}"
        group, option = outermost(group, option)
        return f"{group}={option} is not an option{suggestion(option, options(group, arguments), f'{group}=')}"
    if isinstance(error, HydraException) and (match := UNKNOWN_KEY.search(str(error))):
        return f"there is no key {match[1]}{suggestion(match[1], known_keys(arguments, config_name))}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is needed, and has no default; add {error.full_key}=…"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(str(error.__cause__).splitlines()[0])
    return " ".join(lines)


def outermost(group: str, option: str) -> tuple[str, str]:
    """'experiment/document', 'nonsense' -> 'experiment', 'document/nonsense': groups are one word here."""
    first, *rest = group.split("/")
    return first, "/".join([*rest, option])


def options(group: str, arguments: Sequence[str]) -> list[str]:
    """The options of a group, in ``conf/`` and in the folder that ``--config-dir`` names."""
    return sorted(
        path.relative_to(folder / group).with_suffix("").as_posix()
        for folder in (CONF, *config_dirs(arguments))
        for path in (folder / group).rglob("*.yaml")
    )


def config_dirs(arguments: Sequence[str]) -> Iterator[Path]:
    """The folders that ``--config-dir`` names."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument in ("--config-dir", "-cd"):
            yield Path(following)
        elif argument.startswith("--config-dir="):
            yield Path(argument.partition("=")[2])


def known_keys(arguments: Sequence[str], config_name: str) -> list[str]:
    """The dotted keys of a command's configuration, and its groups, under the options that were chosen."""
    groups = [argument for argument in arguments if (CONF / argument.partition("=")[0]).is_dir() and "=" in argument]
    for overrides in (groups, []):
        try:
            cfg = compose(*overrides, "folder=x", config_name=config_name)
        except Exception:  # a second error; the first is the one to explain
            continue
        keys = [key for key, _ in flatten(OmegaConf.to_container(cfg))]
        return sorted({*keys, *(key.rpartition(".")[0] for key in keys if "." in key)})
    return []
