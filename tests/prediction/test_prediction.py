"""A model predicts files and waveforms from Python; what it says is shown by its repr and in notebooks."""

from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
import soxr
import torch

import genre
from genre.errors import UserError
from genre.prediction import waveforms
from genre.prediction.prediction import GenreSegment, Prediction, Timeline


@pytest.fixture(scope="module")
def model(run):
    return genre.load(run.folder)


@pytest.fixture
def song(music):
    return music / "rock" / "rock.00003.wav"


def test_a_file_of_the_views_length_is_predicted_as_in_the_evaluation(configured, music):
    run = genre.train(configured("view=segments", "view.seconds=1", "view.crops=5"))
    model, song = genre.load(run.folder), music / "rock" / "rock.00003.wav"
    samples = torch.from_numpy(soundfile.read(song, dtype="float32")[0])
    torch.testing.assert_close(torch.tensor(model.predict(song).probabilities), model(samples[None])[0])


def test_a_longer_file_is_the_mean_of_windows_without_gaps(model, song):
    samples = torch.from_numpy(soundfile.read(song, dtype="float32")[0])
    windows = model(samples.unfold(0, 22_050, 22_050))
    assert len(windows) == 4
    torch.testing.assert_close(torch.tensor(model.predict(song).probabilities), windows.mean(0))


def test_a_long_file_is_streamed_with_the_same_answer(model, song, monkeypatch):
    kept = model.predict(song, timeline=True)
    monkeypatch.setattr(waveforms, "KEPT_SECONDS", 1.5)
    streamed = model.predict(song, timeline=True)
    assert model.recording(song).samples is None
    assert streamed.probabilities == kept.probabilities
    np.testing.assert_array_equal(streamed.timeline.probabilities, kept.timeline.probabilities)


def test_a_waveform_of_any_rate_and_channels_is_predicted_like_its_file(model, song, tmp_path):
    samples, rate = soundfile.read(song, dtype="float32")
    stereo = soxr.resample(np.stack([samples, samples], 1), rate, 44_100)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44_100, subtype="FLOAT")
    expected = model.predict(tmp_path / "stereo.wav")
    for waveform in (stereo.T, torch.from_numpy(stereo.T), stereo[:, 0], stereo.T.astype(np.float64)):
        prediction = model.predict(waveform, 44_100)
        assert prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
        assert (prediction.name, prediction.seconds) == ("waveform", pytest.approx(4))


def test_a_list_gives_a_list_of_the_same_answers(model, music):
    songs = sorted(music.rglob("*.wav"))[::7]
    batch = model.predict([str(song) for song in songs])
    assert [answer.name for answer in batch] == [song.name for song in songs]
    for song, answer in zip(songs, batch, strict=True):
        assert answer.probabilities == pytest.approx(model.predict(song).probabilities, abs=1e-6)
    assert model.predict([]) == []


def test_genres_and_uncertainty_are_those_of_the_model(model, song):
    answer = model.predict(song)
    assert answer.genres == tuple(model.genres) and answer.seconds == 4 and answer.timeline is None
    assert answer.predicted == model.predicted_genres(answer.probabilities)
    assert answer.uncertain == model.is_uncertain(answer.probabilities) and answer.distance is None
    assert [genre for genre, _ in answer.most_probable(1)] == [answer.genres[np.argmax(answer.probabilities)]]


@pytest.mark.parametrize(
    ("piece", "rate", "sentence"),
    [
        ("nowhere.wav", None, "nowhere.wav cannot be predicted: unreadable: No such file"),
        (np.zeros(22_050), None, "needs its sample rate"),
        (np.zeros(22_050), 22_050, "waveform cannot be predicted: silent"),
        (np.zeros(0), 22_050, "waveform cannot be predicted: shorter than 0.1 s"),
        (np.full(22_050, np.nan), 22_050, "waveform cannot be predicted: has samples that are not numbers"),
        (np.zeros((22_050, 2)), 22_050, "axes exchanged"),
        (np.zeros(22_050, np.int16), 22_050, r"floats in \[-1, 1\], not int16"),
        (np.zeros((1, 2, 22_050)), 22_050, r"\(samples,\) or \(channels, samples\)"),
    ],
)
def test_what_cannot_be_predicted_is_a_user_error(model, piece, rate, sentence):
    with pytest.raises(UserError, match=sentence):
        model.predict(piece, rate)


def test_windows_in_a_row_with_the_same_genre_are_one_segment():
    spans = np.array([[0.0, 10], [5, 15], [10, 20], [15, 25]])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]])
    segments = Timeline(("jazz", "rock"), spans, probabilities).segments
    assert segments == [
        GenreSegment(0, 12.5, "jazz", pytest.approx(0.8)),
        GenreSegment(12.5, 25, "rock", pytest.approx(0.7)),
    ]
    assert str(segments[1]) == "0:12 to 0:25 rock 70%"
    assert Timeline(("jazz", "rock"), spans[:1], probabilities[:1]).segments == [GenreSegment(0, 10, "jazz", 0.9)]


def test_the_repr_is_one_line_and_html_has_a_bar_per_genre_and_no_script():
    answer = Prediction("<b>&.mp3", 3723.4, ("jazz", "<script>"), (0.25, 0.75), ("<script>",), True)
    assert repr(answer) == "<Prediction <b>&.mp3 (1:02:03): <script> 75%, jazz 25% (uncertain)>"
    tags = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append(tag)

    Tags().feed(answer._repr_html_())
    assert tags.count("tr") == 2 and not {"script", "b"} & set(tags)
    assert "width:75.0%" in answer._repr_html_()
