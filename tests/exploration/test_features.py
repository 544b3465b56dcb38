"""Features equal librosa's, and cached results are not computed again."""

import librosa
import numpy as np
import pytest
import soundfile

from genre.data.catalogue import Track, read_folder
from genre.data.gtzan import read_gtzan
from genre.errors import SkipKind, UserError
from genre.exploration import features
from helpers import csv_rows

pytestmark = pytest.mark.usefixtures("compiled_librosa")


@pytest.fixture
def clip(tmp_path):
    """Four seconds of stereo at 44.1 kHz: a beat of 120 per minute over a rising tone."""
    time = np.arange(4 * 44_100) / 44_100
    beat = np.random.default_rng(0).standard_normal(len(time)) * np.exp(-30 * (time % 0.5))
    tone = np.sin(2 * np.pi * (300 + 50 * time) * time)
    soundfile.write(tmp_path / "clip.wav", 0.2 * np.stack([beat + tone, tone], axis=1), 44_100)
    return Track("clip", ("rock",), tmp_path / "clip.wav")


def test_centroid_and_tempo_equal_librosas_with_default_settings(clip, tmp_path):
    samples, rate = librosa.load(clip.path)
    values = features.track_features(clip, [], tmp_path / "results")
    centroid = librosa.feature.spectral_centroid(y=samples, sr=rate).mean()
    assert values["spectral_centroid_mean"] == pytest.approx(float(centroid), rel=1e-4)
    assert values["tempo"] == pytest.approx(float(librosa.beat.beat_track(y=samples, sr=rate)[0][0]), rel=1e-4)


def test_further_features_are_means_and_variances_of_each_row(clip, tmp_path):
    samples, rate = librosa.load(clip.path)
    values = features.track_features(clip, ["rms", "mfcc"], tmp_path / "results")
    assert values["rms_mean"] == pytest.approx(librosa.feature.rms(y=samples).mean(), rel=1e-4)
    assert values["rms_var"] == pytest.approx(librosa.feature.rms(y=samples).var(), rel=1e-3)
    rows = librosa.feature.mfcc(y=samples, sr=rate)
    assert [values[f"mfcc{number}_mean"] for number in range(1, 21)] == pytest.approx(rows.mean(1), rel=1e-3, abs=1e-2)


def test_features_of_a_slice_use_the_slice_only(clip, tmp_path):
    part = Track("part", ("rock",), clip.path, start=1.0, duration=2.0)
    samples, rate = librosa.load(clip.path, offset=1.0, duration=2.0)
    values = features.track_features(part, [], tmp_path / "results")
    expected = librosa.feature.spectral_centroid(y=samples, sr=rate).mean()
    assert values["spectral_centroid_mean"] == pytest.approx(float(expected), rel=1e-4)


def test_every_available_feature_gives_finite_numbers(clip, tmp_path):
    values = features.track_features(clip, features.available(), tmp_path / "results")
    assert len(values) > 2 * len(features.available())
    assert all(np.isfinite(value) for value in values.values())


def test_an_unknown_feature_is_a_user_error_that_lists_the_available_ones():
    with pytest.raises(UserError, match=r"also=loudness is not in librosa\.feature; choose from .*, rms, "):
        features.check_names(["rms", "loudness"])


@pytest.fixture
def counted(monkeypatch):
    """Replace the paper's features by the mean, record the length of each call, and interrupt at a given call."""
    lengths = []

    def document(samples):
        lengths.append(len(samples))
        if counts["fail at"] == len(lengths):
            raise KeyboardInterrupt
        return {"spectral_centroid_mean": float(samples.mean()), "tempo": 0.0}

    counts = {"fail at": 0, "lengths": lengths}
    monkeypatch.setattr(features, "document_features", document)
    return counts


def test_an_interrupted_run_resumes_where_it_stopped(music, tmp_path, counted):
    tracks = read_folder(music).tracks
    counted["fail at"] = 20
    with pytest.raises(KeyboardInterrupt):
        features.feature_table(tracks, [], tmp_path)
    counted["fail at"] = 0
    values, bad = features.feature_table(tracks, [], tmp_path)
    assert (len(values), bad) == (30, {})
    assert len(counted["lengths"]) == 30 + 1  # the interrupted one


def test_only_missing_features_are_computed(clip, tmp_path, counted):
    for also in ([], ["rms"], ["rms", "zero_crossing_rate"], []):
        features.track_features(clip, also, tmp_path / "results")
    assert len(counted["lengths"]) == 1


def test_a_changed_file_or_librosa_version_is_computed_again(clip, tmp_path, counted, monkeypatch):
    features.track_features(clip, [], tmp_path / "results")
    soundfile.write(clip.path, np.full(44_100, 0.1), 44_100)
    features.track_features(clip, [], tmp_path / "results")
    monkeypatch.setattr(features, "version", lambda package: "1000.0")
    features.track_features(clip, [], tmp_path / "results")
    assert counted["lengths"] == [4 * 22_050, 22_050, 22_050]


def test_a_truncated_result_is_computed_again(clip, tmp_path, counted):
    first = features.track_features(clip, [], tmp_path / "results")
    (result,) = (tmp_path / "results").iterdir()
    result.write_text(result.read_text()[:10])
    assert features.track_features(clip, [], tmp_path / "results") == first
    assert len(counted["lengths"]) == 2


def test_a_missing_file_is_reported_and_the_others_are_computed(music, tmp_path):
    gone = Track("gone", ("rock",), tmp_path / "gone.wav")
    values, bad = features.feature_table([*read_folder(music).tracks[:2], gone], [], tmp_path / "results")
    assert len(values) == 2
    assert bad["gone"].kind is SkipKind.NOT_READ


@pytest.mark.slow
def test_features_of_100_real_tracks_equal_the_published_ones(shared, tmp_path):
    theirs = {row["filename"].rsplit(".", 1)[0]: row for row in csv_rows(shared / "gtzan_features_30_sec.csv")}
    ours, bad = features.feature_table(read_gtzan(shared / "gtzan_mini").tracks, [], tmp_path)
    assert (len(ours), bad) == (100, {})
    off = {
        name: [abs(values[column] / float(theirs[name][column]) - 1) for column in features.PAPER_FEATURES]
        for name, values in ours.items()
    }
    assert sum(centroid < 0.001 and tempo < 0.005 for centroid, tempo in off.values()) >= 98
