"""From configuration to objects: values are checked here or in constructors, before any data is read."""

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import hydra
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from genre import paths, resolvers  # noqa: F401  # resolvers: for compose
from genre.data import catalogue, gtzan, synthetic  # resolvers: for compose
from genre.data.catalogue import Catalogue
from genre.data.datamodule import MusicData
from genre.data.pipeline import Pipeline
from genre.data.splits import Split
from genre.errors import UserError
from genre.models.checkpoint import Checkpoint
from genre.paths import RECORD, folder_to_resume, literal
from genre.tasks import Task
from genre.transforms.augment import Augment
from genre.transforms.spectrogram import DocumentSpectrogram
from genre.transforms.views import View

log = logging.getLogger(__name__)

T = TypeVar("T")
SETTINGS_OF_DATA = ("kind", "cache", "keep")  # the rest of the group data belongs to its reader


def read_synthetic(folder: str, tracks: int, two_genre_tracks: int, seconds: float, seed: int) -> Catalogue:
    """The procedural set, made where it is not there yet."""
    name = f"synthetic-{tracks}-{two_genre_tracks}-{seconds:g}s-{seed}"
    made = synthetic.write_songs(Path(folder).expanduser() / name, tracks, two_genre_tracks, seconds, seed)
    return catalogue.read_csv(made / "catalogue.csv")


READERS: dict[str, Callable[..., Catalogue]] = {
    "gtzan": gtzan.read_gtzan,
    "folder": catalogue.read_folder,
    "csv": catalogue.read_csv,
    "logmel": catalogue.read_logmel,
    "synthetic": read_synthetic,
}


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as a dict of JSON types, which a checkpoint can carry."""
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def build(node: Mapping[str, Any], base: type[T], **arguments: Any) -> T:
    """The object that a node's ``_target_`` names, which must be a ``base``: a checkpoint may not call just anything.

    Raises:
        UserError: if the class is another kind of thing, or does not take these values.
    """
    target = str(node["_target_"])
    try:
        kind = get_class(target)
    except Exception as error:
        raise UserError(f"there is no class {target} ({error}); correct its _target_") from None
    if not issubclass(kind, base):
        raise UserError(f"_target_={target} is not a {base.__name__}; name a class that is one")
    values = {str(key): value for key, value in node.items() if key != "_target_"} | arguments
    try:
        inspect.signature(kind).bind(**values)
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{error}" if isinstance(error, ValueError) else f"{target}: {error}") from None


def check(cfg: Mapping[str, Any]) -> None:
    """What concerns several groups at once, and whether the network and the rest can be built at all.

    Raises:
        UserError: naming the keys that do not go together, or the value that cannot be.
    """
    archive = cfg["spectrogram"]["_target_"].endswith(".ArchiveSpectrogram")
    if cfg["data"]["kind"] == "logmel" and not archive:
        raise UserError("data=logmel holds spectrograms of the archive's kind; leave out spectrogram=document")
    if cfg["split"]["kind"] == "fault_filtered" and cfg["data"]["kind"] in ("folder", "synthetic"):
        raise UserError(f"split=fault_filtered lists GTZAN's tracks; data={cfg['data']['kind']} has others")
    if cfg["batch_size"] < 1:
        raise UserError(f"batch_size={cfg['batch_size']} must be at least 1")
    pipeline_of(cfg), task_of(cfg), split_of(cfg)
    network_of(cfg, 2)  # its weights, too, should be missed before any music is read


def pipeline_of(cfg: Mapping[str, Any]) -> Pipeline:
    """View, spectrogram and augmentation of a run."""
    view = build(cfg["view"], View)  # type: ignore[type-abstract]
    settings = {"view": cfg["view"], "spectrogram": cfg["spectrogram"]}
    return Pipeline(view, build(cfg["spectrogram"], DocumentSpectrogram), build(cfg["augment"], Augment), settings)


def network_of(cfg: Mapping[str, Any], genres: int) -> nn.Module:
    """The network of a run, freshly initialised."""
    return build(cfg["model"], nn.Module, genres=genres, size=cfg["spectrogram"]["size"])


def trained_network(saved: Checkpoint) -> nn.Module:
    """The network of a checkpoint with its weights.

    Raises:
        UserError: if they do not fit.
    """
    network = network_of(saved.config, len(saved.genres))
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"the weights of {saved.folder} do not fit its network: {reason}") from None
    return network


def task_of(cfg: Mapping[str, Any]) -> Task:
    """The task of a run."""
    return build(cfg["task"], Task)  # type: ignore[type-abstract]


def split_of(cfg: Mapping[str, Any]) -> Split:
    """How a run's tracks are divided."""
    return build({"_target_": "genre.data.splits.Split", **cfg["split"]}, Split)


def catalogue_of(data: Mapping[str, Any]) -> Catalogue:
    """The catalogue that the group ``data`` describes.

    Raises:
        UserError: if it is not there, or has nothing to tell apart.
    """
    options = {key: value for key, value in data.items() if key not in SETTINGS_OF_DATA}
    return READERS[data["kind"]](**options)


def data_of(cfg: Mapping[str, Any], device: torch.device, genres: Sequence[str] | None = None) -> MusicData:
    """The data module of a run's own catalogue; ``genres`` fixes the order of the targets."""
    found = catalogue_of(cfg["data"])
    if cfg["trainer"]["limit_tracks"]:
        found = found.limited(cfg["trainer"]["limit_tracks"])
    if len(found.genres) < 2:
        raise UserError(f"only one genre ({', '.join(found.genres)}) is there; a classifier needs two or more")
    return data_on(found, split_of(cfg), cfg, device, genres)


def data_on(
    found: Catalogue, split: Split | None, cfg: Mapping[str, Any], device: torch.device, genres: Sequence[str] | None
) -> MusicData:
    """The data module of any catalogue, with the pipeline and task of a run."""
    return MusicData(
        found, split, pipeline_of(cfg), task_of(cfg), batch_size=cfg["batch_size"], seed=cfg["seed"],
        cache=Path(cfg["data"]["cache"]).expanduser(), keep=cfg["data"]["keep"], device=device, genres=genres,
        precision=cfg["trainer"]["precision"],
    )  # fmt: skip


def device_of(trainer: Mapping[str, Any]) -> torch.device:
    """The device on which Lightning will train with these settings, in this process."""
    accelerator, devices = trainer["accelerator"], trainer.get("devices", 1)
    if accelerator not in ("gpu", "cuda") and not (accelerator == "auto" and torch.cuda.is_available()):
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))  # of several on one machine
    return torch.device("cuda", devices[place] if isinstance(devices, list) else place)


def compose(*overrides: str, config_name: str = "config") -> DictConfig:
    """The configuration that ``train.py`` would run with these overrides, for use from Python; ``folder`` must be one.

    Example:
        >>> genre.train(genre.compose("data=synthetic", "folder=outputs/mine"))
    """
    place = paths.CONF
    for run in (override.removeprefix("resume=") for override in overrides if override.startswith("resume=")):
        place, config_name = folder_to_resume(run), Path(RECORD).stem
    with own_hydra(place):
        cfg = hydra.compose(config_name, [literal(override) for override in overrides], return_hydra_config=True)
    with open_dict(cfg):
        if "name" in cfg:
            cfg.name = cfg.name  # as the chosen options have it, which go with Hydra's part
        del cfg["hydra"]
    return cfg


@contextmanager
def own_hydra(place: Path) -> Iterator[None]:
    """Hydra over a folder of configurations, also inside a command of Hydra's, which would else refuse a second one."""
    shared = GlobalHydra.instance()
    outer, shared.hydra = shared.hydra, None
    try:
        with hydra.initialize_config_dir(str(place), version_base="1.3"):
            yield
    finally:
        shared.hydra = outer


def flatten_keys(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nested mapping with their dotted keys: {'a': {'b': 1}} -> ('a.b', 1)."""
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from flatten_keys(inner, f"{prefix}.{key}" if prefix else str(key))
