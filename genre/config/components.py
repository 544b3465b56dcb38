"""A node with ``_target_``: a class that the user chooses, with values for its constructor."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import partial
from importlib import import_module
from inspect import isfunction
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import ValidationError

from genre.config.errors import describe, first_error, show, suggestion
from genre.errors import UserError

Built = TypeVar("Built")
TARGET = "_target_"
PLAIN: dict[Any, Any] = {int: int, float: (int, float), bool: bool, str: str}  # annotation -> what fits it
LONGEST = 300  # characters of a foreign message


@dataclass(frozen=True)
class Component(Generic[Built]):
    """A class or function of the configuration's choosing, with keyword arguments for it.

    Args:
        key: of its group in the configuration, such as 'model'.
        target: what is called.
        arguments: by name, plain JSON types.
    """

    key: str
    target: Callable[..., Built]
    arguments: Mapping[str, Any]

    def build(self, *positional: Any, **given: Any) -> Built:
        """Call the target with its arguments.

        Args:
            positional: arguments before the configured ones.
            given: further arguments, which the configuration does not name.

        Raises:
            UserError: naming the key whose value it refuses.
        """
        return construct(self.key, self.target, self.arguments, *positional, **given)

    @property
    def name(self) -> str:
        """The target's dotted name."""
        return f"{self.target.__module__}.{self.target.__qualname__}"

    def accepts(self, argument: str) -> bool:
        """Return whether the target has a parameter of this name."""
        return argument in parameters(self.target)

    def partial(self) -> Callable[..., Built]:
        """Return the target with its arguments bound."""
        return partial(self.target, **self.arguments)


def component(key: str, node: Any, base: type[Built]) -> Component[Built]:
    """Read a node, and check that its target exists and knows the keys.

    Args:
        key: of the node.
        base: what the target must be a subclass of, or a function annotated to return: a configuration, which may be a
            stranger's, must not call just anything.

    Raises:
        UserError: naming the target or key that is wrong.
    """
    if not isinstance(node, Mapping) or TARGET not in node:
        raise UserError(f"{key}={show(node)} is not a group with {key}.{TARGET}; name the class, or choose an option")
    target = load_target(f"{key}.{TARGET}", str(node[TARGET]), base)
    arguments = {str(name): value for name, value in node.items() if name != TARGET}
    known = parameters(target)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for name in arguments:
        if name not in known and not open_ended:
            named = [known_name for known_name in known if not known_name.startswith("_")]
            raise UserError(f"there is no key {key}.{name}{suggestion(name, named, f'{key}.')}")
    return Component(key, target, arguments)


def load_target(key: str, name: str, base: type[Built]) -> Callable[..., Built]:
    """Import the class or function of a dotted name.

    Raises:
        UserError: if there is none, or it neither is a ``base`` nor returns one.
    """
    target = import_target(key, name)
    if isinstance(target, type) and issubclass(target, base):
        return target
    if isfunction(target) and inspect.unwrap(target).__annotations__.get("return") in (base, base.__name__):
        return target
    raise UserError(f"{key}={name} is not a {base.__name__}; name a class that is one, or a function that returns one")


def import_target(key: str, name: str) -> Any:
    """Import what a dotted name refers to; modules in the working folder are found, too.

    Raises:
        UserError: if it cannot be imported.
    """
    module, _, attribute = name.rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # a foreign module may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{key}={name} cannot be imported ({reason}); write module.Class") from error


def parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class or function by name, without ``self``."""
    return inspect.signature(target).parameters


def annotations(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a class's or function's parameters, with their ranges; ``Any`` where there is none."""
    source: Any = target if is_dataclass(target) else getattr(target, "__init__", None)
    source = source if isinstance(target, type) else target
    try:
        hints = get_type_hints(inspect.unwrap(source), include_extras=True)
    except (NameError, TypeError):  # of a foreign class, which names what it does not import
        hints = {}
    return {name: hints.get(name, Any) for name in parameters(target)}


def construct(
    key: str, target: Callable[..., Built], arguments: Mapping[str, Any], *positional: Any, **given: Any
) -> Built:
    """Call a class or function; an argument that it refuses becomes one sentence that names the key.

    Raises:
        UserError: if it refuses its arguments.
    """
    if sentence := wrong_type(key, target, arguments):
        raise UserError(sentence)
    try:
        return target(*positional, **arguments, **given)
    except ValidationError as error:
        sentence = first_error(error, key, annotations(target), arguments)
        raise UserError(sentence) from error
    except (TypeError, ValueError) as error:
        raise UserError(refusal(key, arguments, error)) from error


def wrong_type(key: str, target: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """A sentence on the first argument whose plain annotation (a foreign class's) it contradicts; empty for none."""
    hints = annotations(target)
    for name, value in arguments.items():
        if hints.get(name) in PLAIN and not isinstance(value, PLAIN[hints[name]]):
            return f"{key}.{name}={show(value)} must be {describe(hints[name])}"
    return ""


def refusal(key: str, arguments: Mapping[str, Any], error: Exception) -> str:
    """A constructor's own message, with the key and value that it is about as far as its words show that."""
    words = " ".join(str(error).split())
    if f"{key}." in words or "spectrogram." in words:  # ours name their keys
        return words[:LONGEST]
    named = [name for name in arguments if name.lower() in words.lower()]
    named = named or [name for name, value in arguments.items() if isinstance(value, str) and value in words]
    named = named[:1] or list(arguments)
    values = ", ".join(f"{key}.{name}={show(arguments[name])}" for name in named)
    return f"{values or key} cannot be used: {words[:LONGEST]}"
