"""The folder of a training run: begun, or gone on with as it was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf

from genre.config import flatten_keys
from genre.errors import UserError
from genre.files import write_text
from genre.models import checkpoint
from genre.paths import PATH_KEYS, RECORD, folder_to_resume

LIMITS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.enable_progress_bar")
MAY_CHANGE = {*LIMITS, *PATH_KEYS, "debug"}


def folder_of(values: Mapping[str, Any]) -> Path:
    """The folder of a new run, or that of ``resume=RUN``.

    Raises:
        UserError: if a new run's folder holds one already, or a resumed run is to change in more than limits and paths.
    """
    if values["resume"]:
        folder = folder_to_resume(values["resume"])
        refuse_changes(folder, values)
        return folder
    folder = Path(values["folder"])
    if (folder / "checkpoints").exists() and is_global_zero():
        raise UserError(f"{folder} holds a run already; go on with resume={folder}, or choose another hydra.run.dir")
    return folder


def begin_run(folder: Path, values: Mapping[str, Any]) -> None:
    """Record a run's configuration in its folder, and tidy up what a kill left there."""
    if is_global_zero():
        for leftover in (folder / "checkpoints").glob(".*.ckpt.*"):  # half-written
            leftover.unlink()
        write_text(folder / RECORD, record({**values, "resume": None, "folder": str(folder)}))


def is_global_zero() -> bool:
    """Whether this is the process that writes files, of all that train a run together."""
    return int(getattr(rank_zero_only, "rank", None) or 0) == 0


def record(values: Mapping[str, Any]) -> str:
    """A configuration as YAML from which Hydra composes the very same."""
    return yaml.safe_dump(escaped(values), sort_keys=False, allow_unicode=True)


def escaped(value: Any) -> Any:
    """A value whose texts OmegaConf takes as they are."""
    if isinstance(value, Mapping):
        return {key: escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escaped(inner) for inner in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def refuse_changes(folder: Path, values: Mapping[str, Any]) -> None:
    """A resumed run goes on as it was.

    Raises:
        UserError: naming the first key that would change.
    """
    before = dict(flatten_keys(OmegaConf.to_container(OmegaConf.load(folder / RECORD), resolve=True)))
    after = dict(flatten_keys(values))
    for key in sorted(before.keys() | after.keys()):
        if key not in MAY_CHANGE and before.get(key) != after.get(key):
            was = f" from {before[key]}" if key in before else ""
            raise UserError(
                f"resume={folder} goes on as it was: {key} cannot change{was} to {after.get(key)}; leave it out "
                f"(only paths, {', '.join(LIMITS)} and debug may change)"
            )


def last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """What a run can be resumed from, and the steps it had taken; None and 0 where no epoch had ended.

    Raises:
        UserError: if the file is something else.
    """
    path = folder / "checkpoints" / "last.ckpt"
    return (path, int(checkpoint.load_content(path)["global_step"])) if path.exists() else (None, 0)
