"""predict.py writes the genres of one's own music, and reports files that cannot be used."""

from pathlib import Path

import pytest
import soundfile
import torch

import genre
from genre.errors import UserError
from genre.prediction.model import Model
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


def test_over_time_writes_a_figure_per_track_and_one_table(run, music, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "x=1.wav").write_bytes((music / "rock" / "rock.00003.wav").read_bytes())
    result = predict(run.folder, tmp_path / "predicted", tmp_path / "mine", "over_time=true", "hop=1")
    assert {path.name for path in (result.folder / "figures" / "over_time").iterdir()} == {"x-1.png", "x-1-2.png"}
    rows = csv_rows(result.folder / "over_time.csv")
    assert [(row["begin"], row["end"]) for row in rows] == [(f"{n}.00", f"{n + 1}.00") for n in range(4)] * 2
    expected = genre.load(run.folder).over_time(clip(tmp_path / "mine" / "a" / "x=1.wav"), 1)[1]
    written = torch.tensor([[float(row[name]) for name in result.genres] for row in rows[:4]])
    torch.testing.assert_close(written, expected, atol=1e-5, rtol=0)


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
    run = genre.train(configured(data="synthetic"))
    predict(run.folder, tmp_path / "predicted", music / "rock" / "rock.00003.wav")
    assert "learnt from synthetic music" in caplog.text


def test_genres_are_written_into_tags_only_if_asked_for_and_restored(run, tmp_path, monkeypatch, capsys):
    song = write_song(tmp_path / "mine" / "a.flac", 2.0)
    content = song.read_bytes()
    monkeypatch.setattr(Model, "is_uncertain", lambda *_: False)
    predict(run.folder, tmp_path / "plain", tmp_path / "mine")
    predict(run.folder, tmp_path / "shown", tmp_path / "mine", "write_tags=true")
    assert song.read_bytes() == content and not (tmp_path / "plain" / "tags.csv").exists()
    result = predict(run.folder, tmp_path / "written", tmp_path / "mine", "write_tags=true", "dry_run=false")
    (row,) = csv_rows(result.folder / "predictions.csv")
    assert written_genres(song) == [row["predicted"]]
    undo = ["undo=" + str(tmp_path / "written" / "tags.csv"), f"folder={tmp_path / 'undone'}"]
    genre.predict(genre.compose(*undo, config_name="predict"))
    assert written_genres(song) == []


def test_an_uncertain_prediction_is_not_written_into_tags(run, tmp_path, monkeypatch):
    song = write_song(tmp_path / "mine" / "a.flac", 2.0)
    monkeypatch.setattr(Model, "is_uncertain", lambda *_: True)
    predict(run.folder, tmp_path / "written", tmp_path / "mine", "write_tags=true", "dry_run=false")
    assert written_genres(song) == []
