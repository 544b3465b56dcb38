"""A store is read by track; a damaged one is not opened."""

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


def build(folder):
    return build_store(folder, KEY, RATE, ["a", "b", "c"], lambda span: ITEMS[span], "making")


def test_tracks_are_concatenated_and_skipped_ones_have_a_reason(tmp_path):
    store = build(tmp_path)
    assert store.names == ["a", "c"]
    assert store.offsets.tolist() == [0, 5, 8]
    assert store.data.tolist() == [0, 1, 2, 3, 4, 10, 11, 12]
    assert store.skipped == {"b": ITEMS[1]}


def test_a_span_beyond_a_track_is_zero_and_not_the_next_track(tmp_path):
    spans = build(tmp_path).gather(torch.tensor([0, 1, 1]), torch.tensor([3, -2, 5]), torch.tensor([4, 6, 2]))
    assert spans.tolist() == [[3, 4, 0, 0, 0, 0], [0, 0, 10, 11, 12, 0], [0, 0, 0, 0, 0, 0]]


def test_data_on_a_device_is_gathered_as_from_a_file(tmp_path):
    store = build(tmp_path)
    places = [(row, begin, length) for row in (0, 1) for begin in range(-8, 8) for length in (5, 6)]
    arguments = [torch.tensor(values) for values in zip(*places, strict=True)]
    assert torch.equal(store.gather_at_once(store.data, *arguments), store.gather(*arguments))
    columns = replace(store, data=store.data[:, None, None] * torch.tensor([[1, 2], [3, 4]], dtype=torch.int16))
    assert torch.equal(columns.gather_at_once(columns.data, *arguments), columns.gather(*arguments))


@pytest.mark.parametrize(
    "other",
    [replace(KEY, stage="logmel"), replace(KEY, settings={"sample_rate": 1}), replace(KEY, inputs=["a", "b"])],
)
def test_stage_settings_and_inputs_change_the_folder(tmp_path, other):
    build(tmp_path)
    assert open_store(tmp_path, other) is None


@pytest.mark.parametrize("file", ["data.bin", "offsets.npy", "index.json"])
def test_a_truncated_store_is_built_again(tmp_path, file):
    build(tmp_path)
    damaged = tmp_path / KEY.name / file
    os.truncate(damaged, damaged.stat().st_size - 1)
    assert open_store(tmp_path, KEY) is None
    assert build(tmp_path).data.tolist() == [0, 1, 2, 3, 4, 10, 11, 12]


@pytest.mark.parametrize("file", ["offsets.npy", "index.json"])
@pytest.mark.parametrize("begin", [0, 8, 60, 130])
def test_a_store_with_zeros_in_its_description_is_built_again(tmp_path, file, begin):
    """As some file systems leave them after a power cut."""
    build(tmp_path)
    content = (tmp_path / KEY.name / file).read_bytes()
    (tmp_path / KEY.name / file).write_bytes(content[:begin] + bytes(len(content) - begin))
    assert open_store(tmp_path, KEY) is None
    assert build(tmp_path).data.tolist() == [0, 1, 2, 3, 4, 10, 11, 12]


def test_a_store_larger_than_memory_can_be_read(tmp_path):
    build(tmp_path)
    rows = 4 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    folder = tmp_path / KEY.name
    os.truncate(folder / "data.bin", rows * 2)  # sparse: it takes no room
    index = json.loads((folder / "index.json").read_text()) | {"shape": [rows], "shards": [rows]}
    (folder / "index.json").write_text(json.dumps(index))
    np.save(folder / "offsets.npy", np.array([0, 5, rows]))
    store = open_store(tmp_path, KEY)
    assert store.gather(torch.tensor([1, 0]), torch.tensor([rows - 10, 0]), torch.tensor([3, 3])).tolist() == [
        [0, 0, 0],
        [0, 1, 2],
    ]
