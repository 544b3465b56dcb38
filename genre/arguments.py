"""Arguments ``key=value`` of the commands without Hydra."""

from collections.abc import Collection, Iterable

from genre.errors import UserError


def named_arguments(arguments: Iterable[str], keys: Collection[str], usage: str) -> dict[str, str]:
    """Split arguments at their first '='; values are taken literally.

    Args:
        keys: that are known.
        usage: ends the message of an error.

    Raises:
        UserError: if a key is unknown or repeated, or has no value.
    """
    values: dict[str, str] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in keys or not value or key in values:
            fault = "is repeated" if key in values else "has no value" if key in keys else "is not known"
            raise UserError(f"the argument '{argument}' {fault}; {usage}")
        values[key] = value
    return values
