"""Audio files that the table of a collection lists: one pass over its folders tells which of them are there."""

import os
from pathlib import Path


def files_in_folders(root: Path) -> frozenset[str]:
    """The files of all folders directly below ``root``, as '000/000002.mp3'.

    For 106,574 files in 107 folders it takes a quarter of the time of ``os.path.isfile`` for each.
    """
    with os.scandir(root) as entries:
        folders = [entry for entry in entries if entry.is_dir()]
    return frozenset(f"{folder.name}/{name}" for folder in folders for name in os.listdir(folder.path))
