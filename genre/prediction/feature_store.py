"""The features of a folder's predictions in one file, which a killed program cannot damage."""

import secrets
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre.errors import UserError

FEATURES = "features.sqlite"


class FeatureStore:
    """Features by keys, in 16 bits. A key is used once: what a journal names is there or missing, but never outdated.

    Args:
        folder: of the predictions.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.keys = folder / FEATURES, set[str]()
        if self.path.is_file():
            with self.opened() as database:
                self.keys = {key for (key,) in database.execute("SELECT key FROM features")}

    def add(self, features: npt.NDArray[np.float32]) -> str:
        """Write the features of a file, (width,); return their key."""
        key = secrets.token_hex(8)
        with self.opened() as database:
            database.execute("INSERT INTO features VALUES (?, ?)", (key, features.astype(np.float16).tobytes()))
        self.keys.add(key)
        return key

    def keep(self, keys: Collection[str]) -> None:
        """Remove all others."""
        if others := self.keys - set(keys):
            with self.opened() as database:
                database.executemany("DELETE FROM features WHERE key = ?", ((key,) for key in others))
            self.keys -= others

    def read(self, keys: Sequence[str]) -> Tensor:
        """Return the features with these keys, (keys, width), in float16."""
        places = {key: place for place, key in enumerate(keys)}
        features = torch.empty(0, 0)
        with self.opened() as database:
            for key, content in database.execute("SELECT key, content FROM features"):
                if not len(features):
                    features = torch.empty(len(keys), len(content) // 2, dtype=torch.float16)
                if key in places:
                    features[places[key]] = torch.frombuffer(bytearray(content), dtype=torch.float16)
        return features

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file; what was executed is there when the context ends.

        Raises:
            UserError: if it is damaged or cannot be written.
        """
        try:
            with closing(sqlite3.connect(self.path)) as database, database:
                database.execute("PRAGMA synchronous = OFF")  # a row that a loss of power takes is computed again
                database.execute("CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, content BLOB)")
                yield database
        except sqlite3.Error as error:
            raise UserError(
                f"cannot use {self.path} ({error}); delete it, and its features are computed again"
            ) from None
