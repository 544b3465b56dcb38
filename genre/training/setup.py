"""Steps that a run, its preparation and a trial of a sweep share: precision, data, initial weights, classifier."""

import inspect
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from lightning import seed_everything
from torch import nn

from genre.config.build import build_data, build_network
from genre.config.components import TARGET
from genre.config.errors import suggestion
from genre.config.records import flatten
from genre.config.settings import TrainSettings
from genre.data.catalogue import Catalogue
from genre.data.datamodule import MusicData
from genre.errors import UserError
from genre.models import checkpoint
from genre.models.classifier import Classifier
from genre.models.metadata import MetadataBranch
from genre.training.precision import faster_precision

log = logging.getLogger(__name__)

MEASURED_GENRES = 10  # of the network whose speed is measured


def resolve_precision(settings: TrainSettings, device: torch.device) -> str:
    """The precision of a run as Lightning names it; 'auto' measures, once per machine and kind of network.

    Raises:
        UserError: if several processes would each measure.
    """
    precision = settings.trainer.precision
    if precision == "auto" and settings.trainer.strategy != "auto":
        raise UserError("trainer.precision=auto measures on one device; name a precision for a run on several")
    if precision != "auto":
        return precision
    kind = settings.model.name
    if name := settings.model.arguments.get("name"):
        kind = f"{kind} {name}"
    inputs = partial(settings.spectrogram.build().random_inputs, seconds=settings.view.build().seconds)
    build = partial(build_network, settings, MEASURED_GENRES)
    return faster_precision(kind, build, inputs, device, settings.data.cache)


def open_data(
    settings: TrainSettings, catalogue: Catalogue, device: torch.device, initial: bool = True
) -> tuple[MusicData, nn.Module]:
    """The data module of a run with its stores open, built where they do not exist yet, and its network.

    Args:
        initial: whether the network begins with the weights of ``init_from``.

    Raises:
        UserError: if the data cannot be used, or the run of ``init_from`` has other genres or another network.
    """
    data = build_data(settings, catalogue, settings.split, device)
    data.assign_subsets()
    seed_everything(settings.seed, verbose=False)
    network = build_network(settings, len(data.genres))
    if settings.init_from and initial:
        load_initial_weights(str(settings.init_from), network, data.genres)
    data.backbone = network
    data.setup()
    return data, network


def load_initial_weights(run: str, network: nn.Module, genres: tuple[str, ...]) -> None:
    """Load the weights of a trained run into a network; the tasks of the two may differ.

    Raises:
        UserError: if the run has other genres or another network.
    """
    saved = checkpoint.read_checkpoint(run)
    if saved.genres != genres:
        raise UserError(other_genres(run, saved.genres, genres))
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError:
        kind = str(dict(flatten(saved.record)).get(f"model.{TARGET}")).rpartition(".")[2]
        raise UserError(
            f"init_from={run} is another network ({kind}); use the same model and the same values"
        ) from None


def check_initial_genres(run: str, genres: tuple[str, ...]) -> None:
    """Check before music is decoded that a run to start from knows no other genres than the catalogue lists.

    Raises:
        UserError: if it does.
    """
    saved = checkpoint.read_checkpoint(run)
    if not set(saved.genres) <= set(genres):
        raise UserError(other_genres(run, saved.genres, genres))


def other_genres(run: str, saved: Sequence[str], genres: Sequence[str]) -> str:
    """The error message for a run to start from whose genres are not those of the data."""
    return f"init_from={run} has the genres {', '.join(saved)}; the data has {', '.join(genres)}"


def build_classifier(settings: TrainSettings, network: nn.Module, data: MusicData) -> Classifier:
    """The LightningModule of a run: its network under its task, with optimiser and schedule.

    Raises:
        UserError: if ``stopping.monitor`` is not logged.
    """
    task = data.task
    optimizer = settings.optimizer.component.partial()
    if settings.trainer.precision != "16-mixed":  # whose gradients Lightning then could not clip
        optimizer = fused_optimizer(optimizer)
    classifier = Classifier(
        network, task, optimizer, settings.scheduler, effective_monitor(settings.stopping.monitor, data),
        settings.seed,
        checkpoint.checkpoint_metadata(data.genres, settings.record, getattr(network, "architecture", {})),
        task.class_weights_of(data.targets[data.rows("train")]) if task.class_weights else None, new_branch(data),
    )  # fmt: skip
    if classifier.monitor not in classifier.logged:
        raise UserError(
            f"stopping.monitor={settings.stopping.monitor} is not logged"
            f"{suggestion(settings.stopping.monitor, classifier.logged)}"
        )
    return classifier


def fused_optimizer(optimizer: Any) -> Any:
    """Select the implementation of a partial optimiser that updates weights in one pass, if it has one."""
    others = ("foreach", "differentiable")
    if "fused" in inspect.signature(optimizer.func).parameters and not any(map(optimizer.keywords.get, others)):
        optimizer.keywords.setdefault("fused", True)
    return optimizer


def new_branch(data: MusicData) -> MetadataBranch | None:
    """The untrained branch for the metadata of a data module; None if it uses none."""
    if data.metadata is None:
        return None
    rows = data.rows("train")
    known = data.metadata.frequent_tokens(rows)
    log.info("metadata: %d words, numbers or names of %s are known", len(known), ", ".join(data.metadata.columns))
    return MetadataBranch(known, len(data.genres), len(rows))


def effective_monitor(monitor: str, data: MusicData) -> str:
    """The monitored metric; that of training if there are no validation tracks."""
    return monitor if data.track_names("val") else monitor.replace("val/", "train/")
