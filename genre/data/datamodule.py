"""Tracks in, batches of pictures out: stores, splits and index batches under Lightning's hooks."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from genre.data import duplicates
from genre.data.backbone_features import Backbone, FeatureCache
from genre.data.catalogue import Catalogue
from genre.data.duplicates import Pair
from genre.data.pipeline import Pipeline
from genre.data.sources import first_store
from genre.data.splits import SUBSETS, Split
from genre.data.store import Store, count_reasons
from genre.errors import UserError
from genre.tasks import Task

log = logging.getLogger(__name__)

COMPARED = 3_000  # tracks, at most, that are compared with each other unasked (a minute or two)


class Index(NamedTuple):
    """Which tracks a batch holds.

    Args:
        rows: (batch,) of the stores.
        draw: seed of the batch's random numbers; None asks for the pictures of evaluation.
        weight: what this process's mean counts in the mean of all processes' means.
    """

    rows: Tensor
    draw: int | None
    weight: float = 1.0


class Batch(NamedTuple):
    """What a model gets.

    Args:
        inputs: pictures (batch, crops, 1, size, size) in [0, 1], or a frozen backbone's features of them (batch,
            crops, width); one crop in training.
        targets: (batch, genres).
        rows: (batch,) of the stores.
        weight: as in its index.
    """

    inputs: Tensor
    targets: Tensor
    rows: Tensor
    weight: float = 1.0


class Batches:
    """The index batches of one subset; a new order each epoch in training, drawn from (seed, epoch) alone.

    Where several processes train together each takes its part of every batch, with random numbers of its own.
    """

    def __init__(self, rows: Tensor, batch_size: int, data: "MusicData | None" = None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.data = data

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.batch_size)
        return max(whole + (rest >= (self.data.processes if self.data else 1)), 1)

    def __iter__(self) -> Iterator[Index]:
        if self.data is None:
            yield from (Index(rows, None) for rows in self.rows.split(self.batch_size))
            return
        (epoch, rank), processes = self.data.epoch_and_rank, self.data.processes
        shared, own = (np.random.SeedSequence([self.data.seed, epoch, whose]) for whose in (0, rank))
        order = np.random.default_rng(shared.generate_state(1)[0]).permutation(len(self.rows))
        ends = [*range(self.batch_size, self.batch_size * len(self), self.batch_size), len(order)]
        for draw, begin, end in zip(own.generate_state(1 + len(self))[1:], [0, *ends], ends, strict=False):
            mine = self.rows[order[begin:end][rank::processes]]
            yield Index(mine, int(draw), len(mine) * processes / (end - begin))


class MusicData(LightningDataModule):
    """A divided catalogue and the stores it is read from.

    Args:
        catalogue: the tracks.
        split: how they are divided; None puts all of them into the subset ``test``.
        pipeline: from stores to pictures.
        task: what their targets are.
        genres: the order of the targets; None takes those of the catalogue.
        batch_size: tracks a batch.
        seed: of order and augmentation.
        cache: where stores are kept.
        keep: whether pictures, log-mels and features that do not change between epochs are computed once.
        device: where the pipeline computes.
        backbone: a network whose features may be kept, if it is frozen.
        precision: of the run, in Lightning's words; features are computed in it.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        split: Split | None,
        pipeline: Pipeline,
        task: Task,
        *,
        batch_size: int,
        seed: int,
        cache: Path,
        genres: Sequence[str] | None = None,
        keep: bool = True,
        device: torch.device | None = None,
        backbone: object = None,
        precision: str = "32-true",
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self.catalogue, self.split, self.pipeline, self.task = catalogue, split, pipeline, task
        self.batch_size, self.seed, self.cache, self.keep = batch_size, seed, cache, keep
        self.place = device or torch.device("cpu")
        self.genres = tuple(genres or sorted({g for t in catalogue.tracks for g in task.labels(t.genres)}))
        self.backbone, self.precision = backbone, precision
        self.subsets: dict[str, str] = {}
        self.pairs: list[Pair] = []

    def prepare_data(self) -> None:
        """Decode, import and compute what is kept, where it is not there yet; divide the tracks."""
        if self.subsets:
            return
        self.pipeline.spectrogram.to(self.place)
        self.first = self.decode()
        self.divide()
        train, evaluation = self.open_stores()
        self.train_store, self.eval_store = train.resident(self.place), evaluation.resident(self.place)
        self.train_places = {name: place for place, name in enumerate(train.names)}

    def setup(self, stage: str | None = None) -> None:
        """The same on every process: whatever is there already is only opened."""
        self.prepare_data()

    def decode(self) -> Store:
        """The first stage of every track."""
        return first_store(self.catalogue, self.pipeline.spectrogram.sample_rate, self.cache)

    def divide(self) -> None:
        """Leave out what could not be used, and assign the rest to subsets."""
        first = self.first
        self.catalogue = self.catalogue.without(first.skipped)
        if first.skipped:
            log.warning("%d tracks are left out: %s", len(first.skipped), count_reasons(first.skipped.values()))
        if self.split is None:
            self.subsets = dict.fromkeys((track.name for track in self.catalogue.tracks), "test")
        else:
            self.pairs = self.same_recordings(self.split.group_duplicates)
            self.catalogue, self.subsets = self.split.assign(self.catalogue, duplicates.duplicate_groups(self.pairs))
        self.names = first.names
        self.targets = torch.zeros(len(first.names), len(self.genres))
        self.places = {name: place for place, name in enumerate(first.names)}
        rows = [self.places[track.name] for track in self.catalogue.tracks]
        self.targets[rows] = self.task.targets([track.genres for track in self.catalogue.tracks], self.genres)

    def same_recordings(self, needed: bool) -> list[Pair]:
        """The pairs of tracks that hold the same recording; in large collections only where the split needs them."""
        if needed or len(self.first.names) <= COMPARED:
            return duplicates.cached_duplicates(self.first, self.cache)
        log.info("%d tracks are too many to compare at every start; explore.py finds duplicates", len(self.first.names))
        return []

    def open_stores(self) -> tuple[Store, Store]:
        """What training and evaluation read from."""
        if not self.keep:
            return self.first, self.first
        line = self.pipeline
        pictures = line.keep_pictures(self.first, self.cache)
        if line.view.random:
            train = self.first
        else:
            train = line.keep_log_mels(self.first, self.cache) if line.augment.acts_on_power else pictures
        if not isinstance(self.backbone, Backbone) or not self.backbone.cached_views or not self.backbone.frozen_as:
            return train, pictures
        keeper = FeatureCache(self.backbone, line, self.precision, self.cache)
        features = keeper.keep(pictures)
        if self.split is None or not (line.view.random or line.augment.acts):
            return features, features
        rows = self.rows("train")
        return keeper.keep_views(train, rows, self.targets[rows], self.task, self.seed), features

    @property
    def processes(self) -> int:
        """How many train together."""
        return self.trainer.world_size if self.trainer else 1

    @property
    def epoch_and_rank(self) -> tuple[int, int]:
        """The epoch and the rank, from which all random numbers derive."""
        return (self.trainer.current_epoch, self.trainer.global_rank) if self.trainer else (0, 0)

    def members(self, subset: str) -> list[str]:
        """The tracks of a subset, in the catalogue's order; of all subsets for 'all'."""
        return [t.name for t in self.catalogue.tracks if subset in ("all", self.subsets[t.name])]

    def batches(self, subset: str) -> Batches:
        """Every track of a subset once, for evaluation."""
        return Batches(self.rows(subset), self.batch_size)

    def rows(self, subset: str) -> Tensor:
        """The rows of a subset's tracks, (tracks,)."""
        return torch.tensor([self.places[name] for name in self.members(subset)], dtype=torch.long)

    def train_dataloader(self) -> Batches:
        """Random examples of the training tracks.

        Raises:
            UserError: if a batch has fewer tracks than there are processes.
        """
        rows = self.rows("train")
        if min(self.batch_size, len(rows)) < self.processes:
            raise UserError(f"batch_size={self.batch_size} is too small for {self.processes} processes; raise it")
        return Batches(rows, self.batch_size, self)

    def val_dataloader(self) -> Batches | list[Batches]:
        """The validation tracks, or this process's part of them; an empty list where there are none."""
        if not self.members("val"):
            return []
        rows = self.rows("val")
        part = rows[self.epoch_and_rank[1] :: self.processes]
        return Batches(part if len(rows) >= self.processes else rows, self.batch_size)

    def on_after_batch_transfer(self, batch: Index, dataloader_idx: int = 0) -> Batch:
        """Gather a batch and turn it into pictures, on the device."""
        return self.fetch(batch)

    @torch.no_grad()
    def fetch(self, index: Index) -> Batch:
        """The inputs and targets of an index batch."""
        rows, targets = index.rows.cpu(), self.targets[index.rows.cpu()]
        return Batch(*self.seen(rows, targets, index.draw), rows, index.weight)

    def seen(self, rows: Tensor, targets: Tensor, draw: int | None) -> tuple[Tensor, Tensor]:
        """What the network gets of some tracks, and their targets: on the device."""
        if draw is None or self.train_store.stage == "features":
            return self.shown(rows), targets.to(self.place)
        if self.train_store.stage == "views":
            return self.kept_view(rows, draw)
        return self.pipeline.examples(self.train_store, rows, targets, self.task, draw)

    def shown(self, rows: Tensor) -> Tensor:
        """What evaluation sees: (batch,) -> (batch, crops, ...)."""
        if self.eval_store.stage == "features":
            return self.eval_store.take(rows).to(self.place)
        return self.pipeline.pictures(self.eval_store, rows)

    def kept_view(self, rows: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        """One of the kept views of each track: (batch,) -> features (batch, 1, width), targets (batch, genres)."""
        places = torch.tensor([self.train_places[self.names[row]] for row in rows.tolist()])
        views = self.train_store.take(places)
        chosen = torch.randint(views.shape[1], (len(rows),), generator=torch.Generator().manual_seed(draw))
        picked = views[torch.arange(len(rows)), chosen.to(views.device)].to(self.place)
        width = picked.shape[1] - len(self.genres)
        return picked[:, None, :width], picked[:, width:]

    def mixtures(self, subset: str) -> Iterator[Batch]:
        """The tracks of a subset mixed with each other in pairs; rows are those of the first of each pair."""
        order = np.random.default_rng(self.seed).permutation(len(rows := self.rows(subset)))
        for draw, batch in enumerate(rows[order].split(self.batch_size)):
            inputs, targets = self.pipeline.mixtures(self.first, batch, self.targets[batch], self.task, draw)
            if len(inputs):
                yield Batch(inputs, targets, batch[: len(inputs)])

    @property
    def cached_views(self) -> int:
        """How many features of each training track are kept; 0 where the network sees pictures."""
        kept = self.train_store.stage in ("features", "views")
        return int(self.train_store.offsets[1]) if kept else 0

    def counts(self) -> dict[str, int]:
        """Tracks a subset."""
        return {subset: len(self.members(subset)) for subset in SUBSETS}
