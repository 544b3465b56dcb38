"""How Lightning writes the checkpoints of a run."""

import os
import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from genre.models.checkpoint import LAST, PREVIOUS, save_checkpoint


class AtomicIO(TorchCheckpointIO):
    """Lightning's checkpoint files, renamed into place: its own go through the folder of temporary files, and from
    there by copying where that is another disk. last.ckpt leaves the one before it as previous.ckpt."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        if path.name == LAST and path.exists():
            keep_previous(path)
        save_checkpoint(checkpoint, path)


def keep_previous(path: Path) -> None:
    """Give a checkpoint that is about to be replaced a second name; it has the first, too, until that happens."""
    scratch = path.with_name(f".{PREVIOUS}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    try:
        os.link(path, scratch)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, scratch)
    os.replace(scratch, path.with_name(PREVIOUS))
