"""Music of which features are kept, among which predict.py finds the tracks most similar to others."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from os.path import abspath
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from genre.errors import UserError
from genre.files import csv_lines, size_and_time, write_text
from genre.prediction.feature_store import FeatureStore
from genre.prediction.neighbours import most_similar
from genre.prediction.prediction import Neighbour
from genre.prediction.results import Answer, ResultFiles

log = logging.getLogger(__name__)

NEIGHBOUR_COLUMNS = ("path", "rank", "neighbour", "similarity", "copy")


class TrackFeatures(NamedTuple):
    """Features of files.

    Args:
        paths: of the files.
        values: (files, width).
    """

    paths: list[str]
    values: Tensor


def features_of_answers(store: FeatureStore, answers: Sequence[Answer]) -> TrackFeatures:
    """The features of answered files, from the store of their folder."""
    paths = [answer.prediction.name for answer in answers]
    return TrackFeatures(paths, store.read([answer.features for answer in answers]))


def read_collection(results: ResultFiles, folder: Path) -> TrackFeatures:
    """Read the features that an earlier call kept, without those of files that are gone or have changed.

    Raises:
        UserError: if none are left, also because another model made them.
    """
    store = FeatureStore(folder)
    kept = [answer for answer in results.read_journal(folder) if answer.features in store.keys]
    current = [answer for answer in kept if answer.stamp == size_and_time(Path(answer.prediction.name))]
    if len(current) < len(kept):
        log.warning(
            "%d of %d files in collection=%s are gone or have changed and are left out; predict them again into it",
            len(kept) - len(current), len(kept), folder,
        )  # fmt: skip
    if not current:
        raise UserError(
            f"collection={folder} has no features of this model for files that are still there; make it with "
            f"predict.py input=… neighbours=1 hydra.run.dir={folder}, and the same run"
        )
    return features_of_answers(store, current)


def find_neighbours(files: TrackFeatures, collection: TrackFeatures, count: int) -> dict[str, list[Neighbour]]:
    """File -> its most similar tracks in a collection, the most similar first, without itself."""
    log.info("comparing %d files with %d", len(files.paths), len(collection.paths))
    similarities, places = most_similar(files.values, collection.values, count + 1)
    own = [abspath(path) for path in collection.paths]
    neighbours = {}
    for path, values, found in zip(files.paths, similarities.tolist(), places.tolist(), strict=True):
        others = [(place, value) for place, value in zip(found, values, strict=True) if own[place] != abspath(path)]
        neighbours[path] = [Neighbour(collection.paths[place], value) for place, value in others[:count]]
    return neighbours


def write_neighbours(folder: Path, neighbours: Mapping[str, Sequence[Neighbour]], format: str) -> None:
    """Write neighbours.csv, a row per neighbour, or neighbours.jsonl, an object per file."""
    if format == "csv":
        write_text(folder / "neighbours.csv", csv_lines([NEIGHBOUR_COLUMNS, *neighbour_rows(neighbours)]))
    else:
        write_text(folder / "neighbours.jsonl", "".join(map(json_line, neighbours.items())))


def neighbour_rows(neighbours: Mapping[str, Sequence[Neighbour]]) -> Iterator[tuple[str, int, str, str, str]]:
    """Yield the rows of neighbours.csv."""
    for path, found in neighbours.items():
        for rank, one in enumerate(found, start=1):
            yield path, rank, one.name, f"{one.similarity:.4f}", "yes" if one.is_copy else ""


def json_line(entry: tuple[str, Sequence[Neighbour]]) -> str:
    """A line of neighbours.jsonl."""
    path, found = entry
    values = [{"path": one.name, "similarity": round(one.similarity, 4), "copy": one.is_copy} for one in found]
    return json.dumps({"path": path, "neighbours": values}, ensure_ascii=False) + "\n"
