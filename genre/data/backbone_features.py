"""Cached features of a frozen backbone, so that training only computes the head."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from genre.data.pipeline import CACHE_BATCH, Pipeline
from genre.data.store import Key, Store
from genre.data.store_builder import Item, build_store
from genre.tasks import Task


@runtime_checkable
class Backbone(Protocol):
    """A network whose backbone can be run apart from its head, and whose head takes features instead of pictures.

    Args:
        cached_views: number of random views per training track whose features are cached; 0 computes all live.
    """

    cached_views: int

    @property
    def feature_identity(self) -> Mapping[str, Any] | None:
        """Everything that the features depend on besides the pictures; None if training changes them."""

    def embed(self, picture: Tensor) -> Tensor:
        """Pictures (batch, 1, size, size), or waveforms (batch, 1, samples) -> features (batch, width)."""


class HeadLayers(NamedTuple):
    """Layers of a head, from features (batch, width) to logits (batch, genres); a ReLU follows ``first``.

    Args:
        normalization: of the features, without learnable parameters.
        first: width -> hidden units.
        dropout: probability after the ReLU.
        last: hidden units -> genres.
    """

    normalization: nn.Module
    first: nn.Linear
    dropout: float
    last: nn.Linear


@runtime_checkable
class HeadBackbone(Backbone, Protocol):
    """A frozen backbone many of whose heads a sweep can train in one pass over the cached features.

    Args:
        head_arguments: names of the constructor's arguments that concern the head alone (``model.<name>`` in the
            configuration).
        head: the network's own head.
    """

    head_arguments: ClassVar[frozenset[str]]
    head: nn.Module

    @classmethod
    def caches_features(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether heads with these constructor arguments train in one pass over the same cached features."""

    def make_head(self, **arguments: Any) -> nn.Module:
        """Return the head that this network would have with these ``head_arguments`` under the same seed.

        Arguments that are not given have the values of this network's own head.
        """

    def head_layers(self, head: nn.Module) -> HeadLayers:
        """Return the layers of a head from ``make_head``."""


def frozen_backbones(network: object) -> list[Backbone]:
    """The backbones whose features are cached: the network, or all members of an ensemble; none if one learns."""
    parts = getattr(network, "backbones", [network])
    cached = [part for part in parts if isinstance(part, Backbone) and part.cached_views and part.feature_identity]
    return cached if len(cached) == len(parts) else []


@dataclass(frozen=True)
class JoinedStore(Store):
    """The features of an ensemble's members as one; the fields are those of the first member's store.

    Args:
        stores: of the members.
        targets: number of columns at the end of each store that are targets, and therefore the same in all.
    """

    stores: tuple[Store, ...] = ()
    targets: int = 0

    def take(self, rows: Tensor) -> Tensor:
        """(batch,) -> (batch, crops, all widths), or (batch, views, all widths + genres)."""
        *parts, last = (store.take(rows) for store in self.stores)
        return torch.cat([*(part[..., : part.shape[-1] - self.targets] for part in parts), last], dim=-1)

    def resident(self, device: torch.device) -> Store:
        """Copy what fits on a CUDA device."""
        return joined([store.resident(device) for store in self.stores], self.targets)


def joined(stores: Sequence[Store], targets: int = 0) -> Store:
    """Several stores of the same tracks as one; see ``JoinedStore``."""
    first = stores[0]
    if len(stores) == 1:
        return first
    fields = (first.key, first.names, first.rate, first.offsets, first.data, first.skipped)
    return JoinedStore(*fields, tuple(stores), targets)


class FeatureCache:
    """Builds the stores of a frozen backbone's features.

    Args:
        backbone: is moved to the pipeline's device and set to evaluation mode.
        pipeline: turns stores into pictures.
        precision: of the run, as Lightning names it.
        cache: folder of all stores.
    """

    def __init__(self, backbone: Backbone, pipeline: Pipeline, precision: str, cache: Path) -> None:
        network: Any = backbone  # an nn.Module, which a protocol cannot require
        self.backbone: Any = network.to(pipeline.device, memory_format=torch.channels_last).eval()
        self.pipeline, self.precision, self.cache = pipeline, precision, cache

    def embed(self, pictures: Tensor) -> Tensor:
        """Inputs (batch, crops, 1, ...) -> float32 features (batch, crops, width), in the run's precision."""
        half = torch.float16 if self.precision == "16-mixed" else torch.bfloat16
        with torch.autocast(pictures.device.type, half, enabled=self.precision.endswith("-mixed")):
            features: Tensor = self.backbone.embed(pictures.flatten(0, 1))
        return features.float().unflatten(0, pictures.shape[:2])

    def settings(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a store of features: backbone, precision, pipeline and ``more``."""
        own = {"backbone": self.backbone.feature_identity, "precision": self.precision}
        return {**own, **self.pipeline.settings, **more}

    def evaluation_features(self, pictures: Store) -> Store:
        """The store of features of all evaluation pictures, (crops, width) per track."""
        key = Key("features", self.settings({}), pictures.identity)

        def items(span: slice) -> Iterator[Item]:
            for rows in torch.arange(len(pictures.names))[span].split(CACHE_BATCH):
                yield from self.embed(self.pipeline.pictures(pictures, rows)).cpu().numpy()

        with torch.inference_mode():
            return build_store(self.cache, key, 0.0, pictures.names, items, "features", CACHE_BATCH)

    def view_features(self, source: Store, rows: Tensor, targets: Tensor, task: Task, seed: int, views: int) -> Store:
        """The store of features and targets of random views, (views, width + genres) per training track.

        Args:
            source: the store that training pictures are computed from.
            rows: (tracks,) rows of the training tracks in ``source``; only these are mixed with each other.
            targets: (tracks, genres).
            task: defines the targets of a mixture.
            seed: of the views.
            views: their number per track.
        """
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        rows, targets = rows[order], targets[order]
        names = [source.names[row] for row in rows.tolist()]
        augment = vars(replace(self.pipeline.augment, mixup=0.0))  # which acts on the features
        variation = {"augment": augment, "views": views, "seed": seed, "task": type(task).__name__}
        key = Key("views", self.settings(variation), [source.identity, names, targets.tolist()])

        def items(span: slice) -> Iterator[Item]:
            batches = torch.arange(len(rows))[span].split(CACHE_BATCH)
            for number, batch in enumerate(batches, span.start // CACHE_BATCH):
                draws = np.random.SeedSequence([seed, number]).generate_state(views).tolist()
                drawn = [self.view(source, rows[batch], targets[batch], task, draw) for draw in draws]
                yield from torch.stack(drawn, dim=1).cpu().numpy()

        with torch.inference_mode():
            return build_store(self.cache, key, 0.0, names, items, "views", CACHE_BATCH)

    def view(self, source: Store, rows: Tensor, targets: Tensor, task: Task, draw: int) -> Tensor:
        """Features and targets of one random view per track: (batch,) rows -> (batch, width + genres)."""
        pictures, targets = self.pipeline.examples(source, rows, targets, task, draw)
        return torch.cat([self.embed(pictures)[:, 0], targets], dim=1)
