"""Every problem of a collection is reported under its kind, and good files are not."""

import numpy as np
import pytest
import soundfile

from genre.data.catalogue import Catalogue, Skipped, Track, read_folder
from genre.data.duplicates import Pair
from genre.data.sources import first_store
from genre.errors import SkipKind
from genre.exploration import findings
from helpers import write_song

RATE = 22_050


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Well below full scale: (samples,)."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


@pytest.fixture
def collection(tmp_path):
    """A folder with one good file and one of every kind of bad file."""
    root = tmp_path / "music"
    (root / "rock").mkdir(parents=True)
    soundfile.write(root / "rock" / "sound.wav", noise(), RATE)
    soundfile.write(root / "rock" / "clipped.wav", (8 * noise()).clip(-1, 1), RATE)
    soundfile.write(root / "rock" / "silent.wav", np.zeros(2 * RATE), RATE)
    soundfile.write(root / "rock" / "short.wav", noise(0.5), RATE)
    soundfile.write(root / "rock" / "flac.wav", noise(seed=1), RATE, format="FLAC")
    soundfile.write(root / "rock" / "wav.mp3", noise(seed=2), RATE, format="WAV")
    soundfile.write(root / "rock" / "audio.dat", noise(seed=3), RATE, format="OGG")
    soundfile.write(root / "rock" / "truncated.wav", noise(), RATE)
    whole = (root / "rock" / "truncated.wav").read_bytes()
    (root / "rock" / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (root / "rock" / "text.mp3").write_text("no music")
    (root / "rock" / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    return root


@pytest.fixture
def file_kinds(collection, tmp_path):
    """(kind, file) of every finding about a single file."""
    listed = read_folder(collection)
    catalogue = listed.without(first_store(listed, RATE, tmp_path / "cache").skipped)
    problems = findings.skipped_findings(catalogue) + findings.file_findings(
        catalogue.tracks, 1e-4, tmp_path / "results"
    )
    return {(finding.kind, finding.track.rsplit("/", 1)[-1]) for finding in problems}


def test_every_bad_file_is_reported_under_its_kind_and_no_other(file_kinds):
    assert file_kinds == {
        ("clipped", "clipped.wav"),
        ("silent", "silent.wav"),
        ("too short", "short.wav"),
        ("truncated", "truncated.wav"),
        ("unreadable", "text.mp3"),
        ("wrong extension", "flac.wav"),
        ("wrong extension", "wav.mp3"),
        ("wrong extension", "audio.dat"),
    }


@pytest.mark.parametrize(
    "name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.oga", "a.au", "a.aiff", "a.aif", "a.w64", "a.caf"]
)
def test_the_usual_extensions_of_a_format_are_accepted(tmp_path, name):
    formats = {".oga": "OGG", ".aif": "AIFF"}
    path = tmp_path / name
    soundfile.write(path, noise(), RATE, format=formats.get(path.suffix))
    assert findings.file_findings([Track("a", ("rock",), path)], 1e-4, tmp_path / "results") == []


@pytest.mark.parametrize(("gain", "kinds"), [(1, []), (8, ["clipped"])])
def test_files_that_ffmpeg_decodes_are_examined_too(tmp_path, gain, kinds):
    song = write_song(tmp_path / "a.m4a", gain=gain)
    found = findings.file_findings([Track("a", ("rock",), song)], 1e-4, tmp_path / "results")
    assert [finding.kind for finding in found] == kinds


def test_one_or_two_samples_at_full_scale_are_not_clipping():
    samples = np.zeros((1000, 2), np.float32)
    samples[[10, 11, 20], 0] = 1.0
    assert findings.clipped_share(samples) == 0


def test_all_samples_of_runs_of_three_count_per_channel():
    samples = np.zeros((1000, 2), np.float32)
    samples[10:13, 0] = 1.0
    samples[-5:, 1] = -1.0
    samples[500:502] = 1.0
    assert findings.clipped_share(samples) == pytest.approx((3 + 5) / 2000)


def test_clipping_is_reported_above_the_given_share(collection, tmp_path):
    track = Track("clipped", ("rock",), collection / "rock" / "clipped.wav")
    (finding,) = findings.file_findings([track], 1e-4, tmp_path / "results")
    assert finding.value > 0.01
    assert findings.file_findings([track], 0.9, tmp_path / "results") == []


def test_tracks_much_shorter_than_the_view_are_reported(collection, tmp_path):
    found = read_folder(collection)
    store = first_store(found, RATE, tmp_path / "cache")
    assert findings.length_findings(store, 2.1) == []
    shorter = findings.length_findings(store, 30.0)
    assert [finding.track for finding in shorter] == store.names
    assert shorter[0].detail == "2.0 s of 30 s"


def test_duplicates_with_different_genres_have_them_in_the_detail():
    tracks = (Track("a", ("metal",)), Track("b", ("rock",)), Track("c", ("rock",)))
    pairs = [Pair("a", "b", 1.0, 0.0, exact=True), Pair("b", "c", 0.8, -5.0)]
    one, other = findings.duplicate_findings(pairs, Catalogue(tracks))
    assert (one.kind, one.detail) == ("exact duplicate", "their genres differ: metal and rock")
    assert (other.kind, other.correlation, other.shift, other.detail) == ("near duplicate", 0.8, -5.0, "")


def test_artists_in_several_genres_are_reported_and_tracks_without_artist_are_not():
    tracks = [Track(f"{n}", ("rock" if n else "metal", "pop"), artist="Queen") for n in range(3)]
    tracks += [Track("x", ("rock",), artist="Dio"), Track("y", ("rock",)), Track("z", ("jazz",))]
    (finding,) = findings.artist_findings(Catalogue(tuple(tracks)))
    assert (finding.track, finding.value, finding.detail) == ("Queen", 2, "rock 2, metal 1")


def test_genres_with_few_tracks_are_reported_also_if_never_primary():
    tracks = (*(Track(f"{n}", ("rock", "pop")) for n in range(5)), Track("x", ("jazz",)))
    few = findings.genre_findings(Catalogue(tracks), few=5)
    assert [(finding.track, finding.value) for finding in few] == [("jazz", 1), ("pop", 0)]


def test_rows_of_a_catalogue_without_a_file_are_not_reported():
    skipped = (
        Skipped("blues.00001", SkipKind.NOT_IN_DATA, "in the catalogue only"),
        Skipped("x.csv:3", SkipKind.INVALID_ROW, "no genre"),
    )
    assert findings.skipped_findings(Catalogue((), skipped)) == []
