"""The only path from a store to a network's input: view, log-mel, augmentation, picture; and the stages cached on it.

The input of a network that hears waveforms takes the place of pictures; its "log-mels" are the samples of the crops.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Generator, Tensor

from genre.data.store import Key, Store
from genre.data.store_builder import Item, build_store, parallel_map
from genre.tasks import Task
from genre.transforms.augment import Augment
from genre.transforms.spectrogram import (
    ArchiveSpectrogram,
    DocumentSpectrogram,
    NetworkInput,
    decibels,
    from_cached,
    to_cached,
    to_power,
)
from genre.transforms.views import View

CACHE_BATCH = 16  # tracks that are computed together for a store


@dataclass(frozen=True)
class Pipeline:
    """Turns rows of a store into pictures, in float32 on the device of the spectrogram's buffers.

    Args:
        view: selects the crops of a track.
        spectrogram: turns crops into log-mels and pictures, or leaves waveforms as they are.
        augment: varies training examples.
        settings: of view and spectrogram, as plain values; part of the key of a cached stage.
    """

    view: View
    spectrogram: NetworkInput
    augment: Augment
    settings: dict[str, Any]

    def log_mels(
        self, store: Store, rows: Tensor, generator: Generator | None = None, clips: Tensor | None = None
    ) -> Tensor:
        """Log-mels of a view: (batch,) rows of waveforms or log-mels -> (batch, crops, n_mels, columns) in [0, 1].

        Of a network that hears waveforms, the samples: (batch, crops, samples) in [-1, 1].

        Args:
            generator: draws training crops, on the CPU; None for evaluation crops.
            clips: the crops, where they have been read before.
        """
        begin, length = self.crops(store, rows, generator)
        if clips is None:
            clips = gather_crops(store, rows, begin, length)
        clips = clips.to(self.device, non_blocking=True)
        if store.stage == "waveform":
            samples = clips / 32768 if clips.dtype == torch.int16 else clips  # those in memory are in [-1, 1]
            log_mel = self.spectrogram(samples, length.flatten(), self.view.seconds)
        else:
            changes = (length < store.lengths(rows)[:, None]).flatten() | (not self.log_mel_spectrogram.keeps_archived)
            log_mel = self.rescale(from_cached(clips), changes)
        return log_mel.unflatten(0, begin.shape)

    def read(self, store: Store, rows: Tensor, draw: int) -> Tensor:
        """What ``examples`` reads of a store: (batch,) rows -> its pictures or crops, (batch, ...)."""
        if store.stage == "picture":
            return store.take(rows)
        return gather_crops(store, rows, *self.crops(store, rows, torch.Generator().manual_seed(draw)))

    def crops(self, store: Store, rows: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """First row and length of each crop, relative to its track: (batch,) rows -> two (batch, crops)."""
        lengths = store.lengths(rows)
        if generator is None and store.stage == "waveform" and isinstance(self.spectrogram, ArchiveSpectrogram):
            return self.spectrogram.crops_at_columns(self.view.spans, lengths, self.view.seconds)
        span = round(self.view.seconds * store.rate)
        tolerance = round(self.spectrogram.length_tolerance * store.rate)
        if generator is None:
            return self.view.spans(lengths, span, tolerance)
        return self.view.train_spans(lengths, span, tolerance, generator)

    def rescale(self, log_mel: Tensor, changes: Tensor) -> Tensor:
        """Make the chosen clips relative to their own maximum: (clips, n_mels, columns) and, on the CPU, (clips,)."""
        if not changes.any():
            return log_mel
        rescaled = self.log_mel_spectrogram.rescaled(decibels(to_power(log_mel)))
        return rescaled.where(changes.to(self.device, non_blocking=True)[:, None, None], log_mel)

    def pictures(self, store: Store, rows: Tensor) -> Tensor:
        """Evaluation inputs: (batch,) rows -> pictures (batch, crops, 1, size, size), or (batch, crops, 1, samples)."""
        if store.stage == "picture":
            return store.take(rows).to(self.device)[:, :, None]
        log_mel = self.log_mels(store, rows)
        return self.spectrogram.picture(log_mel.flatten(0, 1)).unflatten(0, log_mel.shape[:2])

    def examples(
        self, store: Store, rows: Tensor, targets: Tensor, task: Task, draw: int, clips: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augmented training pictures, one random crop per track.

        Args:
            rows: (batch,) of the store.
            targets: (batch, genres).
            task: defines the targets of a mixture.
            draw: seed of the crops and of the augmentation.
            clips: the result of ``read``, where it has been called before.

        Returns:
            Pictures (batch, 1, 1, size, size), or waveforms (batch, 1, 1, samples), and targets (batch, genres), on the
            device.
        """
        generator = torch.Generator(self.device).manual_seed(draw)
        targets = targets.to(self.device, non_blocking=True)
        if store.stage == "picture":
            picture = (store.take(rows) if clips is None else clips).to(self.device, non_blocking=True)
        else:
            log_mel = self.log_mels(store, rows, torch.Generator().manual_seed(draw), clips)[:, 0]
            if self.augment.acts_on_power:
                log_mel, targets = self.augment_power(log_mel, targets, task, generator)
            picture = self.spectrogram.picture(log_mel)
        return self.augment.picture(picture, generator)[:, None], targets

    def mixtures(self, store: Store, rows: Tensor, targets: Tensor, task: Task, draw: int) -> tuple[Tensor, Tensor]:
        """Evaluation pictures of mixtures of two tracks with different genres.

        Args:
            store: of waveforms or log-mels.
            rows: (batch,) of the store; partners are drawn from these. A row without a partner yields no mixture.
            targets: (batch, genres).
            draw: seed of partners and shares.

        Returns:
            Pictures (mixtures, crops, 1, size, size) and targets (mixtures, genres), on the device.
        """
        generator = torch.Generator(self.device).manual_seed(draw)
        targets = targets.to(self.device)
        partner, share = replace(self.augment, mix=1.0).partners(targets, generator)
        power = to_power(self.log_mels(store, rows))
        weight = share[:, None, None, None]
        level = decibels(weight * power + (1 - weight) * power[partner]).flatten(0, 1)
        pictures = self.spectrogram.picture(self.log_mel_spectrogram.rescaled(level)).unflatten(0, power.shape[:2])
        mixed = share < 1
        return pictures[mixed], task.mix_targets(targets, targets[partner], share)[mixed]

    def augment_power(
        self, log_mel: Tensor, targets: Tensor, task: Task, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix, equalise and add noise in mel power; the result is relative to its own maximum again.

        Args:
            log_mel: (batch, n_mels, columns) in [0, 1].
            targets: (batch, genres).

        Returns:
            Log-mels and targets of the same shapes.
        """
        power = to_power(log_mel)
        if self.augment.mix:
            partner, share = self.augment.partners(targets, generator)
            power = share[:, None, None] * power + (1 - share[:, None, None]) * power[partner]
            targets = task.mix_targets(targets, targets[partner], share)
        return self.log_mel_spectrogram.rescaled(decibels(self.augment.power(power, generator))), targets

    @property
    def device(self) -> torch.device:
        """Device of the spectrogram's buffers."""
        return next(self.spectrogram.buffers()).device

    @property
    def log_mel_spectrogram(self) -> DocumentSpectrogram:
        """The spectrogram, where there are log-mels."""
        assert isinstance(self.spectrogram, DocumentSpectrogram)
        return self.spectrogram

    def picture_store(self, first: Store, cache: Path) -> Store:
        """The store of all evaluation pictures; without random crops and power augmentation, training reads it too.

        Waveforms are read from the first store, where nothing would be saved by keeping their crops.
        """
        if first.stage == "picture" or not isinstance(self.spectrogram, DocumentSpectrogram):
            return first
        return self.build_stage(first, cache, "picture", 0.0, lambda rows: self.pictures(first, rows)[:, :, 0])

    def log_mel_store(self, first: Store, cache: Path) -> Store:
        """The store of all log-mels, for augmentation of mel power."""
        if first.stage == "logmel":
            return first
        spectrogram = self.log_mel_spectrogram
        rate = spectrogram.columns(self.view.seconds) / self.view.seconds

        def compute(rows: Tensor) -> Tensor:
            return to_cached(self.log_mels(first, rows)[:, 0], spectrogram.cache_dtype)

        return self.build_stage(first, cache, "logmel", rate, compute)

    def build_stage(
        self, first: Store, cache: Path, stage: str, rate: float, compute: Callable[[Tensor], Tensor]
    ) -> Store:
        """Open or compute a stage of every track of a store: one track per core, or CACHE_BATCH at a time on a GPU.

        Args:
            first: the store that ``compute`` reads.
            rate: rows of the stage per second.
            compute: (batch,) rows of ``first`` -> (batch, ...).
        """
        key = Key(stage, self.settings, first.identity)
        rows = torch.arange(len(first.names))

        @torch.inference_mode()
        def arrays(batch: Tensor) -> npt.NDArray[Any]:
            return compute(batch).cpu().numpy()

        def items(span: slice) -> Iterator[Item]:
            if self.device.type != "cpu":
                yield from (item for batch in rows[span].split(CACHE_BATCH) for item in arrays(batch))
                return
            with single_threaded():
                yield from (item[0] for item in parallel_map(arrays, rows[span].split(1)))

        return build_store(cache, key, rate, first.names, items, f"{stage}s", CACHE_BATCH)


def gather_crops(store: Store, rows: Tensor, begin: Tensor, length: Tensor) -> Tensor:
    """Cut each track's crops: (batch,) rows and two (batch, crops) -> (batch * crops, longest, ...)."""
    return store.gather(rows.repeat_interleave(begin.shape[1]), begin.flatten(), length.flatten())


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit PyTorch to one thread, so that each core can compute a track of its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
