"""The folder of a training run: a new one, or one that is resumed."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from genre.config.records import Record, flatten, read_record, write_record
from genre.errors import UserError
from genre.models.checkpoint import load_content
from genre.paths import PATH_KEYS, folder_to_resume
from genre.redaction import redacted

LIMITS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
MAY_CHANGE = {*LIMITS, *PATH_KEYS, "debug", "trainer.enable_progress_bar", "trainer.enable_model_summary"}


def choose_folder(record: Record) -> Path:
    """Return the folder of a new run, or that of ``resume=RUN``.

    Raises:
        UserError: if a new run's folder holds one already, or a resumed run would change in more than limits and paths.
    """
    if record.get("resume"):
        folder = folder_to_resume(str(record["resume"]))
        refuse_changes(folder, record)
        return folder
    folder = Path(str(record["folder"])).expanduser()
    if (folder / "checkpoints").exists() and is_global_zero():
        raise UserError(
            f"{folder} holds a run already; continue it with resume={folder}, or choose another hydra.run.dir"
        )
    return folder


def begin_run(folder: Path, record: Record) -> None:
    """Record a run's configuration in its folder, and remove half-written checkpoints of a killed process."""
    if is_global_zero():
        for leftover in (folder / "checkpoints").glob(".*.ckpt.*"):
            leftover.unlink()
        write_record(folder, {**record, "resume": None, "folder": str(folder)})


def is_global_zero() -> bool:
    """Return whether this is the process that writes files, of all that train a run together."""
    return int(getattr(rank_zero_only, "rank", None) or 0) == 0


def refuse_changes(folder: Path, record: Record) -> None:
    """Refuse to resume a run with another configuration.

    Raises:
        UserError: naming the first key that would change.
    """
    before, after = dict(flatten(read_record(folder))), dict(flatten(redacted(record)))
    for key in sorted(before.keys() | after.keys()):
        if key not in MAY_CHANGE and before.get(key) != after.get(key):
            was = f" from {before[key]}" if key in before else ""
            raise UserError(
                f"resume={folder} continues the run unchanged: {key} cannot change{was} to {after.get(key)}; omit it "
                f"(only paths, {', '.join(LIMITS)} and debug may change)"
            )
    if after.get("scheduler.interval") == "step" and (longer := [k for k in LIMITS if before.get(k) != after.get(k)]):
        raise UserError(f"{longer[0]} cannot change: the schedule of {folder} is made for the length of that run")


def last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """Return the checkpoint to resume from and its global step; None and 0 if no epoch has ended.

    Raises:
        UserError: if the file is something else.
    """
    path = folder / "checkpoints" / "last.ckpt"
    return (path, int(load_content(path)["global_step"])) if path.exists() else (None, 0)
