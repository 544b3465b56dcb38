"""Who writes into a run folder: it is created by one process, and locked while it is trained."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from genre.errors import UserError
from genre.files import write_text
from genre.paths import AUTO

LOCK, OWNER = ".lock", ".owner"
RANKS = ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "JSM_NAMESPACE_RANK")


def is_first_process() -> bool:
    """Whether this process writes files, of all that train one run together: by what their launcher has set."""
    if rank := os.environ.get("RANK"):
        return int(rank) == 0
    return not any(int(os.environ.get(name) or 0) for name in RANKS)


def new_folder(path: str, resume: str | None = None) -> str:
    """Create the folder of a run, which no other process then has: PATH, or PATH_2, PATH_3, … where that exists.

    ``${new_folder:outputs/train/NAME/TIME}`` in Hydra's configuration; Hydra itself writes into folders that exist.

    Args:
        resume: 'auto' returns the folder of the unfinished run of the same configuration beside it, if there is one.
    """
    folder = Path(path)
    if resume == AUTO:
        from genre.training.run_folder import composed_record, unfinished_run  # imports PyTorch

        if run := unfinished_run(folder.parent, composed_record()):
            return str(run)
    if not is_first_process():
        return path
    for number in count(2):
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            folder = folder.with_name(f"{Path(path).name}_{number}")
        except OSError:
            break  # Hydra meets it again, outside the configuration
    return path


OmegaConf.register_new_resolver("new_folder", new_folder, use_cache=True, replace=True)


def owner(folder: Path) -> str | None:
    """The process that trains a run, as 'process 123 on HOST'; None if there is none."""
    if not (folder / LOCK).exists() or not is_first_process():
        return None
    try:
        with FileLock(folder / LOCK).acquire(timeout=0):
            return None
    except Timeout:
        note = folder / OWNER
        return note.read_text(encoding="utf-8").strip() if note.exists() else "another process"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run folder; the system releases it if the holder dies. Of the processes of one run the first holds it.

    A folder that is new and stays empty is removed.

    Raises:
        UserError: naming the process that holds it.
    """
    if not is_first_process():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=1)  # longer than another process takes to see whether it is free
    except Timeout:
        raise UserError(f"{folder} is being trained by {owner(folder)}; wait until it ends, or stop it") from None
    try:
        write_text(folder / OWNER, f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        if folder.is_dir() and os.listdir(folder) == [LOCK]:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        lock.release()
