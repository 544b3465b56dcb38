"""The same recording is found again whatever was done to it, and other music is not taken for it."""

import csv

import numpy as np
import pytest
import soundfile
import torch

from genre.data.catalogue import Track, build_catalogue, read_logmel
from genre.data.duplicates import Pair, correlated_pairs, duplicate_groups, find_duplicates
from genre.data.sources import first_store

RATE = 22_050


def song(seed: int, seconds: float = 20.0) -> np.ndarray:
    """A melody of its own over noise: (samples,) in [-1, 1]."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(0.2 * RATE)) / RATE
    pitches = 110 * 2 ** (generator.integers(0, 48, round(seconds / 0.2)) / 12)
    notes = [np.sin(2 * np.pi * pitch * time) * np.exp(-6 * time) for pitch in pitches]
    return 0.5 * np.concatenate(notes) + 0.001 * generator.standard_normal(len(time) * len(notes))


@pytest.fixture
def found(tmp_path):
    """Write named recordings and find the pairs among them."""

    def write(**options):
        return lambda recordings: find_duplicates(stored(recordings), tmp_path / "cache", **options)

    def stored(recordings):
        for name, samples in recordings.items():
            soundfile.write(tmp_path / name, samples, RATE)
        tracks = [Track(name, ("rock",), tmp_path / name) for name in recordings]
        return first_store(build_catalogue(tracks), RATE, tmp_path / "cache")

    return write


def test_copies_in_another_container_are_exact(found):
    samples = (32767 * song(0)).astype(np.int16)
    (pair,) = found()({"a.wav": samples, "b.flac": samples, "c.wav": song(1)})
    assert (pair.one, pair.other, pair.exact, pair.correlation, pair.shift) == ("a.wav", "b.flac", True, 1, 0)


@pytest.mark.parametrize("ending", ["mp3", "ogg"])
def test_a_lossy_copy_is_near(found, ending):
    (pair,) = found()({"a.wav": song(0), f"b.{ending}": song(0), "c.wav": song(1)})
    assert not pair.exact and pair.correlation > 0.9 and abs(pair.shift) < 0.2


@pytest.mark.parametrize("seconds", [5.0, -5.0])
def test_an_excerpt_shifted_by_5_s_is_near_and_its_shift_is_told(found, seconds):
    whole = song(0, 30)
    early, late = whole[: 20 * RATE], whole[5 * RATE : 25 * RATE]
    one, other = (late, early) if seconds > 0 else (early, late)
    (pair,) = found()({"a.wav": one, "b.wav": other, "c.wav": song(1)})
    assert pair.correlation > 0.85
    assert pair.shift == pytest.approx(seconds, abs=0.1)  # b plays it so much later


def test_the_shift_of_long_tracks_counts_from_their_beginnings(found):
    whole = song(0, 60)
    (pair,) = found()({"a.wav": whole, "b.wav": whole[12 * RATE :]})
    assert pair.shift == pytest.approx(-12, abs=0.1)


def test_a_quieter_copy_is_near(found):
    (pair,) = found()({"a.wav": song(0), "b.wav": 0.3 * song(0)})
    assert pair.correlation > 0.99


def test_a_short_track_within_another_is_near(found):
    (pair,) = found()({"jingle.wav": song(0)[8 * RATE : 13 * RATE], "long.wav": song(0), "other.wav": song(1)})
    assert (pair.one, pair.other) == ("jingle.wav", "long.wav")
    assert pair.shift == pytest.approx(8, abs=0.1)


def test_other_music_is_not_taken_for_the_same_nor_is_the_silence_behind_short_tracks(found):
    assert found()({f"{seed}.wav": song(seed, 4 + seed) for seed in range(12)}) == []


def test_what_counts_is_for_the_user_to_say(found):
    whole = song(0, 30)
    recordings = {"a.wav": whole[: 20 * RATE], "b.wav": whole[8 * RATE : 28 * RATE]}
    assert found(overlap=15.0)(recordings) == []
    assert len(found(overlap=10.0)(recordings)) == 1
    assert found(correlation=0.9999)(recordings) == []


def test_the_correlation_is_that_of_the_overlap_where_both_sound():
    generator = torch.Generator().manual_seed(0)
    prints = torch.randn(2, 3, 50, generator=generator)
    sounding = torch.ones(2, 50)
    sounding[1, 40:] = 0
    prints[1, :, 5:40] = prints[0, :, :35] + 0.3 * torch.randn(3, 35, generator=generator)
    prints *= sounding[:, None]
    ((one, other, value, shift),) = correlated_pairs(prints, sounding, torch.tensor([20.0, 20.0]), 0.5)
    a, b = prints[0, :, :35].flatten(), prints[1, :, 5:40].flatten()
    assert (one, other, shift) == (0, 1, 5)
    assert value == pytest.approx(float(a @ b / (a.norm() * b.norm())), abs=1e-5)


def test_pairs_chain_into_groups():
    pairs = [Pair("a", "b", 1, 0), Pair("d", "e", 1, 0), Pair("b", "c", 1, 0)]
    assert duplicate_groups(pairs) == [["a", "b", "c"], ["d", "e"]]


def test_the_known_replicas_of_gtzan_are_found_and_hardly_anything_else(shared, cache):
    catalogue = read_logmel(shared / "gtzan_logmel_dev.npz", shared / "gtzan_tracks.csv")
    tracks = {track.name: track for track in catalogue.tracks}
    with (shared / "gtzan_duplicates.csv").open(newline="") as file:
        named = [{row["a"].split("/")[1], row["b"].split("/")[1]} for row in csv.DictReader(file)]
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


def test_real_excerpts_are_found_in_altered_copies_and_nowhere_else(shared, tmp_path):
    tracks = []
    for place, path in enumerate(sorted((shared / "gtzan_mini").rglob("*.wav"))[::5]):
        samples, rate = soundfile.read(path)
        late, quiet = tmp_path / f"{path.stem}.mp3", tmp_path / f"{path.stem}.flac"
        soundfile.write(late, samples[5 * rate :], rate) if place % 2 else soundfile.write(quiet, samples / 3, rate)
        tracks += [Track(path.stem, ("x",), path), Track(f"{path.stem} copy", ("x",), late if place % 2 else quiet)]
    pairs = find_duplicates(first_store(build_catalogue(tracks), RATE, tmp_path / "cache"), tmp_path / "cache")
    assert {(pair.one, pair.other) for pair in pairs} == {(t.name, f"{t.name} copy") for t in tracks[::2]}
    assert sorted({round(pair.shift) for pair in pairs}) == [-5, 0]
