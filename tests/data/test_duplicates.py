"""Duplicates are found after conversion, shifts and changes of level; different music is not reported."""

import os

import numpy as np
import pytest
import soundfile
import torch

from benchmarks import duplicates as large_collection
from genre.data import duplicates
from genre.data.catalogue import Track, build_catalogue, read_logmel
from genre.data.duplicates import (
    Pair,
    cached_duplicates,
    comparison_log_mels,
    correlated_pairs,
    duplicate_groups,
    find_duplicates,
    similar_tracks_between,
)
from genre.data.sources import first_store
from genre.data.store import Key, Store
from helpers import csv_rows

RATE = 22_050


def song(seed: int, seconds: float = 20.0) -> np.ndarray:
    """A random melody with noise: (samples,) in [-1, 1]."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(0.2 * RATE)) / RATE
    pitches = 110 * 2 ** (generator.integers(0, 48, round(seconds / 0.2)) / 12)
    notes = [np.sin(2 * np.pi * pitch * time) * np.exp(-6 * time) for pitch in pitches]
    return 0.5 * np.concatenate(notes) + 0.001 * generator.standard_normal(len(time) * len(notes))


@pytest.fixture
def found(stored, tmp_path):
    """Write named recordings and find the pairs among them."""

    return lambda **options: lambda recordings: find_duplicates(stored(recordings), tmp_path / "cache", **options)


@pytest.fixture
def stored(tmp_path):
    """Write named recordings and open their first store."""

    def write(recordings):
        for name, samples in recordings.items():
            soundfile.write(tmp_path / name, samples, RATE)
        tracks = [Track(name, ("rock",), tmp_path / name) for name in recordings]
        return first_store(build_catalogue(tracks), RATE, tmp_path / "cache")

    return write


def test_a_copy_in_another_container_is_an_exact_duplicate(found):
    samples = (32767 * song(0)).astype(np.int16)
    (pair,) = found()({"a.wav": samples, "b.flac": samples, "c.wav": song(1)})
    assert (pair.one, pair.other, pair.exact, pair.correlation, pair.shift) == ("a.wav", "b.flac", True, 1, 0)


@pytest.mark.parametrize("ending", ["mp3", "ogg"])
def test_a_lossy_copy_is_a_near_duplicate(found, ending):
    (pair,) = found()({"a.wav": song(0), f"b.{ending}": song(0), "c.wav": song(1)})
    assert not pair.exact and pair.correlation > 0.9 and abs(pair.shift) < 0.2


@pytest.mark.parametrize("seconds", [5.0, -5.0])
def test_an_excerpt_shifted_by_5_s_is_a_near_duplicate_with_its_shift(found, seconds):
    whole = song(0, 30)
    early, late = whole[: 20 * RATE], whole[5 * RATE : 25 * RATE]
    one, other = (late, early) if seconds > 0 else (early, late)
    (pair,) = found()({"a.wav": one, "b.wav": other, "c.wav": song(1)})
    assert pair.correlation > 0.85
    assert pair.shift == pytest.approx(seconds, abs=0.1)  # the delay of b


def test_the_shift_of_long_tracks_is_relative_to_their_beginnings(found):
    whole = song(0, 60)
    (pair,) = found()({"a.wav": whole, "b.wav": whole[12 * RATE :]})
    assert pair.shift == pytest.approx(-12, abs=0.1)


def test_a_quieter_copy_is_a_near_duplicate(found):
    (pair,) = found()({"a.wav": song(0), "b.wav": 0.3 * song(0)})
    assert pair.correlation > 0.99


def test_a_short_track_contained_in_another_is_a_near_duplicate(found):
    (pair,) = found()({"jingle.wav": song(0)[8 * RATE : 13 * RATE], "long.wav": song(0), "other.wav": song(1)})
    assert (pair.one, pair.other) == ("jingle.wav", "long.wav")
    assert pair.shift == pytest.approx(8, abs=0.1)


def test_different_music_and_silent_padding_give_no_pairs(found):
    assert found()({f"{seed}.wav": song(seed, 4 + seed) for seed in range(12)}) == []


def test_correlation_and_overlap_set_the_limits(found):
    whole = song(0, 30)
    recordings = {"a.wav": whole[: 20 * RATE], "b.wav": whole[8 * RATE : 28 * RATE]}
    assert found(overlap=15.0)(recordings) == []
    assert len(found(overlap=10.0)(recordings)) == 1
    assert found(correlation=0.9999)(recordings) == []


def test_the_correlation_is_computed_over_the_audible_overlap():
    generator = torch.Generator().manual_seed(0)
    prints = torch.randn(2, 3, 50, generator=generator)
    audible = torch.ones(2, 50)
    audible[1, 40:] = 0
    prints[1, :, 5:40] = prints[0, :, :35] + 0.3 * torch.randn(3, 35, generator=generator)
    prints *= audible[:, None]
    ((one, other, value, shift),) = correlated_pairs(prints, audible, torch.tensor([20.0, 20.0]), 0.5)
    a, b = prints[0, :, :35].flatten(), prints[1, :, 5:40].flatten()
    assert (one, other, shift) == (0, 1, 5)
    assert value == pytest.approx(float(a @ b / (a.norm() * b.norm())), abs=1e-5)


def test_pairs_connect_into_groups():
    pairs = [Pair("c", "b", 1, 0), Pair("d", "e", 1, 0), Pair("f", "a", 1, 0), Pair("b", "a", 1, 0)]
    assert duplicate_groups(pairs) == [["a", "b", "c", "f"], ["d", "e"]]


def test_no_pairs_give_no_groups():
    assert duplicate_groups([]) == []


@pytest.mark.slow
def test_known_duplicates_of_gtzan_are_found_with_at_most_3_others(shared, cache):
    catalogue = read_logmel(shared / "gtzan_logmel_dev.npz", shared / "gtzan_tracks.csv")
    tracks = {track.name: track for track in catalogue.tracks}
    named = [{row["a"].split("/")[1], row["b"].split("/")[1]} for row in csv_rows(shared / "gtzan_duplicates.csv")]
    known = [pair for pair in named if pair <= tracks.keys()]
    pairs = [{pair.one, pair.other} for pair in find_duplicates(first_store(catalogue, RATE, cache), cache)]
    assert len(known) == 24
    assert sum(pair in pairs for pair in known) >= 22
    further = [sorted(pair) for pair in pairs if pair not in known]
    differing = [
        (one, other)
        for one, other in further
        if (tracks[one].artist, tracks[one].extra["title"]) != (tracks[other].artist, tracks[other].extra["title"])
    ]
    assert len(differing) <= 3


@pytest.fixture
def small_collections_are_large(monkeypatch):
    """Let the index be used for any number of tracks."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(duplicates, "COMPARED_WITH_ALL", 0)


@pytest.mark.slow
def test_the_index_finds_in_gtzan_what_the_correlation_of_all_pairs_finds(shared, cache, monkeypatch):
    pytest.importorskip("faiss")
    catalogue = read_logmel(shared / "gtzan_logmel_dev.npz", shared / "gtzan_tracks.csv")
    store = first_store(catalogue, RATE, cache)
    everything = find_duplicates(store, cache)
    monkeypatch.setattr(duplicates, "COMPARED_WITH_ALL", 0)
    indexed = find_duplicates(store, cache)
    assert len(indexed) == len(everything) >= 40
    for one, other in zip(indexed, everything, strict=True):
        assert (one.one, one.other, one.shift, one.exact) == (other.one, other.other, other.shift, other.exact)
        assert one.correlation == pytest.approx(other.correlation, abs=1e-5)


def test_the_index_finds_shifted_quieter_lossy_and_short_copies(found, small_collections_are_large):
    recordings = {f"{seed}.wav": song(seed) for seed in range(8)}
    recordings |= {"0.mp3": song(0), "1.flac": 0.3 * song(1), "3.flac": song(3)[round(7.3 * RATE) :]}
    recordings["jingle.wav"] = song(2)[8 * RATE : 14 * RATE]
    pairs = {(pair.one, pair.other): round(pair.shift, 1) for pair in found()(recordings)}
    assert pairs.keys() == {("0.mp3", "0.wav"), ("1.flac", "1.wav"), ("3.flac", "3.wav"), ("2.wav", "jingle.wav")}
    assert pairs["3.flac", "3.wav"] == pytest.approx(7.3, abs=0.1)


def test_the_index_finds_nothing_in_different_music(found, small_collections_are_large):
    assert found()({f"{seed}.wav": song(seed, 4 + seed) for seed in range(12)}) == []


def test_planted_copies_are_found_by_the_index_as_by_correlation():
    """At least 95 % of copies that share 10 s or more, shifted and with noise."""
    pytest.importorskip("faiss")
    measured = large_collection.measure_size(400)
    assert measured["copies"] >= 20 and measured["recall"] >= 0.95


def test_a_large_collection_without_the_index_is_told_what_to_install(found, monkeypatch, caplog):
    monkeypatch.setattr(duplicates, "COMPARED_WITH_ALL", 0)
    monkeypatch.setattr(duplicates, "find_spec", lambda name: None)
    assert len(found()({"a.wav": song(0), "b.wav": 0.3 * song(0), "c.wav": song(1)})) == 1
    assert 'pip install "genre[large]"' in caplog.text


@pytest.mark.slow
def test_real_excerpts_are_found_in_altered_copies_only(shared, tmp_path):
    tracks = []
    for index, path in enumerate(sorted((shared / "gtzan_mini").rglob("*.wav"))[::5]):
        samples, rate = soundfile.read(path)
        shifted, quiet = tmp_path / f"{path.stem}.mp3", tmp_path / f"{path.stem}.flac"
        soundfile.write(shifted, samples[5 * rate :], rate) if index % 2 else soundfile.write(quiet, samples / 3, rate)
        tracks += [Track(path.stem, ("x",), path), Track(f"{path.stem} copy", ("x",), shifted if index % 2 else quiet)]
    pairs = find_duplicates(first_store(build_catalogue(tracks), RATE, tmp_path / "cache"), tmp_path / "cache")
    assert {(pair.one, pair.other) for pair in pairs} == {(t.name, f"{t.name} copy") for t in tracks[::2]}
    assert sorted({round(pair.shift) for pair in pairs}) == [-5, 0]


@pytest.fixture
def searched(monkeypatch):
    """The number of searches for the one pair of a store."""
    counts = []
    monkeypatch.setattr(duplicates, "find_duplicates", lambda *_: counts.append(1) or [Pair("a", "b", 0.9, 1.5)])
    return counts


STORE = Store(Key("logmel", {}, []), ["a", "b"], 1.0, torch.tensor([0, 1, 2]), torch.zeros(2, 1))


def test_duplicates_are_searched_once(tmp_path, searched):
    for _ in range(2):
        assert cached_duplicates(STORE, tmp_path) == [Pair("a", "b", 0.9, 1.5)]
    assert len(searched) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pairs": [[1]]}', '{"pairs": 5}', "\0\0", '{"pairs": [5]}'])
def test_a_damaged_file_of_duplicates_is_told_and_written_again(tmp_path, searched, caplog, content):
    cached_duplicates(STORE, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    for _ in range(2):
        assert cached_duplicates(STORE, tmp_path) == [Pair("a", "b", 0.9, 1.5)]
    assert len(searched) == 2
    assert f"{path} is damaged; duplicates are searched again" in caplog.text


def test_a_cache_that_cannot_be_written_to_costs_a_search_per_start(tmp_path, searched, monkeypatch, caplog):
    def refuse(*paths):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("os.replace", refuse)
    assert cached_duplicates(STORE, tmp_path) == [Pair("a", "b", 0.9, 1.5)]
    assert "(Read-only file system): duplicates will be searched again" in caplog.text


def test_near_duplicates_between_two_collections_are_found_and_those_within_one_are_not(stored, tmp_path):
    one = stored({"a.wav": song(0), "b.wav": song(1), "again.wav": 0.9 * song(1)})
    other = stored({"x.mp3": song(0, 30)[5 * RATE :], "y.wav": song(2, 5), "z.wav": song(2, 5)})
    log_mels = (comparison_log_mels(store, tmp_path / "cache", 30.0)[0] for store in (one, other))
    (pair,) = similar_tracks_between(*log_mels)
    assert (pair.one, pair.other) == ("a.wav", "x.mp3") and pair.correlation > 0.85
