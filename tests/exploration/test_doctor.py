"""Everything planted in a collection is found, each under its kind, and sound music is left in peace."""

import numpy as np
import pytest
import soundfile

from genre.data.catalogue import Catalogue, Skipped, Track, read_folder
from genre.data.duplicates import Pair
from genre.data.sources import first_store
from genre.errors import SkipKind
from genre.exploration import doctor

RATE = 22_050


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Well below full scale: (samples,)."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


@pytest.fixture
def collection(tmp_path):
    """A folder with one sound track and one of every kind of bad file."""
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
def findings(collection, tmp_path):
    """(kind, file) of all that is found in single files."""
    listed = read_folder(collection)
    found = listed.without(first_store(listed, RATE, tmp_path / "cache").skipped)
    all_of_them = doctor.skipped_findings(found) + doctor.file_findings(found.tracks, 1e-4, tmp_path / "kept")
    return {(finding.kind, finding.track.rsplit("/", 1)[-1]) for finding in all_of_them}


def test_every_bad_file_is_found_under_its_kind_and_no_other(findings):
    assert findings == {
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
def test_the_usual_endings_of_a_format_are_right(tmp_path, name):
    formats = {".oga": "OGG", ".aif": "AIFF"}
    path = tmp_path / name
    soundfile.write(path, noise(), RATE, format=formats.get(path.suffix))
    assert doctor.file_findings([Track("a", ("rock",), path)], 1e-4, tmp_path / "kept") == []


def test_one_or_two_samples_at_full_scale_are_not_clipping():
    samples = np.zeros((1000, 2), np.float32)
    samples[[10, 11, 20], 0] = 1.0
    assert doctor.clipped_share(samples) == 0


def test_runs_of_three_are_counted_whole_and_by_channel():
    samples = np.zeros((1000, 2), np.float32)
    samples[10:13, 0] = 1.0
    samples[-5:, 1] = -1.0
    samples[500:502] = 1.0
    assert doctor.clipped_share(samples) == pytest.approx((3 + 5) / 2000)


def test_the_limit_of_clipping_is_for_the_user_to_say(collection, tmp_path):
    track = Track("clipped", ("rock",), collection / "rock" / "clipped.wav")
    (finding,) = doctor.file_findings([track], 1e-4, tmp_path / "kept")
    assert finding.value > 0.01
    assert doctor.file_findings([track], 0.9, tmp_path / "kept") == []


def test_tracks_much_shorter_than_the_view_are_told(collection, tmp_path):
    found = read_folder(collection)
    store = first_store(found, RATE, tmp_path / "cache")
    assert doctor.length_findings(store, 2.1) == []
    told = doctor.length_findings(store, 30.0)
    assert [finding.track for finding in told] == store.names
    assert told[0].detail == "2.0 s of 30 s"


def test_copies_that_are_said_to_be_of_different_genres_are_pointed_out():
    tracks = (Track("a", ("metal",)), Track("b", ("rock",)), Track("c", ("rock",)))
    pairs = [Pair("a", "b", 1.0, 0.0, exact=True), Pair("b", "c", 0.8, -5.0)]
    one, other = doctor.duplicate_findings(pairs, Catalogue(tracks))
    assert (one.kind, one.detail) == ("exact duplicate", "their genres differ: metal and rock")
    assert (other.kind, other.correlation, other.shift, other.detail) == ("near duplicate", 0.8, -5.0, "")


def test_artists_in_several_genres_are_told_and_unknown_ones_are_not_one_artist():
    tracks = [Track(f"{n}", ("rock" if n else "metal", "pop"), artist="Queen") for n in range(3)]
    tracks += [Track("x", ("rock",), artist="Dio"), Track("y", ("rock",)), Track("z", ("jazz",))]
    (finding,) = doctor.artist_findings(Catalogue(tuple(tracks)))
    assert (finding.track, finding.value, finding.detail) == ("Queen", 2, "rock 2, metal 1")


def test_genres_with_few_tracks_are_told_also_those_that_are_never_the_first():
    tracks = (*(Track(f"{n}", ("rock", "pop")) for n in range(5)), Track("x", ("jazz",)))
    told = doctor.genre_findings(Catalogue(tracks), few=5)
    assert [(finding.track, finding.value) for finding in told] == [("jazz", 1), ("pop", 0)]


def test_rows_of_a_catalogue_without_a_file_are_no_bad_files():
    skipped = (
        Skipped("blues.00001", SkipKind.NOT_IN_DATA, "in the catalogue only"),
        Skipped("x.csv:3", SkipKind.INVALID_ROW, "no genre"),
    )
    assert doctor.skipped_findings(Catalogue((), skipped)) == []
