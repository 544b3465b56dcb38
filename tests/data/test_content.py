"""Tracks are recognised by their files and by their samples."""

import hashlib

import numpy as np
import pytest
import soundfile

from genre.data.catalogue import read_csv, read_folder
from genre.data.content import Content, track_contents
from genre.data.sources import first_store

RATE = 22_050


def contents_of(catalogue, cache):
    return track_contents(catalogue, first_store(catalogue, RATE, cache), cache)


@pytest.fixture
def root(tmp_path):
    """Two tracks of 2 s."""
    for seed, name in enumerate(("blues", "rock")):
        (tmp_path / "music" / name).mkdir(parents=True)
        samples = np.random.default_rng(seed).integers(-20_000, 20_000, 2 * RATE, dtype=np.int16)
        soundfile.write(tmp_path / "music" / name / "a.wav", samples, RATE)
    return tmp_path / "music"


def test_the_hashes_are_those_of_the_file_and_of_its_samples(root, tmp_path):
    content = contents_of(read_folder(root), tmp_path / "cache")["blues/a.wav"]
    assert content.file == hashlib.sha256((root / "blues" / "a.wav").read_bytes()).hexdigest()
    samples, _ = soundfile.read(root / "blues" / "a.wav", dtype="int16")
    assert content.decoded == hashlib.sha256(samples.tobytes()).hexdigest()


@pytest.mark.parametrize("damage", [None, "", "[]", '{"blues/a.wav": 3}'])
def test_contents_are_cached_and_computed_again_if_the_cache_is_damaged(root, tmp_path, damage):
    catalogue, cache = read_folder(root), tmp_path / "cache"
    first = contents_of(catalogue, cache)
    (cached,) = cache.glob("content-*.json")
    if damage is not None:
        cached.write_text(damage)
    assert contents_of(catalogue, cache) == first


def test_slices_of_one_file_differ_in_both_hashes(root, tmp_path):
    (root / "songs.csv").write_text("path,genres,start,duration\nblues/a.wav,blues,0,1\nblues/a.wav,blues,1,1\n")
    one, other = contents_of(read_csv(root / "songs.csv"), tmp_path / "cache").values()
    assert one.file != other.file and one.decoded != other.decoded


@pytest.mark.parametrize(
    ("other", "equal"),
    [(Content("f", "x"), True), (Content("x", "d"), True), (Content("", "d"), True), (Content("x", "x"), False)],
)
def test_contents_are_equal_if_one_of_the_hashes_is(other, equal):
    assert Content("f", "d").equals(other) == equal


def test_tracks_without_a_file_are_equal_by_their_samples_only():
    assert not Content("", "d").equals(Content("", "x"))
