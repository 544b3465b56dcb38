"""A store is whole or not there, and holds what it was made from and nothing else."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from genre.catalogue import read_folder, read_logmel
from genre.errors import Mistake
from genre.store import Key, build, first_store, open_store

RATE = 22_050
KEY = Key("waveform", {"sample_rate": RATE}, ["a", "b", "c"])
ITEMS = (np.arange(5, dtype=np.int16), "unreadable: no music", np.arange(10, 13, dtype=np.int16))


def made(folder, key=KEY, items=ITEMS):
    return build(folder, key, RATE, ["a", "b", "c"], iter(items), "making")


def test_tracks_lie_end_to_end_and_the_bad_ones_are_named(tmp_path):
    store = made(tmp_path)
    assert store.names == ["a", "c"]
    assert store.offsets.tolist() == [0, 5, 8]
    assert store.data.tolist() == [0, 1, 2, 3, 4, 10, 11, 12]
    assert store.skipped == {"b": "unreadable: no music"}


def test_a_span_beyond_a_track_is_silence_and_never_its_neighbour(tmp_path):
    spans = made(tmp_path).gather(torch.tensor([0, 1, 1]), torch.tensor([3, -2, 5]), torch.tensor([4, 6, 2]))
    assert spans.tolist() == [[3, 4, 0, 0, 0, 0], [0, 0, 10, 11, 12, 0], [0, 0, 0, 0, 0, 0]]


def test_it_is_made_once(tmp_path):
    made(tmp_path)

    def forbidden():
        raise AssertionError("made again")
        yield

    assert build(tmp_path, KEY, RATE, ["a", "b", "c"], forbidden(), "making").names == ["a", "c"]


@pytest.mark.parametrize(
    "other",
    [replace(KEY, stage="logmel"), replace(KEY, settings={"sample_rate": 1}), replace(KEY, inputs=["a", "b"])],
)
def test_whatever_goes_in_changes_its_place(tmp_path, other):
    made(tmp_path)
    assert open_store(tmp_path, other) is None


def test_one_broken_off_leaves_nothing_behind(tmp_path):
    def breaking():
        yield ITEMS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, items=breaking())
    assert os.listdir(tmp_path) == []


def test_two_at_once_both_end_well(tmp_path):
    threads = [threading.Thread(target=made, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == [KEY.name]
    assert made(tmp_path).names == ["a", "c"]


def test_nothing_usable_is_a_mistake_with_counts_by_reason(tmp_path):
    reasons = ["silent (peak under 0.0001)", "unreadable: one", "unreadable: two"]
    with pytest.raises(Mistake, match="none of 3 tracks can be used: 2 unreadable, 1 silent"):
        made(tmp_path, items=reasons)


def test_decoded_music_is_that_of_its_files(tmp_path, music):
    catalogue = read_folder(music)
    store = first_store(catalogue, RATE, tmp_path)
    expected, _ = soundfile.read(catalogue.tracks[3].path, dtype="int16")
    np.testing.assert_array_equal(store.data[store.offsets[3] : store.offsets[4]].numpy(), expected)


def test_a_changed_file_is_decoded_again(tmp_path, music):
    root = tmp_path / "music"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        soundfile.write(root / name / "x.wav", np.random.default_rng(0).standard_normal(2 * RATE) * 0.1, RATE)
    first = first_store(read_folder(root), RATE, tmp_path / "cache")
    soundfile.write(root / "a" / "x.wav", np.random.default_rng(1).standard_normal(3 * RATE) * 0.1, RATE)
    again = first_store(read_folder(root), RATE, tmp_path / "cache")
    assert (first.lengths(torch.tensor([0])), again.lengths(torch.tensor([0]))) == (2 * RATE, 3 * RATE)


def test_an_archive_becomes_columns_of_bands(tmp_path):
    mel = np.random.default_rng(0).integers(0, 256, (2, 4, 6)).astype(np.uint8)
    np.savez(tmp_path / "mel.npz", mel_u8=mel, track=np.array(["b", "a"]), genre=np.array(["rock", "pop"]))
    store = first_store(read_logmel(tmp_path / "mel.npz"), RATE, tmp_path / "cache")
    assert (store.stage, store.names) == ("logmel", ["a", "b"])
    np.testing.assert_array_equal(store.take(torch.tensor([1]))[0].numpy(), mel[0].T)


def test_an_archive_of_other_arrays_is_a_mistake(tmp_path):
    np.savez(tmp_path / "mel.npz", mel_u8=np.zeros((2, 4)), track=np.array(["b", "a"]), genre=np.array(["c", "d"]))
    with pytest.raises(Mistake, match="mel_u8 of float64"):
        first_store(read_logmel(tmp_path / "mel.npz"), RATE, tmp_path / "cache")
