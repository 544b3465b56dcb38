"""A run is one module from waveform to probabilities."""

import csv

import pytest
import soundfile
import torch

import genre
from genre.errors import Mistake


@pytest.mark.parametrize("view", [("view=whole", "view.seconds=4"), ("view=segments", "view.seconds=1")])
def test_waveforms_give_the_probabilities_of_the_predictions_file(configured, music, view):
    run = genre.train(configured(*view))
    model = genre.load(run.folder)
    with (run.folder / "predictions.csv").open(newline="") as file:
        predictions = list(csv.DictReader(file))
    clips = [torch.from_numpy(soundfile.read(music / row["track"], dtype="float32")[0]) for row in predictions]
    probabilities = model(torch.stack(clips))
    expected = torch.tensor([[float(row[name]) for name in model.genres] for row in predictions])
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=0)


def test_what_is_no_run_is_a_mistake(tmp_path):
    with pytest.raises(Mistake, match="not a finished run"):
        genre.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", {"state_dict": {}}, {"genre": {"version": 99}, "state_dict": {}}])
def test_another_file_in_its_place_is_a_mistake(tmp_path, content):
    path = tmp_path / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(Mistake, match=r"not a checkpoint|version 99"):
        genre.load(tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("trapped",))

    path = tmp_path / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    torch.save({"genre": Trap()}, path)
    with pytest.raises(Mistake, match="not a checkpoint"):
        genre.load(tmp_path)
