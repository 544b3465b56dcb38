"""A trained network in one small file: float16 weights, with all that a checkpoint carries, as safetensors.

The network that comes with the program is such a file.
"""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from genre.errors import UserError
from genre.files import write_bytes
from genre.models.checkpoint import VERSION, Checkpoint, checkpoint_metadata, read_checkpoint
from genre.models.postprocessing import PostProcessing

SUFFIX = ".safetensors"
HALF_FROM = 2  # dimensions; the statistics of normalisations and biases stay in float32
OF_A_MACHINE = ("resume", "init_from")  # keys of a record that name runs of the machine that trained
PATHS = ("path", "root", "catalogue", "weights", "hold_out")  # keys at any depth, of which the file's name stays


def pretrained_classifier() -> Path:
    """The network that comes with the program: GTZAN's ten genres; its card lies beside it."""
    return Path(str(resources.files("genre.pretrained").joinpath("gtzan.safetensors")))


def read_network(run: str | Path | None) -> Checkpoint:
    """The best checkpoint of a run, a network in a file, or without a run the one that comes with the program.

    Raises:
        UserError: if there is none, or it is something else.
    """
    path = pretrained_classifier() if run is None else Path(run).expanduser()
    return read_pretrained(path) if path.suffix == SUFFIX and path.is_file() else read_checkpoint(path)


def write_pretrained(path: Path, saved: Checkpoint) -> None:
    """Write a network with all that its checkpoint says about it, without its metadata and paths of this machine."""
    about = checkpoint_metadata(saved.genres, portable(saved.record), saved.architecture)
    about |= saved.music_postprocessing.metadata()
    about["trained_on"] = list(saved.trained_on)
    halves = {name: value.half() if value.ndim >= HALF_FROM else value for name, value in saved.weights.items()}
    tensors = {name: value.contiguous() for name, value in halves.items()}
    write_bytes(path, save(tensors, {"genre": json.dumps(about, ensure_ascii=True)}))


def read_pretrained(path: Path) -> Checkpoint:
    """Read what ``write_pretrained`` wrote, with float32 weights.

    Raises:
        UserError: if the file is something else, or of another version.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["genre"])
            weights: dict[str, Tensor] = {name: floats(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        version, genres, trained_on = about["version"], tuple(about["genres"]), tuple(about["trained_on"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is not a trained network of this program; give a run of this program") from error
    if version != VERSION:
        raise UserError(f"{path} is of version {version}, this program reads version {VERSION}; train again")
    fitted = PostProcessing.from_metadata(about)
    return Checkpoint(
        path, None, genres, about["config"], weights, fitted, fitted, trained_on=trained_on,
        architecture=about.get("architecture", {}),
    )  # fmt: skip


def floats(value: Tensor) -> Tensor:
    """A tensor in float32 if it is in float16; counters stay whole numbers."""
    return value.float() if value.dtype == torch.float16 else value


def portable(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the music alone without what concerns one machine: of paths only the file's name is kept."""
    kept = {key: value for key, value in record.items() if key not in OF_A_MACHINE}
    data = {key: value for key, value in kept.get("data", {}).items() if key != "cache"}
    model = kept.get("model", {}) | {"metadata": []}
    return {**names_of_files(kept | {"data": data, "model": model}), "folder": "."}


def names_of_files(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same nested values with the file's name alone under each of ``PATHS``."""
    return {key: file_name(key, value) for key, value in values.items()}


def file_name(key: str, value: Any) -> Any:
    """A value, with the file's name alone if it is a path."""
    if isinstance(value, Mapping):
        return names_of_files(value)
    is_path = isinstance(value, str) and (key in PATHS or (key == "name" and Path(value).is_absolute()))
    return Path(value).name if is_path else value
