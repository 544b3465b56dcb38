"""The one way from a store to pictures: view, log-mel, augmentation, picture; and the stores kept along it."""

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
from genre.transforms.spectrogram import DocumentSpectrogram, decibels, from_kept, to_kept, to_power
from genre.transforms.views import View

KEEPING_BATCH = 16


@dataclass(frozen=True)
class Pipeline:
    """What happens between a store and the network, on the device of the spectrogram's buffers, in float32.

    Args:
        view: which parts of a track are seen.
        spectrogram: how they become log-mels and pictures.
        augment: how training examples vary.
        settings: of view and spectrogram, as plain values: what a kept store depends on.
    """

    view: View
    spectrogram: DocumentSpectrogram
    augment: Augment
    settings: dict[str, Any]

    def log_mels(self, store: Store, rows: Tensor, generator: Generator | None = None) -> Tensor:
        """Log-mels of a view: (batch,) rows of a waveform or log-mel store -> (batch, crops, bands, columns) in [0, 1].

        Args:
            generator: draws the crops of training, on the CPU; None takes those of evaluation.
        """
        lengths = store.lengths(rows)
        span, slack = round(self.view.seconds * store.rate), round(self.spectrogram.slack * store.rate)
        if generator is None:
            begin, length = self.view.spans(lengths, span, slack)
        else:
            begin, length = self.view.train_spans(lengths, span, slack, generator)
        crops = begin.shape[1]
        piece = store.gather(rows.repeat_interleave(crops), begin.flatten(), length.flatten()).to(self.device)
        if store.stage == "waveform":
            log_mel = self.spectrogram(piece.float() / 32768, length.flatten(), self.view.seconds)
        else:
            log_mel = from_kept(piece)
            part = (length < lengths[:, None]).flatten().to(self.device)
            if part.any():  # a part of a clip is measured against its own maximum
                own = self.spectrogram.rescaled(decibels(to_power(log_mel)))
                log_mel = own.where(part[:, None, None], log_mel)
        return log_mel.unflatten(0, (len(rows), crops))

    def pictures(self, store: Store, rows: Tensor) -> Tensor:
        """What a model sees at evaluation: (batch,) -> (batch, crops, 1, size, size)."""
        if store.stage == "picture":
            return store.take(rows).to(self.device)[:, :, None]
        log_mel = self.log_mels(store, rows)
        return self.spectrogram.picture(log_mel.flatten(0, 1)).unflatten(0, log_mel.shape[:2])

    def examples(self, store: Store, rows: Tensor, targets: Tensor, task: Task, draw: int) -> tuple[Tensor, Tensor]:
        """What a model sees in training, one random variation a track.

        Args:
            rows: (batch,) of the store.
            targets: (batch, genres).
            task: says what the targets of a mixture are.
            draw: seed of all that is random here.

        Returns:
            pictures (batch, 1, 1, size, size) and targets (batch, genres), on the device.
        """
        generator = torch.Generator(self.device).manual_seed(draw)
        targets = targets.to(self.device)
        if store.stage == "picture":
            picture = store.take(rows).to(self.device)
        else:
            log_mel = self.log_mels(store, rows, torch.Generator().manual_seed(draw))[:, 0]
            if self.augment.acts_on_power:
                log_mel, targets = self.varied(log_mel, targets, task, generator)
            picture = self.spectrogram.picture(log_mel)
        return self.augment.picture(picture, generator)[:, None], targets

    def mixtures(self, store: Store, rows: Tensor, targets: Tensor, task: Task, draw: int) -> tuple[Tensor, Tensor]:
        """Tracks mixed in pairs of other genres, otherwise as at evaluation: pictures of those that found a partner.

        Args:
            store: of waveforms or log-mels.
            rows: (batch,) of the store; the partners come from these alone.
            targets: (batch, genres).

        Returns:
            pictures (mixtures, crops, 1, size, size) and targets (mixtures, genres).
        """
        generator = torch.Generator(self.device).manual_seed(draw)
        targets = targets.to(self.device)
        partner, share = replace(self.augment, mix=1.0).partners(targets, generator)
        power = to_power(self.log_mels(store, rows))
        weight = share[:, None, None, None]
        level = decibels(weight * power + (1 - weight) * power[partner]).flatten(0, 1)
        pictures = self.spectrogram.picture(self.spectrogram.rescaled(level)).unflatten(0, power.shape[:2])
        mixed = share < 1
        return pictures[mixed], task.mix_targets(targets, targets[partner], share)[mixed]

    def varied(self, log_mel: Tensor, targets: Tensor, task: Task, generator: Generator) -> tuple[Tensor, Tensor]:
        """Mix, equalise and add noise in mel power, and measure the result against its own maximum again."""
        power = to_power(log_mel)
        if self.augment.mix:
            partner, share = self.augment.partners(targets, generator)
            power = share[:, None, None] * power + (1 - share[:, None, None]) * power[partner]
            targets = task.mix_targets(targets, targets[partner], share)
        return self.spectrogram.rescaled(decibels(self.augment.power(power, generator))), targets

    @property
    def device(self) -> torch.device:
        """Where the spectrogram computes."""
        return next(self.spectrogram.buffers()).device

    def keep_pictures(self, first: Store, cache: Path) -> Store:
        """The store of every track's pictures at evaluation, which are also those of training without random crops."""
        if first.stage == "picture":
            return first
        return self.keep(first, cache, "picture", 0.0, lambda rows: self.pictures(first, rows)[:, :, 0])

    def keep_log_mels(self, first: Store, cache: Path) -> Store:
        """The store of every track's log-mel, for augmentation that acts on power."""
        if first.stage == "logmel":
            return first
        rate = self.spectrogram.columns(self.view.seconds) / self.view.seconds
        dtype = self.spectrogram.kept_as
        return self.keep(first, cache, "logmel", rate, lambda rows: to_kept(self.log_mels(first, rows)[:, 0], dtype))

    def keep(self, first: Store, cache: Path, stage: str, rate: float, compute: Callable[[Tensor], Tensor]) -> Store:
        """Compute a stage for every track of a store: a track a core, or a few at a time on a GPU."""
        key = Key(stage, self.settings, first.key.name)
        rows = torch.arange(len(first.names))

        @torch.inference_mode()
        def computed(some: Tensor) -> npt.NDArray[Any]:
            return compute(some).cpu().numpy()

        def items(begin: int) -> Iterator[Item]:
            if self.device.type != "cpu":
                yield from (item for some in rows[begin:].split(KEEPING_BATCH) for item in computed(some))
                return
            with one_thread_each():
                yield from (item[0] for item in parallel_map(computed, rows[begin:].split(1)))

        return build_store(cache, key, rate, first.names, items, f"{stage}s", KEEPING_BATCH)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """PyTorch works on one thread inside, so that as many clips as there are cores can be worked on at once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
