"""A store is read by track, and a damaged one is not opened."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from genre.data.store import Key, open_store
from genre.data.store_builder import build_store
from genre.errors import SkipKind, SkipReason

RATE = 22_050
KEY = Key("waveform", {"sample_rate": RATE}, ["a", "b", "c"])
ITEMS = (
    np.arange(5, dtype=np.int16),
    SkipReason(SkipKind.UNREADABLE, "unreadable: no music"),
    np.arange(10, 13, dtype=np.int16),
)


def made(folder):
    return build_store(folder, KEY, RATE, ["a", "b", "c"], lambda begin: ITEMS[begin:], "making")


def test_tracks_lie_end_to_end_and_the_bad_ones_are_named(tmp_path):
    store = made(tmp_path)
    assert store.names == ["a", "c"]
    assert store.offsets.tolist() == [0, 5, 8]
    assert store.data.tolist() == [0, 1, 2, 3, 4, 10, 11, 12]
    assert store.skipped == {"b": ITEMS[1]}


def test_a_span_beyond_a_track_is_silence_and_never_its_neighbour(tmp_path):
    spans = made(tmp_path).gather(torch.tensor([0, 1, 1]), torch.tensor([3, -2, 5]), torch.tensor([4, 6, 2]))
    assert spans.tolist() == [[3, 4, 0, 0, 0, 0], [0, 0, 10, 11, 12, 0], [0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "other",
    [replace(KEY, stage="logmel"), replace(KEY, settings={"sample_rate": 1}), replace(KEY, inputs=["a", "b"])],
)
def test_whatever_goes_in_changes_its_place(tmp_path, other):
    made(tmp_path)
    assert open_store(tmp_path, other) is None


@pytest.mark.parametrize("file", ["data.bin", "offsets.npy", "index.json"])
def test_one_that_was_cut_short_is_made_again(tmp_path, file):
    made(tmp_path)
    damaged = tmp_path / KEY.name / file
    os.truncate(damaged, damaged.stat().st_size - 1)
    assert open_store(tmp_path, KEY) is None
    assert made(tmp_path).data.tolist() == [0, 1, 2, 3, 4, 10, 11, 12]


def test_one_larger_than_the_memory_opens_and_is_read(tmp_path):
    made(tmp_path)
    rows = 4 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    folder = tmp_path / KEY.name
    os.truncate(folder / "data.bin", rows * 2)  # sparse: it takes no room
    index = json.loads((folder / "index.json").read_text()) | {"shape": [rows]}
    (folder / "index.json").write_text(json.dumps(index))
    np.save(folder / "offsets.npy", np.array([0, 5, rows]))
    store = open_store(tmp_path, KEY)
    assert store.gather(torch.tensor([1, 0]), torch.tensor([rows - 10, 0]), torch.tensor([3, 3])).tolist() == [
        [0, 0, 0],
        [0, 1, 2],
    ]
