"""Paths on the command line are literal: they are quoted so that Hydra's grammar accepts every character."""

import re
from pathlib import Path

from genre.errors import UserError
from genre.files import is_complete

PATH_KEYS = frozenset(
    "data.root data.path data.catalogue data.archive data.genres_as data.genre_tree data.audio data.name data.cache "
    "split.hold_out run runs resume init_from model.weights model.name input collection undo output features folder "
    "grid.storage".split()
)
INSTALLED, CHECKOUT = Path(__file__).with_name("conf"), Path(__file__).parents[1] / "conf"
CONF = INSTALLED if INSTALLED.is_dir() else CHECKOUT  # the YAML files of Hydra's groups
AUTO = "auto"  # resume=auto: the unfinished run of the same configuration, or a new one
ONNX_SUFFIX = ".onnx"
RECORD = "hparams.yaml"  # the configuration of a run, in its folder; Lightning's name for it
INTERPOLATION = re.compile(r"(\\*)\$\{")


def literal(argument: str) -> str:
    """Return a command line argument; if its value is a path, quoted for Hydra's grammar."""
    key, equals, value = argument.partition("=")
    if value.startswith("{") and (CONF / key).is_dir():  # a group replaced whole, by keys that its options lack
        return f"+{argument}"
    if not equals or key.lstrip("+") not in PATH_KEYS or value in ("", "null", "none"):
        return argument
    return f"{key}={quoted(value)}"


def expanded(path: str) -> Path:
    """A path with ~ expanded.

    Raises:
        UserError: if there is no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"{path} needs a home folder, and there is none; set HOME, or XDG_CACHE_HOME for the cache"
        ) from None


def quoted(value: str) -> str:
    """Return a value quoted so that Hydra's grammar parses it to the same text."""
    escaped = escape(value).replace("\\'", "\\\\'").replace("'", "\\'")
    if escaped.endswith("\\"):
        escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f"'{escaped}'"


def escape(text: str) -> str:
    """Escape what OmegaConf would interpolate; it halves the backslashes before ``${``."""
    return INTERPOLATION.sub(lambda found: f"{found[1] * 2}\\${{", text)


def unescape(text: str) -> str:
    """The text that OmegaConf reads from an escaped one; an interpolation that is not escaped stays as it is."""
    return INTERPOLATION.sub(lambda found: "\\" * (len(found[1]) // 2) + "${", text)


def folder_to_resume(run: str) -> Path:
    """Return the absolute folder of the run that ``resume=RUN`` names.

    Raises:
        UserError: if the folder does not contain a run.
    """
    folder = Path(run).expanduser().absolute()
    if not (folder / RECORD).is_file():
        raise UserError(
            f"resume={run} is not a run: {folder / RECORD} is missing; give the folder that train.py printed"
        )
    if not is_complete(folder / RECORD):
        raise UserError(
            f"{folder / RECORD} is damaged; give the whole command that began the run, with hydra.run.dir={run} and "
            f"resume={AUTO}"
        )
    return folder
