"""Checkpoints that carry all they need: weights, genre names, and the configuration they were trained with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre.errors import Mistake

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """What best.ckpt holds.

    Args:
        folder: the run it belongs to.
        genres: the order of the logits.
        config: the run's configuration, resolved, as plain values.
        weights: of the network.
        thresholds: (genres,) tuned on validation; None for one genre a track.
        commonest: (genres,) the commonest set of genres in training; None for one genre a track.
    """

    folder: Path
    genres: tuple[str, ...]
    config: dict[str, Any]
    weights: dict[str, Tensor]
    thresholds: npt.NDArray[np.float64] | None = None
    commonest: npt.NDArray[np.bool_] | None = None


def card(genres: tuple[str, ...], config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a checkpoint self-contained, in types that ``weights_only=True`` admits."""
    return {"version": VERSION, "genres": list(genres), "config": dict(config)}


def read(run: str | Path) -> Checkpoint:
    """The best checkpoint of a run folder.

    Raises:
        Mistake: if there is none, or it is something else.
    """
    folder = Path(run).expanduser()
    path = folder if folder.suffix == ".ckpt" else folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise Mistake(f"{run} is not a finished run: {path} is missing; give the folder that train.py printed")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        about = content["genre"]
        if about["version"] != VERSION:
            raise Mistake(f"{path} is of version {about['version']}, this program reads version {VERSION}; train again")
        prefix = "network."
        weights = {name.removeprefix(prefix): value for name, value in content["state_dict"].items()}
    except Mistake:
        raise
    except Exception as error:  # a foreign file makes the unpickler raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Mistake(f"{path} is not a checkpoint of this program ({reason})") from None
    found = Checkpoint(path.parents[1], tuple(about["genres"]), about["config"], weights)
    if "thresholds" not in about:
        return found
    return replace(found, thresholds=np.array(about["thresholds"]), commonest=np.array(about["commonest"], bool))


def amend(path: Path, more: Mapping[str, Any]) -> None:
    """Add plain values to what a checkpoint carries, atomically."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    content["genre"] |= more
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(content, scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
