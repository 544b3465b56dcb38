"""Tracks in, batches of pictures out: stores, splits and index batches under Lightning's hooks."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from genre.catalogue import Catalogue
from genre.pipeline import Pipeline
from genre.splits import SUBSETS, Split
from genre.store import Store, counted, first_store
from genre.tasks import Task

log = logging.getLogger(__name__)


class Index(NamedTuple):
    """Which tracks a batch holds.

    Args:
        rows: (batch,) of the stores.
        draw: seed of the batch's random numbers; None asks for the pictures of evaluation.
    """

    rows: Tensor
    draw: int | None


class Batch(NamedTuple):
    """What a model gets.

    Args:
        pictures: (batch, crops, 1, size, size) in [0, 1]; one crop in training.
        targets: (batch, genres).
        rows: (batch,) of the stores.
    """

    pictures: Tensor
    targets: Tensor
    rows: Tensor


class Batches:
    """The index batches of one subset; a new order each epoch in training, drawn from (seed, epoch, rank) alone."""

    def __init__(self, rows: Tensor, batch_size: int, data: "MusicData | None" = None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.data = data

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Index]:
        if self.data is None:
            yield from (Index(rows, None) for rows in self.rows.split(self.batch_size))
            return
        seeds = np.random.SeedSequence([self.data.seed, *self.data.moment]).generate_state(1 + len(self))
        order = np.random.default_rng(seeds[0]).permutation(len(self.rows))
        for draw, rows in zip(seeds[1:], self.rows[order].split(self.batch_size), strict=True):
            yield Index(rows, int(draw))


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
        keep: whether pictures and log-mels that do not change between epochs are computed once.
        device: where the pipeline computes.
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
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self.catalogue, self.split, self.pipeline, self.task = catalogue, split, pipeline, task
        self.batch_size, self.seed, self.cache, self.keep = batch_size, seed, cache, keep
        self.place = device or torch.device("cpu")
        self.genres = tuple(genres or sorted({g for t in catalogue.tracks for g in task.labels(t.genres)}))
        self.subsets: dict[str, str] = {}

    def prepare_data(self) -> None:
        """Decode, import and compute what is kept, where it is not there yet."""
        self.pipeline.spectrogram.to(self.place)
        self.open_stores()

    def setup(self, stage: str | None = None) -> None:
        """Open the stores and divide the tracks, once."""
        if self.subsets:
            return
        first, self.train_store, self.eval_store = self.open_stores()
        self.catalogue = self.catalogue.without(first.skipped)
        if first.skipped:
            log.warning("%d tracks are left out: %s", len(first.skipped), counted(first.skipped.values()))
        if self.split is None:
            self.subsets = dict.fromkeys((track.name for track in self.catalogue.tracks), "test")
        else:
            self.catalogue, self.subsets = self.split.assign(self.catalogue)
        self.names = first.names
        self.targets = torch.zeros(len(first.names), len(self.genres))
        rows = first.rows(track.name for track in self.catalogue.tracks)
        self.targets[rows] = self.task.targets([track.genres for track in self.catalogue.tracks], self.genres)

    def open_stores(self) -> tuple[Store, Store, Store]:
        """The first store, and those that training and evaluation read from; all have the same rows."""
        self.pipeline.spectrogram.to(self.place)
        first = first_store(self.catalogue, self.pipeline.spectrogram.sample_rate, self.cache)
        if not self.keep:
            ready = first.resident(self.place)
            return first, ready, ready
        pictures = self.pipeline.keep_pictures(first, self.cache)
        if self.pipeline.view.random:
            return first, first.resident(self.place), pictures.resident(self.place)
        if not self.pipeline.augment.acts_on_power:
            ready = pictures.resident(self.place)
            return first, ready, ready
        log_mels = self.pipeline.keep_log_mels(first, self.cache)
        return first, log_mels.resident(self.place), pictures.resident(self.place)

    @property
    def moment(self) -> tuple[int, int]:
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
        return torch.tensor(self.eval_store.rows(self.members(subset)), dtype=torch.long)

    def train_dataloader(self) -> Batches:
        """Random examples of the training tracks."""
        return Batches(self.rows("train"), self.batch_size, self)

    def val_dataloader(self) -> Batches | list[Batches]:
        """The validation tracks; an empty list where there are none."""
        return self.batches("val") if self.members("val") else []

    def on_after_batch_transfer(self, batch: Index, dataloader_idx: int = 0) -> Batch:
        """Gather a batch and turn it into pictures, on the device."""
        return self.fetch(batch)

    @torch.no_grad()
    def fetch(self, index: Index) -> Batch:
        """The pictures and targets of an index batch."""
        rows = index.rows.cpu()
        if index.draw is None:
            return Batch(self.pipeline.pictures(self.eval_store, rows), self.targets[rows].to(self.place), rows)
        targets = self.targets[rows]
        pictures, targets = self.pipeline.examples(self.train_store, rows, targets, self.task, index.draw)
        return Batch(pictures, targets, rows)

    def counts(self) -> dict[str, int]:
        """Tracks a subset."""
        return {subset: len(self.members(subset)) for subset in SUBSETS}
