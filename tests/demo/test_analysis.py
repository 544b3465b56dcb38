"""Grad-CAM over a song is that of its windows, one behind the other; images stay small however long a song is."""

import librosa
import numpy as np
import pytest
import torch

import genre
from genre.demo import analysis
from genre.demo.analysis import (
    Candidate,
    evidence,
    model_notes,
    uncertainty_notes,
    waveform_peaks,
    whole_log_mel,
    window_pictures,
)
from genre.evaluation.gradcam import grad_cam
from genre.models.postprocessing import PostProcessing
from genre.prediction.prediction import Prediction

RATE = 22_050


def noise(seconds, seed=0):
    return 0.1 * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_evidence_is_the_map_of_each_window(candidate):
    song = noise(3)
    found = torch.from_numpy(evidence(candidate, song, "jazz"))
    pictures = window_pictures(candidate.model, song, torch.tensor([0, RATE, 2 * RATE]), RATE)
    index = torch.full((3,), candidate.model.genres.index("jazz"))
    maps = grad_cam(candidate.model.network, candidate.layer, pictures, index)
    torch.testing.assert_close(found, torch.cat(list(maps), dim=1))


def test_the_last_window_ends_with_the_song(candidate):
    size = candidate.model.spectrogram.size
    assert evidence(candidate, noise(2.5), "jazz").shape == (size, round(2.5 * size))


def test_a_song_shorter_than_a_window_has_the_part_of_the_map_that_it_fills(candidate):
    song = noise(0.5)
    padded = torch.cat([song, torch.zeros(RATE - len(song))])
    size = candidate.model.spectrogram.size
    found, whole = evidence(candidate, song, "jazz"), evidence(candidate, padded, "jazz")
    assert found.shape == (size, size // 2)
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(whole[:, : size // 2]))


def test_images_of_a_long_song_are_no_wider_than_a_screen(candidate, monkeypatch):
    monkeypatch.setattr(analysis, "WIDEST", 100)
    assert whole_log_mel(candidate.model, noise(5)).shape == (128, 100)
    assert evidence(candidate, noise(5), "jazz").shape[1] == 100


def test_the_loudest_samples_are_relative_to_the_loudest_of_all():
    song = torch.zeros(4000)
    song[10], song[3999] = -0.25, 0.5
    peaks = waveform_peaks(song)
    assert len(peaks) == 400 and (peaks[1], peaks[-1], sum(peaks)) == (0.5, 1, 1.5)
    assert waveform_peaks(torch.zeros(3)) == [0, 0, 0]


def test_an_uncertain_answer_says_why(bundled, monkeypatch):
    model = bundled.model
    monkeypatch.setattr(model, "postprocessing", PostProcessing(uncertain_below=0.6, uncertain_beyond=0.5))

    def notes(probability, distance):
        probabilities = (probability, 1 - probability, *[0.0] * 8)
        uncertain = model.is_uncertain(probabilities, distance)
        answer = Prediction("x", 1.0, model.genres, probabilities, (), uncertain, None, distance)
        return list(uncertainty_notes(model, answer))

    assert notes(0.9, 0.4) == [] and len(notes(0.55, 0.6)) == 2
    assert notes(0.9, 0.6) == ["It sounds unlike the music that the model learnt from."]
    assert notes(0.55, 0.4) == notes(0.55, None) == ["Its highest probability is below the threshold of certainty."]


def test_a_model_says_what_limits_its_answers(candidate, monkeypatch):
    assert list(model_notes(candidate.model)) == []
    monkeypatch.setattr(candidate.model, "synthetic", True)
    monkeypatch.setattr(candidate.model, "columns", ("year", "title"))
    synthetic, columns = model_notes(candidate.model)
    assert "synthetic music" in synthetic and "year, title" in columns


@pytest.mark.parametrize("seconds", [1.0, 12.3])
def test_the_bundled_classifiers_spectrogram_covers_the_song(bundled, seconds):
    spectrogram = whole_log_mel(bundled.model, noise(seconds))
    assert spectrogram.shape[0] == 128 and spectrogram.shape[1] == pytest.approx(12.9 * seconds, abs=1.5)
    assert spectrogram.min() >= 0 and spectrogram.max() <= 1


@pytest.mark.slow
def test_an_exported_file_answers_as_its_run_under_librosas_own_spectrogram_and_explains_nothing(candidate, onnx_file):
    exported, song = Candidate("mine.onnx", genre.load(onnx_file)), noise(3)
    found, expected = (analysis.analysis(one, song) for one in (exported, candidate))
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
    assert np.array(found["over_time"]) == pytest.approx(np.array(expected["over_time"]), abs=1e-4)
    assert found["spans"] == expected["spans"] and not exported.description()["explains"]
    decibels = librosa.power_to_db(
        librosa.feature.melspectrogram(y=song.numpy(), sr=RATE, pad_mode="constant"), ref=np.max
    )
    np.testing.assert_allclose(whole_log_mel(exported.model, song), 1 + decibels / 80, atol=0.01 / 80)
    assert [hertz for hertz, _ in found["ticks"]] == [512, 1024, 2048, 4096, 8192]
