"""A run is one module from waveform to probabilities."""

import csv
from pathlib import Path

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


def predicted(run, folder, path):
    return genre.predict(genre.compose(f"run={run}", f"input={path}", f"folder={folder}", config_name="predict"))


def test_ones_own_music_is_named_and_bad_files_are_reported(configured, music, tmp_path):
    run = genre.train(configured())
    mine = tmp_path / "mine, (live) & more=é"
    (mine / "deep").mkdir(parents=True)
    song = mine / "deep" / "AC-DC (Live), 1975 & more=é [x].wav"
    song.write_bytes((music / "rock" / "rock.00003.wav").read_bytes())
    (mine / "text.mp3").write_text("no music")
    (mine / "cover.jpg").write_bytes(b"")
    said = predicted(run.folder, tmp_path / "said", mine)
    assert list(said.probabilities) == [str(song)]
    with (said.folder / "predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    clip = torch.from_numpy(soundfile.read(song, dtype="float32")[0])
    assert [float(row[name]) for name in said.genres] == pytest.approx(
        genre.load(run.folder)(clip[None])[0].tolist(), abs=1e-5
    )
    with (said.folder / "skipped.csv").open(newline="") as file:
        skipped = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert skipped["text.mp3"].startswith("unreadable")
    assert skipped["cover.jpg"] == "not audio by its name (.jpg)"


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no file or folder"), ("empty", "no audio"), ("a.wav", "can be used")]
)
def test_nothing_to_listen_to_is_a_mistake(configured, tmp_path, name, message):
    run = genre.train(configured())
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(Mistake, match=message):
        predicted(run.folder, tmp_path / "said", tmp_path / name)
