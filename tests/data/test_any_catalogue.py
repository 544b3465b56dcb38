"""Whatever a CSV holds: disjoint subsets with every class trained and groups kept together, or one sentence."""

import csv
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre.config.build import read_catalogue
from genre.config.settings import DataSettings
from genre.data.datamodule import MusicData
from genre.data.duplicates import Pair
from genre.data.spelling import comparison_key
from genre.data.splits import SUBSETS, Split
from genre.errors import SkipKind, SkipReason, UserError
from genre.tasks import Multiclass, Multilabel, Task

GENRES = ["rock", "pop", "Rock", " POP ", "rock;pop", "pop; ska", "Caf\u00e9", "Cafe\u0301"]
ARTISTS = ["", "Queen", "queen ", "Zo\u00eb", *(f"artist {number}" for number in range(12))]
SIDES = ["train", "Train ", "training", "val", "test", ""]
Row = tuple[str, str, str, str]


def usual_rows(size: int, genres: int, seed: int) -> list[Row]:
    """Rows such as people write, some of them twice."""
    draw = random.Random(seed)
    pool = draw.sample(GENRES, genres)
    numbers = [draw.randrange(number + 1) if draw.random() < 0.02 else number for number in range(size)]
    rows = [(f"{n}.wav", draw.choice(pool), draw.choice(ARTISTS), draw.choice(SIDES)) for n in range(size)]
    return [rows[number] for number in numbers]


ANYTHING = st.text(max_size=8) | st.sampled_from([";", " ", "\n", "a\nb", "rock", "train", "0.wav", "\u2028"])
ODD_ROWS = st.lists(st.tuples(*[ANYTHING] * 4), max_size=2)
ROWS = st.builds(
    lambda rows, odd: odd + rows,
    st.builds(usual_rows, st.integers(0, 80), st.integers(1, len(GENRES)), st.integers(0, 10**6)),
    st.just([]) | ODD_ROWS,
)
SPLITS = st.builds(
    lambda kind, seed, group, untrained: Split(
        kind, seed, group_duplicates=group and kind != "column", untrained_genres=untrained
    ),
    st.sampled_from(["random", "artist", "column"]),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["refuse", "drop"]),
)


class UndecodedData(MusicData):
    """A data module whose tracks are taken as decoded, but for some broken ones."""

    def __init__(self, folder: Path, split: Split, task: Task, broken: set[int], copies: int) -> None:
        reader = {"_target_": "genre.data.catalogue.read_csv", "path": str(folder / "songs.csv")}
        catalogue = read_catalogue(DataSettings.model_validate(reader))
        super().__init__(catalogue, split, None, task, batch_size=4, seed=0, cache=folder)
        self.broken, self.copies = broken, copies

    def decode(self) -> SimpleNamespace:
        names = [track.name for track in self.catalogue.tracks]
        skipped = {name: SkipReason(SkipKind.SILENT, "silent") for n, name in enumerate(names) if n in self.broken}
        return SimpleNamespace(names=[name for name in names if name not in skipped], skipped=skipped)

    def duplicate_pairs(self, required: bool) -> list[Pair]:
        names = self.first.names[: self.copies + 1]
        return [Pair(one, other, 1.0, 0.0, True) for one, other in pairwise(names)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("any")


def write_table(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def check(data: MusicData, rows: list[Row]) -> None:
    """The properties of a split, from the table alone where it says them."""
    assert data.subsets.keys() == {track.name for track in data.catalogue.tracks}
    assert set(data.subsets.values()) <= set(SUBSETS)
    labels = {track.name: data.task.labels(track.genres) for track in data.catalogue.tracks}
    trained = {genre for name, subset in data.subsets.items() if subset == "train" for genre in labels[name]}
    assert trained == set(data.genres) and len(trained) > 1
    assert len({comparison_key(genre) for genre in trained}) == len(trained)
    assert data.targets[data.rows("train")].any(0).all() and data.targets[data.rows("all")].any(1).all()
    if data.split.kind == "artist":
        artists = {path: comparison_key(artist) for path, _, artist, _ in rows}
        sides = {(artists[name], subset) for name, subset in data.subsets.items() if artists[name]}
        assert len(sides) == len({artist for artist, _ in sides})
    if data.split.group_duplicates:
        both = [pair for pair in data.pairs if {pair.one, pair.other} <= data.subsets.keys()]
        assert all(data.subsets[pair.one] == data.subsets[pair.other] for pair in both)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_table_gives_a_sound_split_or_one_sentence(folder, held_out):
    outcomes = {"split": 0, "sentence": 0}

    @settings(max_examples=80, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(ROWS, SPLITS, st.booleans(), st.sets(st.integers(0, 39), max_size=3), st.integers(0, 5))
    def try_table(rows, split, several, broken, copies):
        write_table(folder / "songs.csv", ("path", "genres", "artist", "split"), rows)
        if held_out:
            write_table(folder / "held.csv", ("track", "genres"), [(row[0], row[1]) for row in rows[-3:]])
            split = replace(split, hold_out=str(folder / "held.csv"))
        try:
            data = UndecodedData(folder, split, Multilabel() if several else Multiclass(), broken, copies)
            data.assign_subsets()
        except UserError as error:
            assert str(error) and len(str(error).splitlines()) == 1
            outcomes["sentence"] += 1
        else:
            check(data, rows)
            outcomes["split"] += 1

    try_table()
    assert min(outcomes.values()) >= 10, outcomes
