"""Packages of optional extras, imported where they are used."""

from importlib import import_module
from typing import Any

from genre.errors import UserError


def import_extra(name: str, extra: str, needed_for: str) -> Any:
    """Import a module of a package that an optional extra brings.

    Args:
        extra: of this program.
        needed_for: what needs the package, in the plural: 'ONNX files'.

    Raises:
        UserError: if it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = name.split(".")[0]
        if error.name != package:
            raise
        raise UserError(f'{package} is not installed, which {needed_for} need: pip install "genre[{extra}]"') from None
