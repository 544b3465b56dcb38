"""The LightningDataModule: opens stores, assigns subsets, and turns index batches into pictures on the device."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from genre.data import duplicates
from genre.data.backbone_features import FeatureCache, frozen_backbones, joined
from genre.data.catalogue import Catalogue, count_skipped, without_collections
from genre.data.duplicates import Pair
from genre.data.metadata import Bags, MetadataTable
from genre.data.pipeline import Pipeline
from genre.data.read_ahead import read_ahead
from genre.data.sources import first_store
from genre.data.splits import SUBSETS, Split, recorded_subsets
from genre.data.store import Store
from genre.data.targets import genre_counts, genres_of, trained_genres, warn_of_missing_genres, with_genres_only
from genre.errors import SkipReason, UserError
from genre.tasks import Task

log = logging.getLogger(__name__)

MAX_COMPARED_TRACKS = 3_000  # of which all pairs are correlated without being asked for (a minute or two)
READ_AHEAD = ("waveform", "logmel", "picture")  # stages of which a batch may be large


class Index(NamedTuple):
    """The tracks of a batch, by row.

    Args:
        rows: (batch,) rows of the first store.
        draw: seed of the batch's random numbers; None for evaluation inputs.
        weight: of this process's mean loss in the mean over all processes.
        clips: what the training store holds of the tracks, where it has been read ahead.
    """

    rows: Tensor
    draw: int | None
    weight: float = 1.0
    clips: Tensor | None = None


class Batch(NamedTuple):
    """Inputs and targets of a batch.

    Args:
        inputs: pictures (batch, crops, 1, size, size) in [0, 1], or the features of a frozen backbone (batch, crops,
            width); one crop in training.
        targets: (batch, genres).
        rows: (batch,) rows of the first store.
        weight: as in Index.
        metadata: of the tracks, if columns of the catalogue are used; None for the music alone.
    """

    inputs: Tensor
    targets: Tensor
    rows: Tensor
    weight: float = 1.0
    metadata: Bags | None = None


class EvaluationBatches:
    """Index batches of some rows in their order, each row once.

    Args:
        rows: (tracks,) of the first store.
        batch_size: tracks per batch.
    """

    def __init__(self, rows: Tensor, batch_size: int) -> None:
        self.rows, self.batch_size = rows, batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Index]:
        yield from (Index(rows, None) for rows in self.rows.split(self.batch_size))


class TrainingBatches:
    """Index batches of some rows, in a new random order per epoch that derives from (seed, epoch) alone.

    In distributed training each process takes its part of every batch and draws its own random numbers.

    Args:
        rows: (tracks,) of the first store.
        batch_size: tracks per batch, of all processes together.
        seed: of order and random numbers.
        rank: of this process.
        world_size: number of processes.
        read: adds what a batch needs from a store, in a thread ahead of its use; None leaves all to its use.
    """

    def __init__(
        self,
        rows: Tensor,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        read: Callable[[Index], Index] | None = None,
    ) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.rank, self.world_size, self.epoch = rank, world_size, 0
        self.read = read

    @property
    def sampler(self) -> "TrainingBatches":
        """What Lightning calls ``set_epoch`` of before each epoch, as of any data loader's sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration has."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.batch_size)
        return max(whole + (rest >= self.world_size), 1)

    def __iter__(self) -> Iterator[Index]:
        return read_ahead(self.indices(), self.read) if self.read else self.indices()

    def indices(self) -> Iterator[Index]:
        """The index batches of the epoch, of which nothing has been read."""
        shared, own = (np.random.SeedSequence([self.seed, self.epoch, process]) for process in (0, self.rank))
        order = np.random.default_rng(shared.generate_state(1)[0]).permutation(len(self.rows))
        ends = [*range(self.batch_size, self.batch_size * len(self), self.batch_size), len(order)]
        for draw, begin, end in zip(own.generate_state(1 + len(self))[1:], [0, *ends], ends, strict=False):
            rows = self.rows[order[begin:end][self.rank :: self.world_size]]
            yield Index(rows, int(draw), len(rows) * self.world_size / (end - begin))


class MusicData(LightningDataModule):
    """A catalogue, its subsets, and the stores that its inputs are read from.

    Args:
        catalogue: the tracks.
        split: assigns the subsets. For evaluation: track -> subset, which skips further tracks; or None, which puts
            every track into ``test``.
        pipeline: from stores to pictures.
        task: defines the targets.
        genres: order of the targets, of a trained network; None takes those of the training tracks, sorted.
        batch_size: tracks per batch, of all processes together.
        seed: of order and augmentation.
        cache: folder of the stores.
        keep: True to cache the pictures, log-mels and features that do not change between epochs.
        device: where the pipeline computes; None is the device of Lightning's strategy, or the CPU without a trainer.
        backbone: network whose features are cached if it is frozen.
        precision: of the run, as Lightning names it; features are computed in it.
        columns: of the catalogue that are used beside the music.
        column_dropout: probability that a track's value in one of them is left out in training.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        split: Split | Mapping[str, str] | None,
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
        columns: Sequence[str] = (),
        column_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.catalogue, self.split, self.pipeline, self.task = catalogue, split, pipeline, task
        self.batch_size, self.seed, self.cache, self.keep = batch_size, seed, cache, keep
        self.configured_device = device
        self.genres, self.genres_given = tuple(genres or genres_of(catalogue, task)), genres is not None
        self.backbone, self.precision = backbone, precision
        self.columns, self.column_dropout = columns, column_dropout
        self.subsets: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.pairs: list[Pair] = []
        self.opened = False

    def prepare_data(self) -> None:
        """Build the stores that do not exist yet; Lightning calls this on one process of each machine."""
        copy(self).setup()

    def setup(self, stage: str | None = None) -> None:
        """Assign the subsets, and open the stores, built where they do not exist yet; a second call does nothing."""
        if self.opened:
            return
        self.assign_subsets()
        self.pipeline.spectrogram.to(self.device)
        train, evaluation = self.open_stores()
        self.train_store, self.eval_store = train.resident(self.device), evaluation.resident(self.device)
        self.train_row_of = {name: row for row, name in enumerate(train.names)}
        self.opened = True

    def reconfigured(self, batch_size: int, seed: int) -> "MusicData":
        """The same opened stores under another batch size and seed, for another trainer."""
        other = copy(self)
        other.batch_size, other.seed, other.trainer = batch_size, seed, None
        return other

    def decode(self) -> Store:
        """The store of the first stage."""
        return first_store(self.catalogue, self.pipeline.spectrogram.sample_rate, self.cache)

    def assign_subsets(self) -> None:
        """Decode the music, assign the usable tracks to subsets, and settle the genres; a second call does nothing.

        Raises:
            UserError: if the split cannot be had of these tracks, or a genre has no training tracks.
        """
        if self.subsets:
            return
        with without_collections():
            self.assign_all()

    def assign_all(self) -> None:
        """What ``assign_subsets`` does the first time."""
        self.first = self.decode()
        self.catalogue = self.catalogue.without(self.first.skipped)
        if self.split is None:
            self.subsets = dict.fromkeys((track.name for track in self.catalogue.tracks), "test")
        elif isinstance(self.split, Split):
            self.subsets = self.split_tracks(self.split)
        else:
            self.catalogue, self.subsets = recorded_subsets(self.catalogue, self.split)
        if self.catalogue.skipped:
            count = len(self.catalogue.skipped)
            log.warning("skipped %d files, rows or tracks: %s", count, count_skipped(self.catalogue.skipped))
        self.set_targets()
        self.drawn_rows = self.rows("all")
        if isinstance(self.split, Split):
            self.leave_out(self.split)

    def leave_out(self, split: Split) -> None:
        """Move the training tracks that ``split.train_share`` leaves out to the skipped ones."""
        left_out = split.left_out(self.catalogue, self.subsets, self.groups)
        if left_out:
            self.exclude(left_out)
            log.info("%d training tracks are left out by split.train_share=%g", len(left_out), split.train_share)

    def split_tracks(self, split: Split) -> dict[str, str]:
        """Assign the tracks to subsets, and drop those of genres that are not learnt: track -> subset."""
        self.pairs = self.duplicate_pairs(split.groups_recordings)
        recordings = duplicates.duplicate_groups(self.pairs)
        assigned, subsets = split.assign(self.catalogue, recordings)
        self.groups = split.group_tracks(assigned, recordings)
        if not self.genres_given:
            self.genres = trained_genres(genre_counts(assigned, subsets, self.task), self.genres, split)
        self.catalogue = with_genres_only(assigned, self.genres, self.task)
        subsets = {track.name: subsets[track.name] for track in self.catalogue.tracks}
        warn_of_missing_genres(genre_counts(self.catalogue, subsets, self.task), self.genres)
        return subsets

    def set_targets(self) -> None:
        """Set the targets, and the metadata if it is used, of all tracks of the first store, by row."""
        self.names = self.first.names
        self.metadata = MetadataTable(self.catalogue, self.columns, self.names) if self.columns else None
        self.targets = torch.zeros(len(self.names), len(self.genres))
        self.row_of = {name: row for row, name in enumerate(self.names)}
        rows = [self.row_of[track.name] for track in self.catalogue.tracks]
        self.targets[rows] = self.task.targets([track.genres for track in self.catalogue.tracks], self.genres)

    def exclude(self, reasons: Mapping[str, SkipReason]) -> None:
        """Move tracks to the skipped ones: track -> why."""
        self.catalogue = self.catalogue.without(reasons)
        self.subsets = {name: subset for name, subset in self.subsets.items() if name not in reasons}

    def duplicate_pairs(self, required: bool) -> list[Pair]:
        """Pairs of tracks with the same recording; of many tracks without an index only if the split needs them."""
        if required or len(self.first.names) <= MAX_COMPARED_TRACKS or duplicates.has_index():
            return duplicates.cached_duplicates(self.first, self.cache)
        count = len(self.first.names)
        log.info('%d tracks are not searched for duplicates; for that, pip install "genre[large]"', count)
        return []

    def open_stores(self) -> tuple[Store, Store]:
        """The stores that training and evaluation read."""
        if not self.keep:
            return self.first, self.first
        pipeline = self.pipeline
        pictures = pipeline.picture_store(self.first, self.cache)
        if pipeline.view.random:
            train = self.first
        else:
            train = pipeline.log_mel_store(self.first, self.cache) if pipeline.augment.acts_on_power else pictures
        backbones = frozen_backbones(self.backbone)
        if not backbones:
            return train, pictures
        caches = [FeatureCache(part, pipeline, self.precision, self.cache) for part in backbones]
        features = joined([cache.evaluation_features(pictures) for cache in caches])
        if not isinstance(self.split, Split) or not (pipeline.view.random or pipeline.augment.acts):
            return features, features
        folds_share_them = self.split.folds is not None and not pipeline.augment.mix
        rows = self.drawn_rows if folds_share_them else self.rows("train")
        views = min(part.cached_views for part in backbones)
        drawn = [c.view_features(train, rows, self.targets[rows], self.task, self.seed, views) for c in caches]
        return joined(drawn, len(self.genres)), features

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        if self.configured_device is not None:
            return self.configured_device
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @property
    def rank_and_world_size(self) -> tuple[int, int]:
        """This process's rank, and the number of processes that train together."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def track_names(self, subset: str) -> list[str]:
        """Names of a subset's tracks, in the catalogue's order; of every subset for 'all'."""
        return [t.name for t in self.catalogue.tracks if subset in ("all", self.subsets[t.name])]

    def batches(self, subset: str) -> EvaluationBatches:
        """Evaluation batches: every track of a subset once."""
        return EvaluationBatches(self.rows(subset), self.batch_size)

    def rows(self, subset: str) -> Tensor:
        """Rows of a subset's tracks in the first store, (tracks,)."""
        return torch.tensor([self.row_of[name] for name in self.track_names(subset)], dtype=torch.long)

    def train_dataloader(self) -> TrainingBatches:
        """Training batches of this process, in random order.

        Raises:
            UserError: if a batch has fewer tracks than there are processes.
        """
        rows, (rank, world_size) = self.rows("train"), self.rank_and_world_size
        if min(self.batch_size, len(rows)) < world_size:
            raise UserError(f"batch_size={self.batch_size} is too small for {world_size} processes; raise it")
        reads = self.train_store.is_on_cpu and self.train_store.stage in READ_AHEAD
        return TrainingBatches(rows, self.batch_size, self.seed, rank, world_size, self.read if reads else None)

    def val_dataloader(self) -> EvaluationBatches | list[EvaluationBatches]:
        """Validation batches of this process; an empty list without validation tracks."""
        if not self.track_names("val"):
            return []
        rows, (rank, world_size) = self.rows("val"), self.rank_and_world_size
        part = rows[rank::world_size]
        return EvaluationBatches(part if len(rows) >= world_size else rows, self.batch_size)

    def read(self, index: Index) -> Index:
        """Read what an index batch's training inputs are computed from, into memory that a GPU copies by itself."""
        assert index.draw is not None
        clips = self.pipeline.read(self.train_store, index.rows, index.draw)
        return index._replace(clips=clips.pin_memory() if self.device.type == "cuda" else clips)

    def transfer_batch_to_device(self, batch: Index, device: torch.device, dataloader_idx: int) -> Index:
        """Copy what was read ahead while the device works; row numbers stay where the stores' indices are."""
        return batch if batch.clips is None else batch._replace(clips=batch.clips.to(device, non_blocking=True))

    def on_after_batch_transfer(self, batch: Index, dataloader_idx: int = 0) -> Batch:
        """Turn an index batch into inputs and targets, on the device."""
        return self.fetch(batch)

    @torch.no_grad()
    def fetch(self, index: Index) -> Batch:
        """Return the batch of an index batch."""
        rows, own = index.rows, self.targets[index.rows]
        inputs, targets = self.inputs_and_targets(index, own)
        metadata = self.bags(rows, (targets.cpu() != own).any(1), index.draw) if self.metadata else None
        if index.draw is not None:
            smooth = self.task.smooth_targets(targets)
            inputs, targets = self.pipeline.augment.interpolate(inputs, smooth, index.draw)
        return Batch(inputs, targets, rows, index.weight, metadata)

    def bags(self, rows: Tensor, is_mixture: Tensor, draw: int | None) -> Bags:
        """Metadata of a batch, (batch,) rows, on the device.

        A mixture of two tracks' sounds has none: nobody has written down its title. Mixup, which is no sound but an
        interpolation of what a network reads, interpolates the bags as it does inputs and targets.
        """
        assert self.metadata is not None
        if draw is None:
            return self.metadata.bags(rows).to(self.device)
        bags = self.metadata.training_bags(rows, self.column_dropout, draw).without(is_mixture)
        augment = self.pipeline.augment
        if augment.mixup:
            partner, share = augment.mixup_pairs(len(rows), draw)
            bags = bags.mixed(partner, share.float())
        return bags.to(self.device)

    def inputs_and_targets(self, index: Index, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The network's inputs (batch, crops, ...) and targets (batch, genres), on the device."""
        if index.draw is None or self.train_store.stage == "features":
            return self.evaluation_inputs(index.rows), targets.to(self.device, non_blocking=True)
        if self.train_store.stage == "views":
            return self.cached_view(index.rows, index.draw)
        return self.pipeline.examples(self.train_store, index.rows, targets, self.task, index.draw, index.clips)

    def evaluation_inputs(self, rows: Tensor) -> Tensor:
        """Evaluation inputs: (batch,) rows -> (batch, crops, ...)."""
        if self.eval_store.stage == "features":
            return self.eval_store.take(rows).to(self.device)
        return self.pipeline.pictures(self.eval_store, rows)

    def cached_view(self, rows: Tensor, draw: int) -> tuple[Tensor, Tensor]:
        """One cached view per track: (batch,) rows -> features (batch, 1, width), targets (batch, genres)."""
        train_rows = torch.tensor([self.train_row_of[self.names[row]] for row in rows.tolist()])
        views = self.train_store.take(train_rows)
        chosen = torch.randint(views.shape[1], (len(rows),), generator=torch.Generator().manual_seed(draw))
        view = views[torch.arange(len(rows)), chosen.to(views.device, non_blocking=True)].to(self.device)
        width = view.shape[1] - len(self.genres)
        return view[:, None, :width], view[:, width:]

    def mixtures(self, subset: str) -> Iterator[Batch]:
        """Batches of a subset's tracks, mixed in pairs; ``rows`` are those of the first track of each pair."""
        order = np.random.default_rng(self.seed).permutation(len(rows := self.rows(subset)))
        for draw, batch in enumerate(rows[order].split(self.batch_size)):
            inputs, targets = self.pipeline.mixtures(self.first, batch, self.targets[batch], self.task, draw)
            if len(inputs):
                yield Batch(inputs, targets, batch[: len(inputs)])

    def has_metadata(self, subset: str) -> bool:
        """Whether columns are used, and a track of a subset has a value in one."""
        return self.metadata is not None and self.metadata.has_values(self.rows(subset))

    @property
    def cached_views(self) -> int:
        """Number of cached feature vectors per training track; 0 if the network reads pictures."""
        has_features = self.train_store.stage in ("features", "views")
        return int(self.train_store.offsets[1]) if has_features else 0

    def subset_sizes(self) -> dict[str, int]:
        """Number of tracks per subset."""
        return {subset: len(self.track_names(subset)) for subset in SUBSETS}
