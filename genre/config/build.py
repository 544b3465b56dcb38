"""From settings to objects: pipelines, networks, catalogues and data modules."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from genre.config.components import Component, component, construct, parameters, refusal
from genre.config.errors import suggestion
from genre.config.settings import DataSettings, ExploreSettings, TrainerSettings, TrainSettings, train_settings
from genre.config.trust import LIGHTNINGS, check_targets
from genre.data.catalogue import Catalogue
from genre.data.metadata import check_columns
from genre.data.pipeline import Pipeline
from genre.data.splits import Split
from genre.errors import UserError
from genre.models.audio import AudioBackbone
from genre.models.checkpoint import Checkpoint
from genre.models.ensemble import Ensemble
from genre.models.metadata import MetadataBranch
from genre.redaction import is_redacted
from genre.transforms.augment import Augment
from genre.transforms.spectrogram import NetworkInput
from genre.transforms.waveform import WaveformInput

if TYPE_CHECKING:  # predictions need no Lightning, whose import takes seconds
    from lightning import Trainer

    from genre.data.datamodule import MusicData

DEFAULTS = {"log_every_n_steps": 1, "num_sanity_val_steps": 0, "use_distributed_sampler": False}
RESERVED = ("callbacks", "logger", "default_root_dir", "enable_checkpointing", "plugins")


def check_buildable(settings: TrainSettings) -> None:
    """Build everything once that needs no music, so that wrong values and missing weights are found first.

    Raises:
        UserError: naming the key.
    """
    build_pipeline(settings)
    settings.task.build()
    build_network(settings, 2)
    settings.optimizer.component.build([nn.Parameter()])
    if settings.scheduler:
        settings.scheduler.build(Optimizer([nn.Parameter()], {"lr": 1.0, "momentum": 0.0, "betas": (0.9, 0.999)}), 100)


def build_pipeline(settings: TrainSettings | ExploreSettings) -> Pipeline:
    """The view, spectrogram and augmentation of a run; an exploration has no augmentation."""
    record = {name: settings.record[name] for name in ("view", "spectrogram")}
    augment = settings.augment.build() if isinstance(settings, TrainSettings) else Augment()
    return Pipeline(settings.view.build(), settings.spectrogram.build(), augment, record)


def build_network(settings: TrainSettings, genres: int, architecture: Mapping[str, Any] | None = None) -> nn.Module:
    """The network of a run, freshly initialised.

    Args:
        genres: number of logits.
        architecture: of a checkpoint, whose weights will be loaded: what published files are not needed for then.

    Raises:
        UserError: if the class takes no number of genres, or refuses its values.
    """
    spectrogram = settings.spectrogram.build()
    check_network_input(settings.model, spectrogram)
    return build_part(settings.model, genres, spectrogram.size, architecture)


def check_network_input(model: Component[nn.Module], given: NetworkInput) -> None:
    """Refuse a spectrogram for a network that hears waveforms, and waveforms for any other.

    Raises:
        UserError: naming the keys.
    """
    nodes = model.arguments.get("members") or {} if model.target is Ensemble else {}
    parts = [component(f"{model.key}.members.{name}", node, nn.Module) for name, node in nodes.items()] or [model]
    for part in parts:
        hears = issubclass(part.target, AudioBackbone) if isinstance(part.target, type) else False
        if hears and not isinstance(given, WaveformInput):
            raise UserError(f"{part.key}={part.name} hears waveforms; add spectrogram=waveform")
        if not hears and part.accepts("size") and isinstance(given, WaveformInput):
            raise UserError(f"{part.key}={part.name} sees pictures; omit spectrogram=waveform")


def build_part(
    model: Component[nn.Module], genres: int, size: int, architecture: Mapping[str, Any] | None = None
) -> nn.Module:
    """A network, or an ensemble of networks; see ``build_network``."""
    if model.target is Ensemble:
        nodes = model.arguments.get("members") or {}
        parts = {name: component(f"{model.key}.members.{name}", node, nn.Module) for name, node in nodes.items()}
        known = architecture or {}
        members = {name: build_member(part, genres, size, known.get(name)) for name, part in parts.items()}
        return replace(model, arguments={}).build(members=members)
    if not model.accepts("genres"):
        raise UserError(
            f"{model.name} takes no argument genres; a network is built with genres (number of logits) and, if it "
            "takes it, size (of the picture): see docs/extending.md"
        )
    given: dict[str, Any] = {"genres": genres}
    if model.accepts("size"):
        given["size"] = size
    if model.accepts("architecture") and architecture:
        given["architecture"] = architecture
    return model.build(**given)


def build_member(
    part: Component[nn.Module], genres: int, size: int, architecture: Mapping[str, Any] | None
) -> nn.Module:
    """A member of an ensemble; networks name their keys as ``model.…``, which is not where a member's are."""
    try:
        return build_part(part, genres, size, architecture)
    except UserError as error:
        sentence = str(error)
        raise UserError(sentence if part.key in sentence else sentence.replace("model.", f"{part.key}.")) from error


def recorded_settings(saved: Checkpoint, trust: Sequence[str]) -> TrainSettings:
    """The settings that a checkpoint carries, which may be a stranger's; without loggers and callbacks, which only
    training has.

    Args:
        trust: modules whose classes it may name beside this program's.

    Raises:
        UserError: if it names others, before they are imported.
    """
    record = saved.record | {group: {} for group in LIGHTNINGS if group in saved.record}
    check_targets(record, str(saved.folder), trust)
    return train_settings(record)


def trained_network(saved: Checkpoint, settings: TrainSettings) -> nn.Module:
    """The network of a checkpoint with its weights.

    Args:
        settings: its ``recorded_settings``.

    Raises:
        UserError: if they do not fit.
    """
    network = build_network(settings, len(saved.genres), saved.architecture)
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"the weights of {saved.path} do not fit its network; those of another version of this program must be "
            f"trained again ({reason})"
        ) from None
    return network


def read_catalogue(data: DataSettings) -> Catalogue:
    """The catalogue of the group ``data``, with one spelling per label, limited to ``data.limit_tracks`` per genre.

    Raises:
        UserError: if it cannot be read, or its address was recorded without its secrets.
    """
    for name, value in data.reader.arguments.items():
        if is_redacted(value):
            raise UserError(
                f"data.{name} of the run is recorded without its password or token; choose the music again: data=… "
                f"data.{name}=…"
            )
    catalogue = data.reader.build().with_merged_spellings()
    return catalogue.limited(data.limit_tracks) if data.limit_tracks else catalogue


def trained_branch(saved: Checkpoint) -> MetadataBranch | None:
    """The branch of a checkpoint for metadata; None if the run used the music alone.

    Raises:
        UserError: if its weights are not those of one.
    """
    try:
        return MetadataBranch.from_weights(saved.branch) if saved.branch else None
    except (KeyError, RuntimeError):
        raise UserError(f"the weights of {saved.path} for metadata are damaged; train again") from None


def read_training_catalogue(settings: TrainSettings) -> Catalogue:
    """The catalogue of a run.

    Raises:
        UserError: if it cannot be read, has only one genre, or lacks what the split or the model needs.
    """
    catalogue = read_catalogue(settings.data)
    if len(catalogue.genres) < 2:
        raise UserError(f"only one genre ({', '.join(catalogue.genres)}) is there; a classifier needs two or more")
    settings.split.check(catalogue)
    check_columns(settings.metadata.columns, catalogue)
    return catalogue


def build_data(
    settings: TrainSettings,
    catalogue: Catalogue,
    split: Split | Mapping[str, str] | None,
    device: torch.device,
    backbone: nn.Module | None = None,
    genres: Sequence[str] | None = None,
) -> "MusicData":
    """The data module of a catalogue, with the pipeline and task of a run.

    Args:
        split: as MusicData has it; None puts every track into the subset 'test'.
        device: where the pipeline computes.
        backbone: network whose features are cached if it is frozen.
        genres: order of the targets; None sorts those of the catalogue.
    """
    from genre.data.datamodule import MusicData  # imports Lightning

    return MusicData(
        catalogue, split, build_pipeline(settings), settings.task.build(), batch_size=settings.batch_size,
        seed=settings.seed, cache=settings.data.cache, keep=settings.data.keep, device=device, genres=genres,
        backbone=backbone, precision=settings.trainer.precision,
        columns=settings.metadata.columns, column_dropout=settings.metadata.dropout,
    )  # fmt: skip


def accelerator_device(accelerator: str) -> torch.device:
    """The device of an accelerator; Lightning, which takes seconds to import, is asked unless it must be the CPU.

    Raises:
        UserError: if there is no such accelerator.
    """
    if accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available()):
        return torch.device("cpu")
    try:
        return root_device(TrainerSettings(accelerator=accelerator))
    except UserError as error:
        raise UserError(str(error).removeprefix("trainer.")) from None  # the key of commands without a trainer


def root_device(trainer: TrainerSettings) -> torch.device:
    """The device on which Lightning will train in this process: its strategy decides.

    Raises:
        UserError: if Lightning's Trainer refuses its arguments.
    """
    return build_trainer(trainer, logger=False, enable_checkpointing=False).strategy.root_device


def build_trainer(trainer: TrainerSettings, enable_progress_bar: bool = False, **given: Any) -> "Trainer":
    """Build Lightning's Trainer with the arguments of the group ``trainer``.

    Args:
        given: arguments that this program sets, and the group may not name.

    Raises:
        UserError: naming the key that Lightning does not know or refuses.
    """
    from lightning import Trainer
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    quiet_lightning()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # 6 % of heads
    arguments = DEFAULTS | trainer.arguments | {"enable_progress_bar": enable_progress_bar}
    arguments["precision"] = "32-true" if trainer.precision == "auto" else trainer.precision
    known = parameters(Trainer)
    for name in trainer.model_extra or {}:
        if name in given or name in RESERVED:
            raise UserError(f"trainer.{name} is set by this program; leave it out")
        if name not in known:
            raise UserError(f"there is no key trainer.{name}{suggestion(name, known, 'trainer.')}")
    try:
        return construct("trainer", Trainer, arguments, **given)
    except MisconfigurationException as error:
        raise UserError(refusal("trainer", trainer.arguments, error)) from error


def quiet_lightning() -> None:
    """Silence the messages that Lightning logs at every start; its other warnings remain."""
    messages = (
        ".*LeafSpec.*",
        r".*module\(s\) in eval mode.*",  # a frozen backbone is, on purpose
        "The `srun` command is available",  # not needed for one device
        "Checkpoint directory .* exists and is not empty",  # a resumed run's
    )
    for message in messages:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
