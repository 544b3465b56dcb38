"""Find duplicates: exact copies by their samples, near copies by correlating their spectrograms.

Any two spectrograms of music correlate: there is more bass than treble, and a chorus is louder in all bands. Therefore
each band's mean over time and each column's mean over the bands are subtracted first; the rest is correlated at every
time shift that leaves enough overlap.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track as progress
from scipy.fft import next_fast_len
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from genre.data.content import row_hash
from genre.data.duplicate_candidates import candidate_pairs, in_blocks
from genre.data.pipeline import Pipeline
from genre.data.store import Key, Store
from genre.files import note_use, write_json
from genre.transforms.augment import Augment
from genre.transforms.spectrogram import DocumentSpectrogram, from_cached
from genre.transforms.views import Whole

log = logging.getLogger(__name__)

FINGERPRINT_BANDS = 32  # of a fingerprint; with 16, copies are separated less well from other music
COLUMNS = 12.0  # of a fingerprint per second, approximately
BLOCK = 8_000_000  # numbers in memory while a block of tracks is correlated with all others
READ_AT_ONCE = 64  # tracks
CORRELATED_AT_ONCE = 256  # candidates of a large collection that are correlated at once
COMPARED_WITH_ALL = 3_000  # tracks; of a larger collection only candidates are correlated (all: a minute or two)
COMPARED_SECONDS = 30.0  # of each waveform's middle
MIN_OVERLAP = 3.0  # seconds that short tracks must share, too
CONTAINED = 0.9  # share of a short track that the other must contain, if that is less than the requested overlap
EDGE = 2  # columns ignored beside silence and at the ends: fades and padding are alike in all music
MIN_ENERGY = 0.1  # an overlap's energy counts as at least this share of its track's average
N_FFT, HOP, F_MAX = 2048, 1024, 8000.0  # samples, samples, Hz: log-mels computed from waveforms


@dataclass(frozen=True)
class Pair:
    """Two tracks with the same recording.

    Args:
        correlation: of their fingerprints at the best shift, 1 at most.
        shift: delay of ``other`` relative to ``one``, in seconds.
        exact: True if all samples are equal.
    """

    one: str
    other: str
    correlation: float
    shift: float
    exact: bool = False


def find_duplicates(
    first: Store, cache: Path, correlation: float = 0.7, overlap: float = 10.0, seconds: float = COMPARED_SECONDS
) -> list[Pair]:
    """Return the pairs of tracks with the same recording: exact ones first, then by falling correlation.

    Args:
        first: waveforms or log-mels, in CPU memory.
        cache: folder in which the log-mels of waveforms are cached.
        correlation: the least at which two tracks count as the same recording.
        overlap: the least that two tracks must share, in seconds; for shorter tracks, nine tenths of the shorter one.
        seconds: length of the middle part of each waveform that is compared; log-mels are compared whole.
    """
    log_mels, starts = comparison_log_mels(first, cache, seconds)
    pairs = {
        (pair.one, pair.other): replace(pair, shift=pair.shift + starts[pair.other] - starts[pair.one])
        for pair in similar_tracks(log_mels, correlation, overlap)
    }
    pairs |= {(one, other): Pair(one, other, 1.0, 0.0, True) for one, other in identical_tracks(first)}
    return sorted(pairs.values(), key=lambda pair: (not pair.exact, -pair.correlation, pair.one, pair.other))


def cached_duplicates(first: Store, cache: Path) -> list[Pair]:
    """Return ``find_duplicates`` with its default settings, cached beside the stores."""
    path = cache / f"{Key('duplicates', {'version': 1}, first.identity).name}.json"
    if (kept := read_pairs(path)) is not None:
        return kept
    pairs = find_duplicates(first, cache)
    try:
        write_json(path, {"store": first.key.name, "pairs": [astuple(pair) for pair in pairs]})
    except OSError as error:
        log.warning("cannot write %s (%s): duplicates will be searched again", path, error.strerror)
    return pairs


def read_pairs(path: Path) -> list[Pair] | None:
    """The pairs in a file of ``cached_duplicates``; None if there is no file or it is damaged."""
    try:
        pairs = [Pair(*values) for values in json.loads(path.read_text(encoding="utf-8"))["pairs"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        log.warning("%s is damaged; duplicates are searched again", path)
        return None
    note_use(path)
    return pairs


def comparison_log_mels(first: Store, cache: Path, seconds: float) -> tuple[Store, dict[str, float]]:
    """Return the log-mels to compare, and where in its track each begins, in seconds."""
    if first.stage != "waveform":
        return first, dict.fromkeys(first.names, 0.0)
    view, rate = Whole(seconds), int(first.rate)
    settings = {"seconds": seconds, "mel": [rate, N_FFT, HOP, FINGERPRINT_BANDS, F_MAX]}
    spectrogram = DocumentSpectrogram(rate, N_FFT, HOP, FINGERPRINT_BANDS, min(F_MAX, rate / 2))
    store = Pipeline(view, spectrogram, Augment(), settings).log_mel_store(first, cache)
    lengths = first.lengths(torch.arange(len(first.names)))
    begins, _ = view.spans(lengths, round(seconds * rate), 0)
    return store, dict(zip(first.names, (begins[:, 0] / rate).tolist(), strict=True))


def identical_tracks(store: Store) -> list[tuple[str, str]]:
    """Return the pairs of tracks whose samples are equal to the last bit."""
    by_hash: dict[str, list[str]] = {}
    for row, name in enumerate(store.names):
        by_hash.setdefault(row_hash(store, row), []).append(name)
    return [pair for names in by_hash.values() for pair in combinations(names, 2)]


@torch.inference_mode()
def similar_tracks(store: Store, correlation: float = 0.7, overlap: float = 10.0) -> list[Pair]:
    """Return the pairs of log-mels that correlate at any time shift, in the order of the store.

    Of a collection of more than COMPARED_WITH_ALL tracks, only pairs that share a similar window are correlated.

    Args:
        store: log-mels of any lengths; silent columns (padding) are ignored.
        correlation: the least that counts.
        overlap: the least that two tracks must share, in seconds; for shorter tracks, nine tenths of the shorter one.
    """
    is_large = len(store.names) > COMPARED_WITH_ALL
    if is_large and has_index():
        found = indexed_pairs(store, correlation, overlap)
    else:
        if is_large:
            log.warning('all pairs are correlated, which takes hours for 100,000 tracks; pip install "genre[large]"')
        prints, audible, rate = fingerprints(store)
        found = correlated_pairs(prints, audible, needed_columns(audible, overlap, rate), correlation)
    rate = fingerprint_rate(store)
    return [
        Pair(store.names[one], store.names[other], min(value, 1.0), shift / rate) for one, other, value, shift in found
    ]


def has_index() -> bool:
    """Whether the index that large collections are searched with is installed."""
    return find_spec("faiss") is not None


def indexed_pairs(store: Store, correlation: float, overlap: float) -> Iterator[tuple[int, int, float, int]]:
    """Yield what ``correlated_pairs`` yields of all tracks, of those pairs that share a similar window.

    Only a few tracks at a time are in memory.
    """
    rate = fingerprint_rate(store)
    pairs = candidate_pairs(lambda rows: fingerprints(store, rows)[0], len(store.names), rate)
    log.info("%d pairs of %d tracks are correlated", len(pairs), len(store.names))
    for rows, places in progress(list(in_blocks(pairs, CORRELATED_AT_ONCE)), "comparing", transient=True):
        prints, audible, _ = fingerprints(store, rows)
        one, other = places.T
        spectra = Spectra(prints, audible, needed_columns(audible, overlap, rate))
        value, shift = spectra.best((spectra.prints[one].conj() * spectra.prints[other]).sum(1), one, other)
        for pair in (value >= correlation).nonzero()[:, 0].tolist():
            yield int(rows[one[pair]]), int(rows[other[pair]]), float(value[pair]), int(shift[pair])


@torch.inference_mode()
def similar_tracks_between(one: Store, other: Store, correlation: float = 0.7, overlap: float = 10.0) -> list[Pair]:
    """Return the pairs of a log-mel of ``one`` and a log-mel of ``other`` that correlate at any time shift.

    Pairs within one of the two are not returned. A shift is between the log-mels, not between the tracks.

    Args:
        one: log-mels of any lengths.
        other: log-mels with the same bands and columns per second.
        correlation: as in ``similar_tracks``.
        overlap: as in ``similar_tracks``.
    """
    (prints, audible, rate), (other_prints, other_audible, _) = fingerprints(one), fingerprints(other)
    columns = max(prints.shape[-1], other_prints.shape[-1])
    joined, heard = (
        torch.cat([F.pad(part, (0, columns - part.shape[-1])) for part in parts])
        for parts in ((prints, other_prints), (audible, other_audible))
    )
    first = len(one.names)
    pairs = correlated_pairs(joined, heard, needed_columns(heard, overlap, rate), correlation, first)
    return [
        Pair(one.names[row], other.names[column - first], min(value, 1.0), shift / rate)
        for row, column, value, shift in pairs
        if column >= first
    ]


def needed_columns(audible: Tensor, overlap: float, rate: float) -> Tensor:
    """Return how many columns each track must share: (tracks, columns) -> (tracks,).

    Args:
        overlap: the least that two tracks must share, in seconds; for shorter tracks, nine tenths of the shorter one.
        rate: columns per second.
    """
    shortest, longest = round(min(MIN_OVERLAP, overlap) * rate), round(overlap * rate)
    return (CONTAINED * audible.sum(1)).clamp(shortest, longest).floor()


def fingerprint_rate(store: Store) -> float:
    """Columns of a fingerprint per second."""
    return store.rate / max(1, round(store.rate / COLUMNS))


def fingerprints(store: Store, rows: Tensor | None = None) -> tuple[Tensor, Tensor, float]:
    """Return log-mels with fewer bands and columns, centred over time and over bands.

    Args:
        rows: (tracks,) of the store; None for all.

    Returns:
        Fingerprints (tracks, bands, columns), 0 in silent columns; (tracks, columns) 1 where audible, else 0; columns
        per second.
    """
    everything = torch.arange(len(store.names))
    longest = int(store.lengths(everything).max())
    pool = max(1, round(store.rate / COLUMNS))
    parts = []
    for batch in (everything if rows is None else rows).split(READ_AT_ONCE):
        log_mel = from_cached(store.gather(batch, torch.zeros_like(batch), torch.full_like(batch, longest)))
        if log_mel.shape[1] != FINGERPRINT_BANDS:
            log_mel = F.adaptive_avg_pool2d(log_mel, (FINGERPRINT_BANDS, longest))
        parts.append(F.avg_pool1d(log_mel, pool))
    level = torch.cat(parts)
    silent = F.pad((level.amax(1) == 0).float(), (EDGE, EDGE), value=1)
    audible = 1 - F.max_pool1d(silent[:, None], 2 * EDGE + 1, 1)[:, 0]
    weight = audible[:, None]
    level -= (level * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1)
    level -= level.mean(1, keepdim=True)
    return level * weight, audible, fingerprint_rate(store)


class Spectra:
    """Fourier transforms of fingerprints, for their normalised cross-correlation at all shifts at once.

    With z the fingerprint and m the audible columns: the sums of z·z', z²·m', m·z'² and m·m' over the overlap.

    Args:
        prints: (tracks, bands, columns).
        audible: (tracks, columns).
        needed: (tracks,) number of columns that a track must share; for a pair the smaller number counts.

    Attributes:
        prints: (tracks, bands, frequencies).
        size: of the transforms.
    """

    def __init__(self, prints: Tensor, audible: Tensor, needed: Tensor) -> None:
        columns = prints.shape[-1]
        self.needed = needed
        self.max_shift = max(0, columns - int(needed.min()))
        self.size = next_fast_len(columns + self.max_shift, real=True)
        self.shifts = torch.cat([torch.arange(self.max_shift + 1), torch.arange(-self.max_shift, 0)])
        self.prints = torch.fft.rfft(prints, self.size)
        energy = prints.square().sum(1)
        self.least_energy = MIN_ENERGY * energy.sum(1) / audible.sum(1).clamp_min(1)
        self.energy, self.audible = torch.fft.rfft(energy, self.size), torch.fft.rfft(audible, self.size)

    def sums(self, product: Tensor) -> Tensor:
        """(..., frequencies) -> (..., shifts)."""
        values = torch.fft.irfft(product, self.size)
        return torch.cat([values[..., : self.max_shift + 1], values[..., self.size - self.max_shift :]], -1)

    def best(self, product: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """The highest correlation of pairs and the shift of the second, in columns; -1 without enough overlap.

        Args:
            product: (..., frequencies) spectrum of one, conjugate, times that of the other, summed over the bands.
            one: (...) rows of the first tracks.
            other: (...) rows of the second tracks; both are broadcast.

        Returns:
            Correlations (...) and shifts (...).
        """
        shared = self.sums(self.audible[one].conj() * self.audible[other])
        first = self.sums(self.energy[one].conj() * self.audible[other])
        second = self.sums(self.audible[one].conj() * self.energy[other])
        first = torch.maximum(first, self.least_energy[one][..., None] * shared)
        second = torch.maximum(second, self.least_energy[other][..., None] * shared)
        value = self.sums(product) / (first * second).clamp_min(1e-9).sqrt()
        least = torch.minimum(self.needed[one], self.needed[other])[..., None]
        best, index = value.where(shared > least - 0.5, -1).max(-1)
        return best, self.shifts[index]


def correlated_pairs(
    prints: Tensor, audible: Tensor, needed: Tensor, correlation: float, compared: int | None = None
) -> Iterator[tuple[int, int, float, int]]:
    """Yield each pair of fingerprints that correlate: two rows, the correlation, the second's shift in columns.

    Args:
        prints: (tracks, bands, columns).
        audible: (tracks, columns).
        needed: (tracks,) number of columns that a track must share; for a pair the smaller number counts.
        correlation: the least that counts.
        compared: number of tracks, from the first on, that are compared with all later ones; None for all.
    """
    tracks = len(prints)
    compared = tracks if compared is None else compared
    spectra = Spectra(prints, audible, needed)
    of_bands = spectra.prints.permute(2, 0, 1).contiguous()  # (frequencies, tracks, bands)
    step = max(1, BLOCK // (tracks * spectra.size))
    for first in progress(range(0, compared, step), "comparing", transient=True):
        block, rest = torch.arange(first, min(first + step, compared)), torch.arange(first, tracks)
        product = (of_bands[:, block].conj() @ of_bands[:, first:].transpose(1, 2)).permute(1, 2, 0)
        best, shift = spectra.best(product, block[:, None], rest[None])
        for i, j in (best.triu(1) >= correlation).nonzero().tolist():
            yield first + i, first + j, float(best[i, j]), int(shift[i, j])


def duplicate_groups(pairs: Iterable[Pair]) -> list[list[str]]:
    """Return the groups of tracks that pairs connect, directly or through other tracks; sorted."""
    pairs = list(pairs)
    names = sorted({name for pair in pairs for name in (pair.one, pair.other)})
    index = {name: number for number, name in enumerate(names)}
    edges = [index[pair.one] for pair in pairs], [index[pair.other] for pair in pairs]
    graph = coo_array((np.ones(len(pairs)), edges), shape=(len(names), len(names)))
    groups: dict[int, list[str]] = {}
    for name, label in zip(names, connected_components(graph, directed=False)[1], strict=True):
        groups.setdefault(label, []).append(name)
    return sorted(groups.values())
