"""predict.py writes the genres of one's own music, and reports files that cannot be used."""

import json
import os
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

import genre
from conftest import GENRES
from genre.errors import UserError
from genre.prediction.model import Model
from genre.prediction.results import ResultFiles
from genre.tagging.write import written_genres
from helpers import csv_rows, write_song


def clip(path):
    """A file's samples, (samples,) in [-1, 1]."""
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def predict(run, folder, path, *overrides):
    own = [f"run={run}", f"input={path}", f"folder={folder}"]
    return genre.predict(genre.compose(*own, *overrides, config_name="predict"))


def test_music_is_predicted_and_skipped_files_are_listed(configured, music, tmp_path):
    run = genre.train(configured())
    mine = tmp_path / "mine, (live) & more=é"
    (mine / "deep").mkdir(parents=True)
    song = mine / "deep" / "AC-DC (Live), 1975 & more=é [x].wav"
    song.write_bytes((music / "rock" / "rock.00003.wav").read_bytes())
    (mine / "text.mp3").write_text("no music")
    (mine / "cover.jpg").write_bytes(b"")
    result = predict(run.folder, tmp_path / "predicted", mine)
    assert list(result.probabilities) == [str(song)]
    (row,) = csv_rows(result.folder / "predictions.csv")
    expected = genre.load(run.folder)(clip(song)[None])[0].tolist()
    assert [float(row[name]) for name in result.genres] == pytest.approx(expected, abs=1e-5)
    skipped = {Path(row["path"]).name: row["reason"] for row in csv_rows(result.folder / "skipped.csv")}
    assert skipped["text.mp3"].startswith("unreadable")
    assert skipped["cover.jpg"] == "not audio by its name (.jpg)"


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no file or folder"), ("empty", "no audio"), ("a.wav", "can be used")]
)
def test_an_input_without_usable_audio_is_a_user_error(run, tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(UserError, match=message):
        predict(run.folder, tmp_path / "predicted", tmp_path / name)


def test_a_timeline_writes_a_figure_per_file_and_two_tables(run, music, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "x=1.wav").write_bytes((music / "rock" / "rock.00003.wav").read_bytes())
    result = predict(run.folder, tmp_path / "predicted", tmp_path / "mine", "timeline=true", "hop=1")
    assert {path.name for path in (result.folder / "figures" / "timeline").iterdir()} == {"x-1.png", "x-1-2.png"}
    rows = csv_rows(result.folder / "timeline.csv")
    assert [(row["begin"], row["end"]) for row in rows] == [(f"{n}.00", f"{n + 1}.00") for n in range(4)] * 2
    expected = genre.load(run.folder).over_time(clip(tmp_path / "mine" / "a" / "x=1.wav"), 1)[1]
    written = torch.tensor([[float(row[name]) for name in result.genres] for row in rows[:4]])
    torch.testing.assert_close(written, expected, atol=1e-5, rtol=0)
    segments = csv_rows(result.folder / "segments.csv")
    assert segments[0]["begin"] == "0.00" and segments[-1]["end"] == "4.00"
    assert f"0:00 to 0:0{round(float(segments[0]['end']))} {segments[0]['genre']}" in capsys.readouterr().out


def test_a_timeline_asked_for_later_is_predicted_then(run, music, tmp_path):
    song = music / "rock" / "rock.00003.wav"
    for extra in (), ("timeline=true",), ("timeline=true", "hop=2"):
        folder = predict(run.folder, tmp_path / "predicted", song, *extra).folder
    assert len(csv_rows(folder / "timeline.csv")) == 3 and len(csv_rows(folder / "predictions.csv")) == 1
    assert [path.name for path in (folder / "figures" / "timeline").iterdir()] == ["rock.00003.png"]


def test_json_lines_name_the_most_probable_genres_that_are_probable_enough(run, music, tmp_path):
    overrides = "format=jsonl", "top=2", "min_probability=0.1"
    result = predict(run.folder, tmp_path / "predicted", music / "rock", *overrides)
    lines = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == list(result.probabilities) and len(lines) == 10
    for line in lines:
        ranked = sorted(line["probabilities"], key=line["probabilities"].get, reverse=True)
        assert line["most_probable"] == [name for name in ranked[:2] if line["probabilities"][name] >= 0.1]
        assert line["seconds"] == 4


def test_genres_that_are_not_probable_enough_are_not_named(run, music, tmp_path):
    result = predict(run.folder, tmp_path / "predicted", music / "rock" / "rock.00003.wav", "min_probability=1")
    (row,) = csv_rows(result.folder / "predictions.csv")
    assert row["predicted"] == row["most_probable"] == ""


def heard(monkeypatch):
    """The names of the files that are predicted from now on."""
    names, real = [], Model.recording
    monkeypatch.setattr(Model, "recording", lambda model, file: names.append(Path(file).name) or real(model, file))
    return names


def test_the_same_command_predicts_only_files_that_are_new_or_changed(run, music, tmp_path, monkeypatch):
    shutil.copytree(music / "rock", tmp_path / "mine")
    first = predict(run.folder, tmp_path / "predicted", tmp_path / "mine")
    names, before = heard(monkeypatch), (first.folder / "predictions.csv").read_text()
    assert predict(run.folder, tmp_path / "predicted", tmp_path / "mine") == first and names == []
    assert (first.folder / "predictions.csv").read_text() == before
    shutil.copy(music / "jazz" / "jazz.00001.wav", tmp_path / "mine" / "rock.00002.wav")
    shutil.copy(music / "jazz" / "jazz.00001.wav", tmp_path / "mine" / "jazz.wav")
    os.utime(tmp_path / "mine" / "rock.00003.wav", (0, 0))
    (tmp_path / "mine" / "rock.00004.wav").unlink()
    second = predict(run.folder, tmp_path / "predicted", tmp_path / "mine")
    assert sorted(names) == ["jazz.wav", "rock.00002.wav", "rock.00003.wav"]
    rows = [Path(row["path"]).name for row in csv_rows(second.folder / "predictions.csv")]
    assert rows == sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert second.probabilities[str(tmp_path / "mine" / "rock.00002.wav")] == pytest.approx(
        second.probabilities[str(tmp_path / "mine" / "jazz.wav")]
    )


def test_another_model_predicts_everything_again(run, music, tmp_path, monkeypatch):
    song = music / "rock" / "rock.00003.wav"
    predict(run.folder, tmp_path / "predicted", song)
    names = heard(monkeypatch)
    cfg = genre.compose(f"input={song}", f"folder={tmp_path / 'predicted'}", config_name="predict")
    assert len(genre.predict(cfg).genres) == 10 and names == ["rock.00003.wav"]


@pytest.mark.parametrize("written", [0, 1, 3, 7])
def test_an_interrupted_command_continues_and_names_each_file_once(run, music, tmp_path, monkeypatch, caplog, written):
    real, added = ResultFiles.add, []

    def interrupt(results, *outcome):
        if len(added) == written:
            raise KeyboardInterrupt
        real(results, *outcome)
        added.append(outcome)
        rows = csv_rows(tmp_path / "predicted" / "predictions.csv")  # written at once
        assert len(rows) == len(added) and rows[-1]["path"] == outcome[0].name

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ResultFiles, "add", interrupt)
        predict(run.folder, tmp_path / "predicted", music / "rock")
    assert f"the same command with hydra.run.dir={tmp_path / 'predicted'} continues" in caplog.text
    with (tmp_path / "predicted" / "journal.jsonl").open("a") as journal:
        journal.write('{"path": "x", "sta')  # half a line, as a kill may leave it
    names = heard(monkeypatch)
    continued = predict(run.folder, tmp_path / "predicted", music / "rock")
    assert len(names) == 10 - written
    whole = predict(run.folder, tmp_path / "whole", music / "rock")
    assert (continued.folder / "predictions.csv").read_text() == (whole.folder / "predictions.csv").read_text()


def test_more_files_than_few_are_counted_by_genre(run, music, tmp_path, capsys):
    predict(run.folder, tmp_path / "predicted", "[" + ",".join([str(music)] * 2) + "]")
    assert len(csv_rows(tmp_path / "predicted" / "predictions.csv")) == 30
    assert "rock.00003.wav" in capsys.readouterr().out
    for name in GENRES:
        shutil.copytree(music / name, tmp_path / "more" / name)
    predict(run.folder, tmp_path / "predicted", f"[{music},{tmp_path / 'more'}]")
    printed = capsys.readouterr().out
    assert "rock.00003.wav" not in printed and "files" in printed


def test_a_hop_of_0_is_a_user_error(run, music):
    with pytest.raises(UserError, match="hop=0 must be a number above 0"):
        predict(run.folder, "x", music, "hop=0")


@pytest.fixture
def mixed(run, music, tmp_path):
    """A training, a validation and a test track of the run under other names, and a training track with other tags."""
    (tmp_path / "mine").mkdir()
    tracks = {row["subset"]: row["track"] for row in csv_rows(run.folder / "splits.csv")}
    for subset, name in tracks.items():
        (tmp_path / "mine" / f"{subset} copy.wav").write_bytes((music / name).read_bytes())
    samples, rate = soundfile.read(music / tracks["train"], dtype="int16")
    with soundfile.SoundFile(tmp_path / "mine" / "tagged.flac", "w", rate, 1) as file:
        file.title = "A title"
        file.write(samples)
    return tmp_path / "mine"


def test_files_that_trained_the_run_are_named(run, mixed, tmp_path, caplog, capsys):
    result = predict(run.folder, tmp_path / "predicted", mixed)
    seen = {Path(row["path"]).stem: row["seen"] for row in csv_rows(result.folder / "predictions.csv")}
    assert seen == {"train copy": "train", "val copy": "val", "test copy": "", "tagged": "train"}
    assert {Path(file).stem for file in result.seen} == {"train copy", "val copy", "tagged"}
    assert "trained or validated on 3 tracks (tagged.flac, train copy.wav, val copy.wav) of these 4" in caplog.text
    assert "val copy.wav (val track)" in capsys.readouterr().out


def test_a_checkpoint_by_itself_predicts_the_same_and_does_not_know_what_it_was_trained_on(
    run, mixed, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    (tmp_path / "best.ckpt").write_bytes((run.folder / "checkpoints" / "best.ckpt").read_bytes())
    monkeypatch.chdir(tmp_path)
    alone, whole = (predict(of, tmp_path / f"of {Path(of).name}", mixed) for of in ("best.ckpt", run.folder))
    assert alone.probabilities == whole.probabilities and alone.seen == {}
    assert "seen" not in csv_rows(alone.folder / "predictions.csv")[0]
    assert "whether the run was trained on these files is unknown" in caplog.text


def test_without_a_run_the_model_that_comes_with_the_program_answers(music, tmp_path, caplog):
    song = music / "rock" / "rock.00003.wav"
    cfg = genre.compose(f"input={song}", f"folder={tmp_path / 'predicted'}", config_name="predict")
    with caplog.at_level("INFO"):
        result = genre.predict(cfg)
    assert (
        len(result.genres) == 10
        and "the model that comes with the program answers (it learnt from GTZAN)" in caplog.text
    )
    assert result.probabilities[str(song)] == pytest.approx(genre.load()(clip(song)[None])[0].tolist(), abs=1e-4)


def test_a_model_that_learnt_from_synthetic_music_says_so(configured, music, tmp_path, caplog):
    run = genre.train(configured("data.tracks=5", "data.seconds=2", data="synthetic"))
    predict(run.folder, tmp_path / "predicted", music / "rock" / "rock.00003.wav")
    assert "learnt from synthetic music" in caplog.text


def test_genres_are_written_into_tags_only_if_asked_for_and_restored(run, tmp_path, monkeypatch, caplog):
    song = write_song(tmp_path / "mine" / "a.flac", 2.0)
    content = song.read_bytes()
    monkeypatch.setattr(Model, "is_uncertain", lambda *_: False)
    predict(run.folder, tmp_path / "plain", tmp_path / "mine")
    predict(run.folder, tmp_path / "shown", tmp_path / "mine", "write_tags=true")
    assert song.read_bytes() == content and not (tmp_path / "plain" / "tags.csv").exists()
    result = predict(run.folder, tmp_path / "written", tmp_path / "mine", "write_tags=true", "dry_run=false")
    (row,) = csv_rows(result.folder / "predictions.csv")
    assert written_genres(song) == [row["predicted"]]
    caplog.set_level("INFO")
    predict(run.folder, tmp_path / "written", tmp_path / "mine")
    assert "1 of 1 files were predicted before" in caplog.text
    undo = ["undo=" + str(tmp_path / "written" / "tags.csv"), f"folder={tmp_path / 'undone'}"]
    genre.predict(genre.compose(*undo, config_name="predict"))
    assert written_genres(song) == []


def test_an_uncertain_prediction_is_not_written_into_tags(run, tmp_path, monkeypatch):
    song = write_song(tmp_path / "mine" / "a.flac", 2.0)
    monkeypatch.setattr(Model, "is_uncertain", lambda *_: True)
    predict(run.folder, tmp_path / "written", tmp_path / "mine", "write_tags=true", "dry_run=false")
    assert written_genres(song) == []
