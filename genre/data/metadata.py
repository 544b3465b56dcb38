"""Metadata beside the music: columns of a catalogue as bags of hashed tokens."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genre.data.catalogue import KNOWN_COLUMNS, Catalogue, Track
from genre.data.spelling import comparison_key
from genre.data.splits import FOLD_COLUMN
from genre.errors import UserError

NOT_METADATA = KNOWN_COLUMNS - {"artist"} | {"genre"}
OF_ONE_ARTIST = frozenset({"artist", "album"})
DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?")
WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
YEAR = re.compile(r"\d{4}")
LONGEST_NAME = 6  # words of a value that is a token as a whole, too
MIN_TRACKS = 2  # training tracks that a known token has
DROPOUT_STREAM = 1  # of a batch's random numbers


class Bags(NamedTuple):
    """The weighted tokens of a batch of tracks.

    Args:
        tokens: (batch, tokens) int64; 0 pads.
        weights: (batch, tokens); the squares of those of a value add up to 1, so that all values count alike.
    """

    tokens: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return self._replace(tokens=self.tokens.to(device), weights=self.weights.to(device))

    def without(self, tracks: Tensor) -> Self:
        """The same with empty bags for some tracks, (batch,) of bool."""
        return self._replace(weights=self.weights.masked_fill(tracks[:, None], 0.0))

    def mixed(self, partner: Tensor, share: Tensor) -> Self:
        """Mixup: each bag with its share, (batch,), and that of its partner, (batch,) of indices, with the rest."""
        other = (1 - share[:, None]) * self.weights[partner]
        return self._replace(
            tokens=torch.cat([self.tokens, self.tokens[partner]], dim=1),
            weights=torch.cat([share[:, None] * self.weights, other], dim=1),
        )


class MetadataTable:
    """The tokens of some columns of a catalogue, by row of the first store.

    Args:
        catalogue: a column that it lacks is empty.
        columns: their names.
        names: of all rows; those that the catalogue has no track for have no tokens.
    """

    def __init__(self, catalogue: Catalogue, columns: Sequence[str], names: Sequence[str]) -> None:
        tracks = {track.name: track for track in catalogue.tracks}
        self.columns = tuple(dict.fromkeys(columns))
        self.values = [
            [hashed(column, cell(tracks[name], column) if name in tracks else "") for column in self.columns]
            for name in names
        ]

    def bags(self, rows: Tensor, kept: npt.NDArray[np.bool_] | None = None) -> Bags:
        """The bags of a batch: (batch,) rows.

        Args:
            kept: (batch, columns) which values are used; None uses all.
        """
        kept = np.ones((len(rows), len(self.columns)), bool) if kept is None else kept
        tokens, weights = [], []
        for row, keep in zip(rows.tolist(), kept, strict=True):
            values = [value for value, used in zip(self.values[row], keep, strict=True) if used and len(value)]
            shares = [np.full(len(value), len(value) ** -0.5, np.float32) for value in values]
            tokens.append(torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *values])))
            weights.append(torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *shares])))
        padded = (F.pad(pad_sequence(parts, batch_first=True), (0, 1)) for parts in (tokens, weights))
        return Bags(*padded)  # one token wide even if all bags are empty

    def training_bags(self, rows: Tensor, dropout: float, draw: int) -> Bags:
        """The bags of a training batch, (batch,) rows, each value left out with probability ``dropout``.

        Args:
            draw: seed of the batch's random numbers.
        """
        random = np.random.default_rng([draw, DROPOUT_STREAM])
        return self.bags(rows, random.random((len(rows), len(self.columns))) >= dropout)

    def frequent_tokens(self, rows: Tensor) -> Tensor:
        """The tokens that at least ``MIN_TRACKS`` of some rows have, sorted int64: what only one has predicts none."""
        counts = Counter(token for row in rows.tolist() for value in self.values[row] for token in value.tolist())
        return torch.tensor(sorted(token for token, count in counts.items() if count >= MIN_TRACKS), dtype=torch.long)

    def has_values(self, rows: Tensor) -> bool:
        """Whether any of some rows has a value in any column."""
        return any(len(value) for row in rows.tolist() for value in self.values[row])


def cell(track: Track, column: str) -> str:
    """A track's value in a column; empty if there is none."""
    return track.artist if column == "artist" else track.extra.get(column, "")


def hashed(column: str, value: str) -> npt.NDArray[np.int64]:
    """The tokens of a value as numbers above 0, the same on every machine and in every version of Python."""
    return np.array([token_hash(f"{column}\0{token}") for token in dict.fromkeys(tokens_of(value))], np.int64)


@lru_cache(maxsize=1 << 20)
def token_hash(text: str) -> int:
    """A hash of 63 bits above 0."""
    digest = blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 1) or 1


def tokens_of(value: str) -> Iterator[str]:
    """The tokens of a value; letter case and Unicode form make no difference.

    A number (1987, 120.5) gives itself and its ten (the 1980s). Any other text gives its words, the decade of each
    word that is a year, and if it is short, itself as a whole: a name. A value without letters and digits gives none.
    """
    text = comparison_key(value)
    if DECIMAL.fullmatch(text):
        yield from (f"{float(text):g}", decade(float(text)))
        return
    words = WORD.findall(text)
    yield from words
    yield from (decade(float(word)) for word in words if YEAR.fullmatch(word))
    if 1 < len(words) <= LONGEST_NAME:
        yield " ".join(words)


def decade(number: float) -> str:
    """'1980s' of 1987."""
    return f"{number // 10 * 10:g}s"


def check_metadata_names(columns: Sequence[str], split: str) -> None:
    """Refuse columns that say what is predicted, or under this split give the genre away.

    Args:
        split: its kind.

    Raises:
        UserError: naming the column.
    """
    for column in columns:
        if column.casefold() in NOT_METADATA or column.casefold().startswith(FOLD_COLUMN):
            raise UserError(
                f"model.metadata: the column {column} says which genre a track has, or where it lies; name others, "
                "such as title or year"
            )
        if column.casefold() in OF_ONE_ARTIST and split != "artist":
            raise UserError(
                f"model.metadata: the column {column} needs split=artist; under split={split} the same artists are "
                "trained and tested, and their names would give the genres away"
            )


def check_columns(columns: Sequence[str], catalogue: Catalogue) -> None:
    """Refuse columns that a catalogue does not have.

    Raises:
        UserError: naming the first one, and those that there are.
    """
    if missing := missing_columns(columns, catalogue):
        named = {"artist", *(name for track in catalogue.tracks for name in track.extra)} - NOT_METADATA
        known = sorted(named.difference(missing_columns(sorted(named), catalogue)))
        there = f"it has {', '.join(known)}" if known else "data=csv, or data.catalogue=tracks.csv, brings columns"
        raise UserError(f"model.metadata: the catalogue has no column {missing[0]}, or an empty one; {there}")


def missing_columns(columns: Sequence[str], catalogue: Catalogue) -> list[str]:
    """Those of some columns in which no track has a value."""
    return [name for name in columns if not any(cell(track, name) for track in catalogue.tracks)]
