"""Pairs of tracks in a large collection that may be duplicates, found by an index of short windows.

Windows of 5 s are reduced to a few numbers, their descriptors, by the principal components of the collection. The index
(faiss) has one window per second of each track; the windows at all columns of a second, of every other second, look for
their neighbours in it. So a copy is found whatever its delay: one of these windows begins in the same music, to a
column, as one in the index. Only the pairs so found are correlated, instead of all.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from genre.progress import track_bar

WINDOW = 5.0  # seconds
STEP = 1.0  # seconds between two windows of a track in the index
PLACES = 2  # steps between two places whose windows look for neighbours
COARSE = 2  # bands, and columns, of a fingerprint that are averaged: what a copy shares is slow and broad
DIMENSIONS = 64  # of a descriptor
SIMILAR = 0.8  # cosine of two descriptors; in GTZAN copies have 0.94 or more, other music rarely 0.8
LEAST_ENERGY = 0.1  # of a window, as a share of its track's average
SAMPLE = 2_000  # tracks that the principal components are computed from
TRAINED, PROBES = 40, 4  # windows per cell that the index is trained on; cells that are searched
INDEXED_AT_ONCE = 256  # tracks

Reader = Callable[[Tensor], Tensor]  # (tracks,) rows -> fingerprints (tracks, bands, columns)


def candidate_pairs(read: Reader, tracks: int, rate: float) -> npt.NDArray[np.int64]:
    """The pairs of tracks that share a similar window, (pairs, 2) rows, the smaller first; sorted.

    Args:
        read: reads the fingerprints of some tracks.
        tracks: their number.
        rate: columns of a fingerprint per second.

    Raises:
        ImportError: if faiss is not installed.
    """
    import faiss  # an optional extra

    describe = Descriptors(read, tracks, rate)
    with track_bar() as bar:
        task = bar.add_task("indexing", total=2 * tracks)
        blocks = torch.arange(tracks).split(INDEXED_AT_ONCE)
        kept: list[npt.NDArray[np.float16]] = []
        owners: list[npt.NDArray[np.int64]] = []
        for rows in blocks:
            vectors, owner = describe(rows, describe.indexed)
            kept.append(vectors.half().numpy())
            owners.append(owner.numpy())
            bar.advance(task, len(rows))
        owner_of = np.concatenate(owners)
        index = build_index(faiss, kept, DIMENSIONS)
        found = []
        for rows in blocks:
            vectors, owner = describe(rows, describe.searched)
            found.append(similar_owners(index, vectors.numpy(), owner.numpy(), owner_of, tracks))
            bar.advance(task, len(rows))
    keys = np.unique(np.concatenate(found))
    return np.stack(np.divmod(keys, tracks), axis=1)


def build_index(faiss: Any, vectors: list[npt.NDArray[np.float16]], dimensions: int) -> Any:
    """An index of descriptors by their cosine: cells around centres, of which a search looks at a few."""
    count = sum(map(len, vectors))
    cells = max(1, min(round(2 * count**0.5), count // TRAINED))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimensions), dimensions, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    stride = max(1, count // (TRAINED * cells))
    index.train(np.concatenate([part[::stride] for part in vectors]).astype(np.float32))
    for part in vectors:
        index.add(part.astype(np.float32))
    index.nprobe = min(PROBES, cells)
    return index


def similar_owners(
    index: Any,
    vectors: npt.NDArray[np.float32],
    owner: npt.NDArray[np.int64],
    owner_of: npt.NDArray[np.int64],
    tracks: int,
) -> npt.NDArray[np.int64]:
    """Pairs of tracks that share a similar descriptor, each as smaller · tracks + larger; sorted, each once.

    Args:
        vectors: (windows, dimensions) to look for.
        owner: (windows,) their tracks.
        owner_of: the tracks of those in the index.
    """
    limits, _, found = index.range_search(vectors, SIMILAR)
    one, other = np.repeat(owner, np.diff(limits.astype(np.int64))), owner_of[found]
    different = one != other
    smaller, larger = np.minimum(one, other)[different], np.maximum(one, other)[different]
    return np.unique(smaller * tracks + larger)


class Descriptors:
    """Computes the descriptors of windows of tracks.

    Args:
        read: reads the fingerprints of some tracks.
        tracks: their number.
        rate: columns of a fingerprint per second.

    Attributes:
        indexed: (windows,) coarse columns at which those of the index begin.
        searched: (windows,) those that look for neighbours.
    """

    def __init__(self, read: Reader, tracks: int, rate: float) -> None:
        self.read = read
        self.width, step = round(WINDOW * rate / COARSE), max(1, round(STEP * rate / COARSE))
        columns = self.coarse(torch.zeros(1, dtype=torch.long)).shape[-1]
        begins = torch.arange(max(1, columns - self.width + 1))
        self.indexed, self.searched = begins[::step], begins[begins % (PLACES * step) < step]
        self.projection = torch.eye(1)
        sample = torch.linspace(0, tracks - 1, min(tracks, SAMPLE)).long()
        windows = torch.cat([self.windows(rows, self.indexed)[0] for rows in sample.split(INDEXED_AT_ONCE)])
        variance, directions = torch.linalg.eigh(windows.T @ windows / len(windows))
        self.projection = directions[:, -DIMENSIONS:] * variance[-DIMENSIONS:].clamp_min(1e-12).rsqrt()

    def coarse(self, rows: Tensor) -> Tensor:
        """Fingerprints with fewer bands and columns, long enough for one window."""
        prints = F.avg_pool2d(self.read(rows), COARSE)
        return F.pad(prints, (0, max(0, self.width - prints.shape[-1])))

    def windows(self, rows: Tensor, begins: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of tracks that have enough energy, (windows, bands · columns), and their tracks, (windows,)."""
        prints = self.coarse(rows)
        energy = prints.square().sum(1)
        average = energy.sum(1) / (energy > 0).sum(1).clamp_min(1)
        loud = energy.unfold(1, self.width, 1)[:, begins].mean(2) > LEAST_ENERGY * average[:, None]
        windows = prints.unfold(2, self.width, 1)[:, :, begins].transpose(1, 2)[loud]
        return windows.flatten(1), rows[:, None].expand(-1, len(begins))[loud]

    def __call__(self, rows: Tensor, begins: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors of length 1 of the windows of tracks, (windows, dimensions), and their tracks, (windows,)."""
        windows, owner = self.windows(rows, begins)
        return F.normalize(windows @ self.projection, dim=1), owner


def in_blocks(pairs: npt.NDArray[np.int64], most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of rows in blocks: the rows of a block, sorted, and its pairs as places among them, (pairs, 2).

    Args:
        pairs: (pairs, 2), sorted.
        most: pairs per block.
    """
    for begin in range(0, len(pairs), most):
        rows, places = np.unique(pairs[begin : begin + most], return_inverse=True)
        yield torch.from_numpy(rows), torch.from_numpy(places.reshape(-1, 2))
