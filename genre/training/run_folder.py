"""The folder of a training run: a new one, or one that is resumed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from genre.config.records import Record, flatten, read_record, write_record
from genre.config.settings import train_record
from genre.errors import UserError
from genre.files import is_complete
from genre.models.checkpoint import BEST, LAST, PREVIOUS, is_intact, load_content
from genre.paths import AUTO, PATH_KEYS, RECORD
from genre.redaction import redacted
from genre.training.claim import is_first_process, owner

log = logging.getLogger(__name__)

LIMITS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
DISPLAYS = {"debug", "profile", "trainer.enable_progress_bar", "trainer.enable_model_summary"}  # change no result
NOT_COMPARED = {"folder", "resume", *DISPLAYS}
FREE = {*PATH_KEYS, *DISPLAYS}
LAST_FILES = ("metrics.json", "curve.json")  # the last file of a run, and of a learning curve


def continued(record: Record) -> Record:
    """The record of a command; where ``resume=auto`` has found its unfinished run, that of the run.

    Raises:
        UserError: if the folder has a run of another configuration.
    """
    if record.get("resume") != AUTO:
        return record
    folder = Path(str(record["folder"])).expanduser()
    if not (folder / RECORD).exists():
        return {**record, "resume": None}
    before = recorded(folder) or record
    if key := first_difference(before, record):
        raise UserError(f"{folder} holds a run with another {key}; choose another hydra.run.dir")
    return {**before, "resume": str(folder), "folder": str(folder)}


def composed_record() -> Record:
    """The record of the configuration that Hydra has composed and not yet given a folder."""
    hydra: Any = HydraConfig.get()
    cfg = hydra._get_root().copy()
    with open_dict(cfg):
        del cfg["hydra"]
        cfg.folder = ""
    return train_record(cfg)


def unfinished_run(parent: Path, record: Record) -> Path | None:
    """The newest run below a folder that has this configuration and neither results nor a process that trains it."""
    runs = [file.parent for file in sorted(parent.glob(f"*/{RECORD}"), reverse=True)]
    unfinished = (run for run in runs if not any((run / name).exists() for name in LAST_FILES) and not owner(run))
    return next((run for run in unfinished if is_run_of(run, record)), None)


def is_run_of(folder: Path, record: Record) -> bool:
    """Whether a run has this configuration; not if its own cannot be read."""
    try:
        return first_difference(read_record(folder), record) is None
    except UserError:
        return False


def first_difference(before: Record, now: Record) -> str | None:
    """The first key in which a command is not that of a run; None if it is the same command."""
    one, other = dict(flatten(before)), dict(flatten(redacted(now)))
    if other.get("trainer.precision") == "auto":  # a run records what was measured
        other["trainer.precision"] = one.get("trainer.precision")
    keys = sorted((one.keys() | other.keys()) - NOT_COMPARED)
    return next((key for key in keys if one.get(key) != other.get(key)), None)


def recorded(folder: Path) -> Record | None:
    """The configuration of a run: its record, or what a checkpoint carries where that is damaged; None without both."""
    if is_complete(folder / RECORD):
        return read_record(folder)
    paths = (folder / "checkpoints" / name for name in (LAST, PREVIOUS))
    return next((load_content(path)["genre"]["config"] for path in paths if is_intact(path)), None)


def folder_of(record: Record) -> Path:
    """The folder of a new run, or that of ``resume=RUN``."""
    if record.get("resume"):
        return Path(str(record["resume"])).expanduser().absolute()
    return Path(str(record["folder"])).expanduser()


def refuse_folder(folder: Path, record: Record) -> None:
    """Refuse to write over another run.

    Raises:
        UserError: if a new run's folder holds one already, or a resumed run would change in more than limits and paths.
    """
    if record.get("resume"):
        refuse_changes(folder, record, LIMITS)
    elif (folder / "checkpoints").exists() and is_first_process():
        raise UserError(
            f"{folder} holds a run already; continue it with resume={folder}, or choose another hydra.run.dir"
        )


def begin_run(folder: Path, record: Record) -> None:
    """Record a run's configuration in its folder, and remove half-written checkpoints of a killed process."""
    if is_first_process():
        for leftover in (folder / "checkpoints").glob(".*"):
            leftover.unlink()
        if (folder / RECORD).exists() and not is_complete(folder / RECORD):
            log.warning("damaged: %s; it is written again", folder / RECORD)
        write_record(folder, {**record, "resume": None, "folder": str(folder)})


def refuse_changes(folder: Path, record: Record, limits: Sequence[str]) -> None:
    """Refuse to resume a run with another configuration.

    Args:
        limits: of training, which may change.

    Raises:
        UserError: naming the first key that would change.
    """
    before, after = dict(flatten(recorded(folder) or record)), dict(flatten(redacted(record)))
    for key in sorted(before.keys() | after.keys()):
        if key not in FREE and key not in limits and before.get(key) != after.get(key):
            was = f" from {before[key]}" if key in before else ""
            raise UserError(
                f"resume={folder} continues the run unchanged: {key} cannot change{was} to {after.get(key)}; omit it "
                f"(only {', '.join(['paths', *limits])} and debug may change)"
            )
    if after.get("scheduler.interval") == "step" and (longer := [k for k in LIMITS if before.get(k) != after.get(k)]):
        raise UserError(f"{longer[0]} cannot change: the schedule of {folder} is made for the length of that run")


def last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """Return the checkpoint to resume from and its global step; None and 0 to begin anew.

    That is last.ckpt, or the one before it where a file is damaged; what is trained again is logged.

    Raises:
        UserError: if a file is something else.
    """
    paths = {name: folder / "checkpoints" / name for name in (LAST, PREVIOUS, BEST)}
    if not (paths[LAST].exists() or paths[PREVIOUS].exists()):
        return None, 0
    intact = [name for name, path in paths.items() if is_intact(path)]
    contents = {name: load_content(paths[name]) for name in intact if name != BEST}
    usable = [name for name in contents if BEST in intact or can_do_without_best(name, contents)]
    if lost := [name for name in (LAST, BEST) if name not in intact and (name == LAST or usable != list(contents))]:
        after = f"goes on after epoch {contents[usable[0]]['epoch']}" if usable else "begins anew"
        log.warning("damaged in %s: %s; training %s", folder, " and ".join(lost), after)
    return (paths[usable[0]], int(contents[usable[0]]["global_step"])) if usable else (None, 0)


def can_do_without_best(name: str, contents: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a run that has lost best.ckpt can go on from a checkpoint: it had no best epoch yet, or that came next.

    Args:
        contents: of last.ckpt and of the one before it, as far as they are intact.
    """
    scores = {key: best_score(content) for key, content in contents.items()}
    return scores[name] is None or (name == PREVIOUS and LAST in scores and scores[LAST] != scores[PREVIOUS])


def best_score(content: Mapping[str, Any]) -> float | None:
    """The monitored metric of the best epoch so far, as a checkpoint for resuming has it; None if there is none."""
    scores = (state.get("best_model_score") for state in content["callbacks"].values() if state.get("monitor"))
    return next((float(score) for score in scores if score is not None), None)
