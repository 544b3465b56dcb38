"""Recordings that a collection holds more than once: exact copies by their samples, near copies by their spectrograms.

Two spectrograms of any music are alike in what all music has in common: more bass than treble, everything louder in a
chorus. Each band's mean over time and each column's mean over the bands are therefore taken away first, and what is
left is correlated over every shift in time that leaves enough overlap.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from itertools import combinations
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import track as progress
from scipy.fft import next_fast_len
from torch import Tensor

from genre.data.pipeline import Pipeline
from genre.data.store import Key, Store
from genre.files import write_json
from genre.transforms.augment import Augment
from genre.transforms.spectrogram import DocumentSpectrogram, from_cached
from genre.transforms.views import Whole

BANDS = 32  # what is compared of a log-mel; half as many separate copies from other music less well
COLUMNS = 12.0  # a second, about
BLOCK = 8_000_000  # numbers held at once for the correlations of some tracks with all others
READ_AT_ONCE = 64  # tracks
LEAST = 3.0  # seconds that even short tracks must share
CONTAINED = 0.9  # of a short track must lie in the other, where that is less than the overlap asked for
EDGE = 2  # columns beside silence and at the ends, which are alike in all music: they show where the window was cut
QUIET = 0.1  # an overlap that varies less than this share of its track's average counts as if it varied so much
N_FFT, HOP, TOP = 2048, 1024, 8000.0  # samples, samples, Hz: of music that is not a log-mel yet


@dataclass(frozen=True)
class Pair:
    """Two tracks that hold the same recording.

    Args:
        correlation: of their centred spectrograms where they overlap best, 1 at most.
        shift: how many seconds later ``other`` plays what ``one`` plays.
        exact: whether all their samples are the same.
    """

    one: str
    other: str
    correlation: float
    shift: float
    exact: bool = False


def find_duplicates(
    first: Store, cache: Path, correlation: float = 0.7, overlap: float = 10.0, seconds: float = 30.0
) -> list[Pair]:
    """Every pair of tracks with the same recording, the surest first.

    Args:
        first: waveforms or log-mels, not on a GPU.
        cache: where the log-mels of waveforms are kept.
        correlation: at which two tracks count as the same recording.
        overlap: the least that the two must share, in seconds; of shorter tracks, nine tenths of the shorter one.
        seconds: of each track's middle are compared; log-mels are compared whole.
    """
    log_mels, starts = comparison_log_mels(first, cache, seconds)
    pairs = {
        (pair.one, pair.other): replace(pair, shift=pair.shift + starts[pair.other] - starts[pair.one])
        for pair in similar_tracks(log_mels, correlation, overlap)
    }
    pairs |= {(one, other): Pair(one, other, 1.0, 0.0, True) for one, other in identical_tracks(first)}
    return sorted(pairs.values(), key=lambda pair: (not pair.exact, -pair.correlation, pair.one, pair.other))


def cached_duplicates(first: Store, cache: Path) -> list[Pair]:
    """What ``find`` finds with its own settings, kept beside the stores."""
    path = cache / f"{Key('duplicates', {'version': 1}, first.key.name).name}.json"
    if not path.exists():
        write_json(path, {"pairs": [astuple(pair) for pair in find_duplicates(first, cache)]})
    return [Pair(*values) for values in json.loads(path.read_text(encoding="utf-8"))["pairs"]]


def comparison_log_mels(first: Store, cache: Path, seconds: float) -> tuple[Store, dict[str, float]]:
    """The log-mels that are compared, and where in its track each begins, in seconds."""
    if first.stage != "waveform":
        return first, dict.fromkeys(first.names, 0.0)
    view, rate = Whole(seconds), int(first.rate)
    settings = {"seconds": seconds, "mel": [rate, N_FFT, HOP, BANDS, TOP]}
    spectrogram = DocumentSpectrogram(rate, N_FFT, HOP, BANDS, min(TOP, rate / 2))
    store = Pipeline(view, spectrogram, Augment(), settings).log_mel_store(first, cache)
    lengths = first.lengths(torch.arange(len(first.names)))
    begins, _ = view.spans(lengths, round(seconds * rate), 0)
    return store, dict(zip(first.names, (begins[:, 0] / rate).tolist(), strict=True))


def identical_tracks(store: Store) -> list[tuple[str, str]]:
    """Pairs of tracks whose rows are the same to the last bit."""
    alike: dict[str, list[str]] = {}
    for place, name in enumerate(store.names):
        rows = store.data[int(store.offsets[place]) : int(store.offsets[place + 1])]
        alike.setdefault(hashlib.sha256(rows.contiguous().numpy().tobytes()).hexdigest(), []).append(name)
    return [pair for names in alike.values() for pair in combinations(names, 2)]


@torch.inference_mode()
def similar_tracks(store: Store, correlation: float = 0.7, overlap: float = 10.0) -> list[Pair]:
    """Pairs of log-mels that correlate, shifted in time or not, in the order of the store.

    Args:
        store: of log-mels, of any length each; columns of silence (padding) count for nothing.
        correlation: the least that counts.
        overlap: the least that two tracks must share, in seconds; of shorter tracks, nine tenths of the shorter one.
    """
    prints, sounding, rate = fingerprints(store)
    needed = (CONTAINED * sounding.sum(1)).clamp(round(min(LEAST, overlap) * rate), round(overlap * rate)).floor()
    return [
        Pair(store.names[one], store.names[other], min(value, 1.0), shift / rate)
        for one, other, value, shift in correlated_pairs(prints, sounding, needed, correlation)
    ]


def fingerprints(store: Store) -> tuple[Tensor, Tensor, float]:
    """What of each log-mel is compared: fewer bands and columns, centred.

    Returns:
        (tracks, bands, columns), zero where nothing sounds; (tracks, columns) 1 where something does; columns a second.
    """
    pool = max(1, round(store.rate / COLUMNS))
    rows = torch.arange(len(store.names))
    longest = int(store.lengths(rows).max())
    parts = []
    for some in rows.split(READ_AT_ONCE):
        log_mel = from_cached(store.gather(some, torch.zeros_like(some), torch.full_like(some, longest)))
        fewer = F.adaptive_avg_pool2d(log_mel, (BANDS, longest))
        parts.append(F.avg_pool1d(fewer, pool))
    level = torch.cat(parts)
    silent = F.pad((level.amax(1) == 0).float(), (EDGE, EDGE), value=1)
    sounding = 1 - F.max_pool1d(silent[:, None], 2 * EDGE + 1, 1)[:, 0]
    weight = sounding[:, None]
    level -= (level * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1)
    level -= level.mean(1, keepdim=True)
    return level * weight, sounding, store.rate / pool


def correlated_pairs(
    prints: Tensor, sounding: Tensor, needed: Tensor, correlation: float
) -> Iterator[tuple[int, int, float, int]]:
    """Pairs of fingerprints that correlate: two rows, their correlation, and the shift of the second in columns.

    The normalised cross-correlation over all shifts at once, by Fourier transforms: with z the fingerprint and m the
    columns that sound, the sums of z·z', z²·m', m·z'² and m·m' over the overlap.

    Args:
        needed: (tracks,) how many columns each must share with another, if that one needs no fewer.
    """
    tracks, _, columns = prints.shape
    furthest = max(0, columns - int(needed.min()))
    size = next_fast_len(columns + furthest, real=True)
    shifts = torch.cat([torch.arange(furthest + 1), torch.arange(-furthest, 0)])
    spectra = torch.fft.rfft(prints, size).permute(2, 0, 1).contiguous()  # (frequencies, tracks, bands)
    energy = prints.square().sum(1)
    average = QUIET * energy.sum(1) / sounding.sum(1).clamp_min(1)
    energies, columns_heard = torch.fft.rfft(energy, size), torch.fft.rfft(sounding, size)

    def sums(product: Tensor) -> Tensor:
        """(..., frequencies) -> (..., shifts)."""
        over = torch.fft.irfft(product, size)
        return torch.cat([over[..., : furthest + 1], over[..., size - furthest :]], -1)

    for first in progress(range(0, tracks, step := max(1, BLOCK // (tracks * size))), "comparing", transient=True):
        some, rest = slice(first, first + step), slice(first, tracks)
        shared = sums(columns_heard[some, None].conj() * columns_heard[None, rest])
        mine = sums(energies[some, None].conj() * columns_heard[None, rest])
        theirs = sums(columns_heard[some, None].conj() * energies[None, rest])
        mine = torch.maximum(mine, average[some, None, None] * shared)
        theirs = torch.maximum(theirs, average[None, rest, None] * shared)
        product = (spectra[:, some].conj() @ spectra[:, rest].transpose(1, 2)).permute(1, 2, 0)
        value = sums(product) / (mine * theirs).clamp_min(1e-9).sqrt()
        least = torch.minimum(needed[some, None], needed[None, rest])[..., None]
        best, place = value.where(shared > least - 0.5, -1).max(-1)
        for i, j in (best.triu(1) >= correlation).nonzero().tolist():
            yield first + i, first + j, float(best[i, j]), int(shifts[place[i, j]])


def duplicate_groups(pairs: Iterable[Pair]) -> list[list[str]]:
    """Tracks that belong together because a chain of pairs joins them, each group and all of them sorted."""
    home: dict[str, set[str]] = {}
    for pair in pairs:
        joined = home.get(pair.one, {pair.one}) | home.get(pair.other, {pair.other})
        home |= dict.fromkeys(joined, joined)
    return sorted({id(group): sorted(group) for group in home.values()}.values())
