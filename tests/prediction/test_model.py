"""A run is loaded as one module from waveforms to probabilities."""

import pytest
import soundfile
import torch

import genre
from genre.errors import UserError
from helpers import csv_rows


def clip(path):
    """A file's samples, (samples,) in [-1, 1]."""
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("view", [("view=whole", "view.seconds=4"), ("view=segments", "view.seconds=1")])
def test_waveforms_give_the_probabilities_of_predictions_csv(configured, music, view):
    run = genre.train(configured(*view))
    model = genre.load(run.folder)
    predictions = csv_rows(run.folder / "predictions.csv")
    probabilities = model(torch.stack([clip(music / row["track"]) for row in predictions]))
    expected = torch.tensor([[float(row[name]) for name in model.genres] for row in predictions])
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=0)


def test_a_folder_without_a_run_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="not a finished run"):
        genre.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", {"state_dict": {}}, {"genre": {"version": 99}, "state_dict": {}}])
def test_a_file_that_is_not_a_checkpoint_is_a_user_error(tmp_path, content):
    path = tmp_path / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=r"not a checkpoint|version 99"):
        genre.load(tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("trapped",))

    path = tmp_path / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    torch.save({"genre": Trap()}, path)
    with pytest.raises(UserError, match="not a checkpoint"):
        genre.load(tmp_path)


def test_probabilities_over_time_are_those_of_each_window(run, music):
    model, waveform = genre.load(run.folder), clip(music / "rock" / "rock.00003.wav")
    spans, probabilities = model.over_time(waveform)
    assert spans.tolist() == [[n / 2, n / 2 + 1] for n in range(7)]
    windows = waveform.unfold(0, 22_050, 11_025)
    torch.testing.assert_close(probabilities, model(windows), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("hop", "windows"), [(1, 4), (2, 3), (0.25, 13)])
def test_windows_are_a_hop_apart_from_the_beginning_to_the_end(run, music, hop, windows):
    spans, probabilities = genre.load(run.folder).over_time(clip(music / "rock" / "rock.00003.wav"), hop)
    assert len(spans) == len(probabilities) == windows
    assert (spans[0, 0], spans[-1, 1]) == (0, 4) and spans[:, 0].diff().max() <= hop + 0.01


def test_a_track_shorter_than_a_window_gives_one_window(run, music):
    waveform = clip(music / "rock" / "rock.00003.wav")[:15_000]
    model = genre.load(run.folder)
    spans, probabilities = model.over_time(waveform)
    assert spans.tolist() == [[0, pytest.approx(15_000 / 22_050)]]
    torch.testing.assert_close(probabilities, model(waveform[None]), atol=1e-6, rtol=0)


def test_windows_around_a_cut_equal_those_of_the_two_tracks(run, music):
    one, other = (clip(music / name / f"{name}.00001.wav") for name in ("blues", "rock"))
    model = genre.load(run.folder)
    probabilities = model.over_time(torch.cat([one, other]), 1)[1]
    torch.testing.assert_close(probabilities[:4], model.over_time(one, 1)[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(probabilities[4:], model.over_time(other, 1)[1], atol=1e-5, rtol=0)
