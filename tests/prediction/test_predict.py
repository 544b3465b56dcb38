"""A run is one module from waveform to probabilities."""

import csv
from pathlib import Path

import pytest
import soundfile
import torch

import genre
from genre.errors import UserError


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
    with pytest.raises(UserError, match="not a finished run"):
        genre.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", {"state_dict": {}}, {"genre": {"version": 99}, "state_dict": {}}])
def test_another_file_in_its_place_is_a_mistake(tmp_path, content):
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
    with pytest.raises(UserError, match=message):
        predicted(run.folder, tmp_path / "said", tmp_path / name)


@pytest.fixture(scope="module")
def run(tmp_path_factory, music, cache):
    """One finished run over windows of a second, and the whole view for those of four; no test changes it."""
    folder = tmp_path_factory.mktemp("prediction") / "run"
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={folder}", "name=test",
            "view.seconds=1", "trainer.max_epochs=1", "trainer.precision=32-true",
            "trainer.enable_progress_bar=false", "model.filters=[4,4,8]", "model.dense_units=8",
        )
    )  # fmt: skip


def clip(path):
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def test_genres_along_a_track_are_those_of_each_window_by_itself(run, music):
    model, waveform = genre.load(run.folder), clip(music / "rock" / "rock.00003.wav")
    spans, found = model.over_time(waveform)
    assert spans.tolist() == [[n / 2, n / 2 + 1] for n in range(7)]
    windows = waveform.unfold(0, 22_050, 11_025)
    torch.testing.assert_close(found, model(windows), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("hop", "windows"), [(1, 4), (2, 3), (0.25, 13)])
def test_windows_reach_from_the_beginning_to_the_end_a_hop_apart(run, music, hop, windows):
    spans, found = genre.load(run.folder).over_time(clip(music / "rock" / "rock.00003.wav"), hop)
    assert len(spans) == len(found) == windows
    assert (spans[0, 0], spans[-1, 1]) == (0, 4) and spans[:, 0].diff().max() <= hop + 0.01


def test_a_track_shorter_than_a_window_is_one(run, music):
    waveform = clip(music / "rock" / "rock.00003.wav")[:15_000]
    model = genre.load(run.folder)
    spans, found = model.over_time(waveform)
    assert spans.tolist() == [[0, pytest.approx(15_000 / 22_050)]]
    torch.testing.assert_close(found, model(waveform[None]), atol=1e-6, rtol=0)


def test_a_change_of_music_is_seen_where_it_happens(run, music, tmp_path):
    """The windows before and after a cut say what they say of the two tracks alone."""
    one, other = (clip(music / name / f"{name}.00001.wav") for name in ("blues", "rock"))
    model = genre.load(run.folder)
    found = model.over_time(torch.cat([one, other]), 1)[1]
    torch.testing.assert_close(found[:4], model.over_time(one, 1)[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[4:], model.over_time(other, 1)[1], atol=1e-5, rtol=0)


def test_over_time_writes_a_figure_a_track_and_one_table(run, music, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "x=1.wav").write_bytes((music / "rock" / "rock.00003.wav").read_bytes())
    cfg = genre.compose(
        f"run={run.folder}", f"input={tmp_path / 'mine'}", f"folder={tmp_path / 'said'}", "over_time=true", "hop=1",
        config_name="predict",
    )  # fmt: skip
    said = genre.predict(cfg)
    assert {path.name for path in (said.folder / "figures" / "over_time").iterdir()} == {"x-1.png", "x-1-2.png"}
    with (said.folder / "over_time.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["begin"], row["end"]) for row in rows] == [(f"{n}.00", f"{n + 1}.00") for n in range(4)] * 2
    expected = genre.load(run.folder).over_time(clip(tmp_path / "mine" / "a" / "x=1.wav"), 1)[1]
    written = torch.tensor([[float(row[name]) for name in said.genres] for row in rows[:4]])
    torch.testing.assert_close(written, expected, atol=1e-5, rtol=0)


def test_a_hop_that_goes_nowhere_is_a_mistake(run, music):
    cfg = genre.compose(f"run={run.folder}", f"input={music}", "folder=x", "hop=0", config_name="predict")
    with pytest.raises(UserError, match="hop=0 must be positive"):
        genre.predict(cfg)
