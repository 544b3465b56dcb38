"""Printing to the terminal: names of genres, runs and files appear as they are."""

from typing import Any

from rich.console import Console


def plain_console(**arguments: Any) -> Console:
    """Rich's console, for which '[/b]' and ':cat:' in a text are no markup and no emoji."""
    return Console(markup=False, emoji=False, **arguments)
