"""Text for the terminal: names of genres, runs and files appear as they are, numbers with their noun."""

from typing import Any

from rich.console import Console


def plain_console(**arguments: Any) -> Console:
    """Rich's console, for which '[/b]' and ':cat:' in a text are no markup and no emoji."""
    return Console(markup=False, emoji=False, **arguments)


def counted(number: int, noun: str) -> str:
    """Return '1 track' or '2 tracks'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
