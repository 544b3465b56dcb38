"""Errors about configured values, in one sentence: the key, its value, and what is allowed."""

import re
import types
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, Unit
from pydantic import ValidationError

LISTED_NAMES = 15  # names, at most, in one sentence
NAMES: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", type(None): "null",
}  # fmt: skip


def describe(annotation: Any) -> str:
    """Say which values an annotation allows: ``Annotated[int, Ge(1)]`` -> 'a whole number of at least 1'."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(arguments[0]) + range_of(arguments[1:])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}" if len(arguments) > 1 else str(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(describe, arguments)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a group of keys"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list, each item {describe(arguments[0])}"
    return NAMES.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def range_of(metadata: Iterable[Any]) -> str:
    """The range and unit in an annotation's metadata, in words."""
    known = {type(item): item for item in metadata}
    bounds = [
        f"of at least {known[Ge].ge:g}" if Ge in known else "",
        f"above {known[Gt].gt:g}" if Gt in known else "",
        f"at most {known[Le].le:g}" if Le in known else "",
        f"below {known[Lt].lt:g}" if Lt in known else "",
    ]
    words = " and ".join(bound for bound in bounds if bound)
    unit = f" ({known[Unit].unit})" if Unit in known else ""
    return (f" {words}" if words else "") + unit


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """'; did you mean trainer.max_epochs?', or the known names if none is close and they are few."""
    names = sorted(known)
    last_parts = {re.split(r"[./]", known_name)[-1]: known_name for known_name in names}
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    close += [last_parts[part] for part in get_close_matches(name, last_parts, n=1, cutoff=0.8)]
    if close:
        return f"; did you mean {prefix}{close[0]}?"
    if len(names) > LISTED_NAMES:
        return "; --help lists the known ones"
    return f"; known are {', '.join(prefix + known_name for known_name in names)}" if names else ""


def first_error(error: ValidationError, key: str, annotations: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The first error of a validation as a sentence.

    Args:
        key: of the group that was validated; empty for the whole configuration.
        annotations: argument -> its annotation.
        values: argument -> its value.
    """
    details = error.errors(include_url=False)[0]
    prefix = f"{key}." if key else ""
    if not details["loc"] or details["type"] == "value_error":
        return str(details.get("ctx", {}).get("error", details["msg"]))
    name = str(details["loc"][0])
    if details["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"there is no key {prefix}{name}{suggestion(name, annotations, prefix)}"
    if details["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{prefix}{name} is missing; set {prefix}{name}=…"
    return f"{prefix}{name}={show(values.get(name))} must be {describe(annotations.get(name, Any))}"


def show(value: Any) -> str:
    """A value as it is written on the command line."""
    words = {None: "null", True: "true", False: "false"}
    if isinstance(value, list | tuple):
        return f"[{','.join(map(show, value))}]"
    return words[value] if value is None or isinstance(value, bool) else str(value)
