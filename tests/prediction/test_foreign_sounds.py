"""The model that comes with the program knows what is no music; the sounds are made here."""

import json

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import roc_auc_score

import genre
from benchmarks.foreign_sounds import PER_KIND, RATE, foreign_sounds
from genre.errors import UserError


@pytest.fixture(scope="module")
def model():
    return genre.load()


@pytest.fixture(scope="module")
def sounds():
    """One sound of 10 s of each kind."""
    return dict(list(foreign_sounds())[::PER_KIND])


def test_the_sounds_are_what_their_names_say(sounds):
    assert all(len(sound) == 10 * RATE and 0.04 < np.abs(sound).max() < 0.91 for sound in sounds.values())
    white, pink = (np.abs(np.fft.rfft(sounds[f"{name} noise"])) ** 2 for name in ("white", "pink"))
    octaves = [slice(10 * low, 20 * low) for low in (500, 4000)]
    assert np.mean(white[octaves[0]]) / np.mean(white[octaves[1]]) == pytest.approx(1, rel=0.1)
    assert np.mean(pink[octaves[0]]) / np.mean(pink[octaves[1]]) == pytest.approx(8, rel=0.1)
    power = sounds["speech"][: 10 * RATE // 441 * 441].reshape(-1, 441) ** 2  # in parts of 20 ms
    assert np.percentile(power.mean(1), 10) < 0.05 * np.percentile(power.mean(1), 90)  # pauses between syllables


def test_it_is_uncertain_of_sounds_that_are_no_music(model, sounds):
    waveforms = torch.stack([torch.from_numpy(sound).float() for sound in sounds.values()])
    probabilities, distances = model.window_outputs(waveforms[:, : model.window])
    uncertain = model.postprocessing.uncertain(probabilities, distances).tolist()
    assert all(flag for flag, kind in zip(uncertain, sounds, strict=True) if kind != "pink noise")
    # pink noise has the spectrum that music has in the mean: it lies at the threshold
    assert distances[list(sounds).index("pink noise")] > 0.8 * model.postprocessing.uncertain_beyond


def test_silence_is_refused_or_uncertain(model):
    with pytest.raises(UserError, match="silent"):
        model.predict(np.zeros(RATE), RATE)
    for part in (torch.zeros(1, model.window), torch.zeros(1, RATE)):
        probabilities, distances = model.outputs(part)
        assert model.is_uncertain(probabilities[0].tolist(), distances.item())
        assert distances.item() > 2 * model.postprocessing.uncertain_beyond


def test_predict_says_so_and_the_same_command_repeats_it(sounds, tmp_path, capsys):
    (tmp_path / "sounds").mkdir()
    for kind in ("speech", "chirp"):
        soundfile.write(tmp_path / "sounds" / f"{kind}.wav", sounds[kind][: 3 * RATE], RATE)
    own = [f"input={tmp_path / 'sounds'}", f"folder={tmp_path / 'predicted'}", "format=jsonl"]
    printed = []
    for _ in range(2):
        result = genre.predict(genre.compose(*own, config_name="predict"))
        answers = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
        assert [answer["uncertain"] for answer in answers] == [True, True]
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and printed[0].count("(uncertain)") == 2


def test_a_long_recording_has_the_mean_distance_of_its_windows(model, sounds):
    music = np.concatenate([sounds["speech"], sounds["tone"]])
    short = model.window * (np.arange(10) % 2)[:, None] + np.arange(model.window)
    long = music[np.minimum(short, len(music) - 1)].ravel()  # ten windows, one more than the view has crops
    answer = model.predict(long, RATE)
    quantised = torch.from_numpy(np.round(long * 32768) / 32768).float().view(10, -1)
    expected = model.window_outputs(quantised[:2]).distances
    assert answer.distance == pytest.approx(expected.mean().item(), rel=1e-3)
    assert answer.uncertain and "(uncertain)" in repr(answer) and ", uncertain<" in answer._repr_html_()


@pytest.mark.slow
def test_its_distance_tells_music_from_other_sounds(model, shared):
    """The excerpts are of its training; benchmarks/foreign_sounds.py measures it on held-out tracks."""
    known = model.predict(sorted((shared / "gtzan_mini").rglob("*.wav"))[::4])
    foreign = model.predict([sound for _, sound in list(foreign_sounds())[::2]], RATE)
    distances = np.array([answer.distance for answer in (*known, *foreign)])
    assert roc_auc_score(np.repeat([0, 1], [len(known), len(foreign)]), distances) >= 0.95
    assert np.mean([answer.uncertain for answer in foreign]) >= 0.9
    assert np.mean([answer.uncertain for answer in known]) <= 0.5
    assert np.mean([answer.distance > model.postprocessing.uncertain_beyond for answer in known]) <= 0.1
