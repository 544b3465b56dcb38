"""Checkpoints that carry all they need: weights, genre names, and the configuration they were trained with."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genre.errors import UserError
from genre.files import write_bytes
from genre.models.postprocessing import PostProcessing
from genre.paths import RECORD
from genre.redaction import redacted

VERSION = 2
BEST = "best.ckpt"
MUSIC_ALONE = "music_alone"  # post-processing for tracks without metadata, in what a checkpoint carries
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # the newest one for resuming, and the one before it


@dataclass(frozen=True)
class Checkpoint:
    """What best.ckpt holds.

    Args:
        path: of the file.
        folder: of the run that it lies in; None for a file by itself.
        genres: the order of the logits.
        record: the run's configuration, resolved, as plain values.
        weights: of the network.
        postprocessing: fitted after training.
        music_postprocessing: fitted to the music alone, for tracks without metadata.
        branch: weights of the branch for metadata; empty without one.
        trained_on: names of the training tracks, if no run folder lists them.
        architecture: what a published network is built from without its files, as plain values; empty for others.
    """

    path: Path
    folder: Path | None
    genres: tuple[str, ...]
    record: dict[str, Any]
    weights: dict[str, Tensor]
    postprocessing: PostProcessing = field(default_factory=PostProcessing)
    music_postprocessing: PostProcessing = field(default_factory=PostProcessing)
    branch: dict[str, Tensor] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    architecture: dict[str, Any] = field(default_factory=dict)


def checkpoint_metadata(
    genres: tuple[str, ...], record: Mapping[str, Any], architecture: Mapping[str, Any]
) -> dict[str, Any]:
    """What makes a checkpoint self-contained, in types that ``weights_only=True`` admits; secrets are masked."""
    about = {"version": VERSION, "genres": list(genres), "config": dict(redacted(record))}
    return about | ({"architecture": dict(architecture)} if architecture else {})


def read_checkpoint(run: str | Path) -> Checkpoint:
    """The best checkpoint of a run folder, or the checkpoint in a file.

    Raises:
        UserError: if there is none, or it is something else.
    """
    given = Path(run).expanduser()
    path = given if given.is_file() or given.suffix == ".ckpt" else given / "checkpoints" / BEST
    if not path.is_file():
        raise UserError(f"{run} is not a finished run: {path} is missing; give the folder that train.py printed")
    content = load_content(path)
    about = content["genre"]
    network, branch = (part_of(content["state_dict"], part) for part in ("network.", "branch."))
    fitted, to_music = (PostProcessing.from_metadata(values) for values in (about, about.get(MUSIC_ALONE, about)))
    return Checkpoint(
        path, run_folder(path), tuple(about["genres"]), about["config"], network, fitted, to_music, branch,
        architecture=about.get("architecture", {}),
    )  # fmt: skip


def part_of(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names have a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def run_folder(path: Path) -> Path | None:
    """The run folder that a checkpoint lies in; None for a file by itself."""
    checkpoints = path.absolute().parent
    folder = checkpoints.parent
    return folder if checkpoints.name == "checkpoints" and (folder / RECORD).is_file() else None


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


def is_intact(path: Path) -> bool:
    """Whether a checkpoint is there and complete: not cut short, emptied or overwritten in part."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError):
        return False


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
