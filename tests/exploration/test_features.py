"""Features are librosa's own, and nothing that was computed is computed again."""

import csv

import librosa
import numpy as np
import pytest
import soundfile

from genre.data.catalogue import Track, read_folder
from genre.data.gtzan import read_gtzan
from genre.errors import SkipKind, UserError
from genre.exploration import features


@pytest.fixture
def clip(tmp_path):
    """Four seconds of stereo at 44.1 kHz: a beat of 120 a minute over a rising tone."""
    time = np.arange(4 * 44_100) / 44_100
    beat = np.random.default_rng(0).standard_normal(len(time)) * np.exp(-30 * (time % 0.5))
    tone = np.sin(2 * np.pi * (300 + 50 * time) * time)
    soundfile.write(tmp_path / "clip.wav", 0.2 * np.stack([beat + tone, tone], axis=1), 44_100)
    return Track("clip", ("rock",), tmp_path / "clip.wav")


def test_centroid_and_tempo_are_those_of_librosas_defaults(clip, tmp_path):
    samples, rate = librosa.load(clip.path)
    values = features.track_features(clip, [], tmp_path / "kept")
    centroid = librosa.feature.spectral_centroid(y=samples, sr=rate).mean()
    assert values["spectral_centroid_mean"] == pytest.approx(float(centroid), rel=1e-4)
    assert values["tempo"] == pytest.approx(float(librosa.beat.beat_track(y=samples, sr=rate)[0][0]), rel=1e-4)


def test_further_features_are_means_and_variances_of_each_row(clip, tmp_path):
    samples, rate = librosa.load(clip.path)
    values = features.track_features(clip, ["rms", "mfcc"], tmp_path / "kept")
    assert values["rms_mean"] == pytest.approx(librosa.feature.rms(y=samples).mean(), rel=1e-4)
    assert values["rms_var"] == pytest.approx(librosa.feature.rms(y=samples).var(), rel=1e-3)
    rows = librosa.feature.mfcc(y=samples, sr=rate)
    assert [values[f"mfcc{number}_mean"] for number in range(1, 21)] == pytest.approx(rows.mean(1), rel=1e-3, abs=1e-2)


def test_a_slice_of_a_file_is_measured_alone(clip, tmp_path):
    part = Track("part", ("rock",), clip.path, start=1.0, duration=2.0)
    samples, rate = librosa.load(clip.path, offset=1.0, duration=2.0)
    values = features.track_features(part, [], tmp_path / "kept")
    expected = librosa.feature.spectral_centroid(y=samples, sr=rate).mean()
    assert values["spectral_centroid_mean"] == pytest.approx(float(expected), rel=1e-4)


def test_every_feature_that_is_offered_gives_numbers(clip, tmp_path):
    values = features.track_features(clip, features.available(), tmp_path / "kept")
    assert len(values) > 2 * len(features.available())
    assert all(np.isfinite(value) for value in values.values())


def test_what_is_no_feature_is_named_beside_what_there_is():
    with pytest.raises(UserError, match=r"also=loudness is no feature of librosa\.feature; it has .*, rms, "):
        features.check_names(["rms", "loudness"])


@pytest.fixture
def counted(monkeypatch):
    """Count the tracks that are measured, whose mean alone is taken; None at one of them interrupts."""
    seen = []

    def document(samples):
        seen.append(len(samples))
        if counts["fail at"] == len(seen):
            raise KeyboardInterrupt
        return {"spectral_centroid_mean": float(samples.mean()), "tempo": 0.0}

    counts = {"fail at": 0, "seen": seen}
    monkeypatch.setattr(features, "document_features", document)
    return counts


def test_an_interrupted_run_goes_on_where_it_stopped(music, tmp_path, counted):
    tracks = read_folder(music).tracks
    counted["fail at"] = 20
    with pytest.raises(KeyboardInterrupt):
        features.feature_table(tracks, [], tmp_path)
    counted["fail at"] = 0
    values, bad = features.feature_table(tracks, [], tmp_path)
    assert (len(values), bad) == (30, {})
    assert len(counted["seen"]) == 30 + 1  # the one that was interrupted


def test_only_a_feature_that_is_not_known_yet_is_computed(clip, tmp_path, counted):
    for also in ([], ["rms"], ["rms", "zero_crossing_rate"], []):
        features.track_features(clip, also, tmp_path / "kept")
    assert len(counted["seen"]) == 1


def test_another_file_or_another_librosa_is_measured_anew(clip, tmp_path, counted, monkeypatch):
    features.track_features(clip, [], tmp_path / "kept")
    soundfile.write(clip.path, np.full(44_100, 0.1), 44_100)
    features.track_features(clip, [], tmp_path / "kept")
    monkeypatch.setattr(features, "version", lambda package: "1000.0")
    features.track_features(clip, [], tmp_path / "kept")
    assert counted["seen"] == [4 * 22_050, 22_050, 22_050]


def test_a_half_written_result_is_computed_again(clip, tmp_path, counted):
    features.track_features(clip, [], tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text(kept.read_text()[:10])
    assert isinstance(features.track_features(clip, [], tmp_path / "kept"), dict)


def test_a_file_that_went_bad_stops_nobody(music, tmp_path):
    gone = Track("gone", ("rock",), tmp_path / "gone.wav")
    values, bad = features.feature_table([*read_folder(music).tracks[:2], gone], [], tmp_path / "kept")
    assert len(values) == 2
    assert bad["gone"].kind is SkipKind.UNREADABLE


def test_a_hundred_real_tracks_have_the_features_that_others_computed(shared, tmp_path):
    with (shared / "gtzan_features_30_sec.csv").open(newline="") as file:
        theirs = {row["filename"].rsplit(".", 1)[0]: row for row in csv.DictReader(file)}
    ours, bad = features.feature_table(read_gtzan(shared / "gtzan_mini").tracks, [], tmp_path)
    assert (len(ours), bad) == (100, {})
    off = {
        name: [abs(values[column] / float(theirs[name][column]) - 1) for column in features.DOCUMENT]
        for name, values in ours.items()
    }
    assert sum(centroid < 0.001 and tempo < 0.005 for centroid, tempo in off.values()) >= 98
