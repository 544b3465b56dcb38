"""What a run's record may name: this program's classes, PyTorch's optimisers, Lightning's callbacks and loggers.

A record may be a stranger's, and importing a module runs it: the names are checked before anything is imported.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from inspect import isfunction
from typing import Annotated, Any

from pydantic import BeforeValidator

from genre.config.components import TARGET
from genre.config.records import Record, flatten
from genre.errors import UserError

KNOWN = ("genre", "torch.optim", "lightning.pytorch.callbacks", "lightning.pytorch.loggers")
LIGHTNINGS = ("callbacks", "logger")  # groups without classes of ours: some write to any file that they are given

Trust = Annotated[
    Sequence[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else [] if value is None else value),
]


def check_targets(record: Record, source: str, trust: Sequence[str]) -> None:
    """Refuse a record that names a class of neither ``KNOWN`` nor a module that the user trusts.

    Args:
        source: where the record is from, for the message.
        trust: modules, each with those below it.

    Raises:
        UserError: naming the key and class, before anything of its module is imported.
    """
    for key, name in targets(record):
        module = name.rpartition(".")[0]
        if package_of(module, trust):
            continue
        known = KNOWN[1:] if key.split(".")[0] in LIGHTNINGS else KNOWN
        if not package_of(module, known):
            raise UserError(
                f"{source} names {key}={name}, which is no known part of a run; if you trust its author, add "
                f"trust={module or name}"
            )
        if not is_defined_in_known(name):
            raise UserError(f"{source} names {key}={name}, which is not a class of {package_of(module, KNOWN)}")


def targets(record: Record) -> Iterator[tuple[str, str]]:
    """The keys of a record that name classes, with these names."""
    return ((key, str(value)) for key, value in flatten(record) if key.rpartition(".")[2] == TARGET)


def target_modules(record: Record) -> list[str]:
    """The modules of the classes that a configuration names."""
    return [name.rpartition(".")[0] for _, name in targets(record)]


def package_of(module: str, packages: Sequence[str]) -> str:
    """The one of some packages that a module is, or lies in; empty for none."""
    return next((package for package in packages if f"{module}.".startswith(f"{package}.")), "")


def is_defined_in_known(name: str) -> bool:
    """Return whether a dotted name is a class or function of the package in ``KNOWN`` that it begins with.

    ``genre.data.audio.os.system`` is not, nor is what a module of ours only imports.
    """
    module, _, attribute = name.rpartition(".")
    try:
        target: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return False
    if not (isinstance(target, type) or isfunction(target)):
        return False
    package = package_of(module, KNOWN)
    exact = package != "genre" or f"{target.__module__}.{target.__qualname__}" == name
    return exact and package_of(target.__module__, KNOWN) == package
