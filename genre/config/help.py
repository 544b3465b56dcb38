"""``--help``: what a command does, its groups, and every key with its comment."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from genre.config.overrides import options
from genre.paths import CONF


def help_text(config_name: str, arguments: Sequence[str]) -> str:
    """The help of a command, for the options that its arguments choose.

    Args:
        config_name: of the command, such as 'evaluate'.
        arguments: of the command line; ``model=vgg16 --help`` shows the keys of VGG16.
    """
    path = CONF / f"{config_name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    template = content["hydra"]["help"]["template"]
    chosen = choices(config_name, arguments)
    groups = "\n".join(f"  {group}: {', '.join(options(group, arguments))}" for group in chosen)
    keys = "\n\n".join(("\n".join(own_keys(path)), *(group_keys(group, chosen[group]) for group in chosen)))
    return template.replace("$APP_CONFIG_GROUPS", groups).replace("$CONFIG", keys)


def choices(config_name: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    """The groups of a command, each with the options that its arguments or the defaults choose."""
    defaults = yaml.safe_load((CONF / f"{config_name}.yaml").read_text(encoding="utf-8")).get("defaults", [])
    chosen: dict[str, list[str]] = {}
    for entry in defaults:
        if isinstance(entry, dict):
            ((group, option),) = entry.items()
            chosen[group.removeprefix("optional ")] = [option] if isinstance(option, str) else list(option or [])
        elif entry != "_self_":
            chosen |= choices(entry, [])
    for argument in arguments:
        group, equals, value = argument.partition("=")
        if equals and group in chosen:
            chosen[group] = [part.strip() for part in value.strip("[]").split(",")]
    return chosen


def own_keys(path: Path) -> Iterator[str]:
    """The lines of a command's file that hold its own keys: without header, defaults and Hydra's part."""
    group = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            group = line.partition(":")[0]
        if group not in ("", "defaults", "hydra") and line.strip():
            yield line


def group_keys(group: str, chosen: Sequence[str]) -> str:
    """The keys of a group's options, indented under its name; the comment above them says what each option is for."""
    lines = []
    for option in chosen:
        path = CONF / group / f"{option}.yaml"
        text = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        lines += [f"{group}:  # {option}", *(f"  {line}" for line in without_defaults(text))]
    return "\n".join(lines) if lines else f"{group}: null"


def without_defaults(lines: Sequence[str]) -> Iterator[str]:
    """The lines of an option without its list of defaults and Hydra's header."""
    inside = False
    for line in lines:
        inside = line.startswith("defaults:") or (inside and line.startswith("  -"))
        if not inside and line.strip() and "@package" not in line:
            yield line
