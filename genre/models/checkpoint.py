"""Checkpoints that carry all they need: weights, genre names, and the configuration they were trained with."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from genre.errors import UserError
from genre.files import write_bytes
from genre.models.postprocessing import PostProcessing
from genre.redaction import redacted

VERSION = 2


@dataclass(frozen=True)
class Checkpoint:
    """What best.ckpt holds.

    Args:
        folder: the run it belongs to.
        genres: the order of the logits.
        record: the run's configuration, resolved, as plain values.
        weights: of the network.
        postprocessing: fitted after training.
    """

    folder: Path
    genres: tuple[str, ...]
    record: dict[str, Any]
    weights: dict[str, Tensor]
    postprocessing: PostProcessing = field(default_factory=PostProcessing)


def checkpoint_metadata(genres: tuple[str, ...], record: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a checkpoint self-contained, in types that ``weights_only=True`` admits; secrets are masked."""
    return {"version": VERSION, "genres": list(genres), "config": dict(redacted(record))}


def read_checkpoint(run: str | Path) -> Checkpoint:
    """The best checkpoint of a run folder.

    Raises:
        UserError: if there is none, or it is something else.
    """
    folder = Path(run).expanduser()
    path = folder if folder.suffix == ".ckpt" else folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise UserError(f"{run} is not a finished run: {path} is missing; give the folder that train.py printed")
    content = load_content(path)
    about = content["genre"]
    weights = {name.removeprefix("network."): value for name, value in content["state_dict"].items()}
    return Checkpoint(
        path.parents[1], tuple(about["genres"]), about["config"], weights, PostProcessing.from_metadata(about)
    )


def load_content(path: Path) -> dict[str, Any]:
    """All that a checkpoint file holds; nothing in it is ever executed.

    Raises:
        UserError: if it is something else, or of another version.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = content["genre"]["version"]
        content["state_dict"].items()
    except Exception as error:  # a foreign file makes the unpickler raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a checkpoint of this program ({reason}); give a run of this program") from None
    if version != VERSION:
        raise UserError(f"{path} is of version {version}, this program reads version {VERSION}; train again")
    return content


def add_metadata(path: Path, more: Mapping[str, Any]) -> None:
    """Add plain values to what a checkpoint carries, atomically."""
    content = load_content(path)
    content["genre"] |= more
    save_checkpoint(content, path)


def save_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint that is whole or not there: on a full disk the one before it stays."""
    memory = io.BytesIO()  # torch.save to a full disk raises an error of its own kind
    torch.save(content, memory)
    write_bytes(path, memory.getbuffer())


class AtomicIO(TorchCheckpointIO):
    """Lightning's checkpoint files, renamed into place: its own go through the folder of temporary files, and from
    there by copying where that is another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save_checkpoint(checkpoint, Path(path))
