"""The most similar music is found, exactly and in blocks, and its features are kept from call to call."""

import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import genre
from genre.errors import UserError
from genre.prediction import neighbours
from genre.prediction.feature_store import FeatureStore
from genre.prediction.model import Model
from genre.prediction.neighbours import most_similar
from genre.prediction.prediction import Prediction
from helpers import csv_rows


@pytest.mark.parametrize("count", [1, 5, 100])
def test_the_search_in_blocks_equals_the_sorted_cosines(monkeypatch, count):
    monkeypatch.setattr(neighbours, "QUERIES", 4)
    monkeypatch.setattr(neighbours, "TRACKS", 7)
    random = torch.Generator().manual_seed(0)
    queries, tracks = torch.randn(10, 6, generator=random), torch.randn(30, 6, generator=random)
    similarities, places = most_similar(queries, tracks, count)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], tracks[None], dim=2)
    expected = cosines.sort(1, descending=True)
    torch.testing.assert_close(similarities, expected.values[:, :count])
    assert torch.equal(places, expected.indices[:, :count])


def test_features_are_found_by_their_keys_and_others_removed(tmp_path):
    store, values = FeatureStore(tmp_path), np.eye(3, dtype=np.float32)
    keys = [store.add(row) for row in values]
    again = FeatureStore(tmp_path)
    assert again.keys == set(keys)
    assert again.read([keys[2], keys[0]]).tolist() == [[0, 0, 1], [1, 0, 0]]
    again.keep(keys[1:])
    assert FeatureStore(tmp_path).keys == set(keys[1:])


def test_a_damaged_store_is_one_sentence(tmp_path):
    (tmp_path / "features.sqlite").write_text("no database, but long enough to be taken for one" * 100)
    with pytest.raises(UserError, match=r"cannot use .*features.sqlite \(file is not a database\); delete it"):
        FeatureStore(tmp_path)


@pytest.fixture
def mine(music, tmp_path):
    """Four files, of which two are copies in a folder with the same names."""
    for name in ("rock.00003.wav", "jazz.00001.wav"):
        for folder in ("one", "two"):
            (tmp_path / "mine" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(music / name[:4] / name, tmp_path / "mine" / folder / name)
    return tmp_path / "mine"


def predict(run, folder, path, *overrides):
    own = [f"run={run.folder}", f"input={path}", f"folder={folder}"]
    return genre.predict(genre.compose(*own, *overrides, config_name="predict"))


def test_the_most_similar_tracks_are_named_and_a_copy_is_marked(run, mine, tmp_path, capsys):
    result = predict(run, tmp_path / "predicted", mine, "neighbours=2")
    assert "jazz.00001.wav 1.00 (copy)" in capsys.readouterr().out
    rows = csv_rows(result.folder / "neighbours.csv")
    assert [(row["path"], row["rank"]) for row in rows] == [
        (str(path), rank) for path in sorted(mine.rglob("*.wav")) for rank in "12"
    ]
    first = rows[0]
    assert first["neighbour"] == str(mine / "two" / "jazz.00001.wav")
    assert (first["similarity"], first["copy"]) == ("1.0000", "yes")
    assert rows[1]["copy"] == "" and Path(rows[1]["neighbour"]).name == "rock.00003.wav"
    found = result.neighbours[str(mine / "one" / "jazz.00001.wav")]
    assert [one.name for one in found] == [row["neighbour"] for row in rows[:2]]


def test_neighbours_are_those_that_python_finds(run, mine, tmp_path):
    found = predict(run, tmp_path / "predicted", mine / "one", "neighbours=1", "format=jsonl")
    answers = genre.load(run.folder).predict(sorted((mine / "one").iterdir()))
    lines = [json.loads(line) for line in (found.folder / "neighbours.jsonl").read_text().splitlines()]
    for answer, line in zip(answers, lines, strict=True):
        (expected,) = answer.neighbours(answers, 1)
        (one,) = line["neighbours"]
        assert Path(one["path"]).name == expected.name and not one["copy"]
        assert one["similarity"] == pytest.approx(expected.similarity, abs=1e-3)


def heard(monkeypatch):
    """The names of the files that are predicted from now on."""
    names, real = [], Model.recording
    monkeypatch.setattr(Model, "recording", lambda model, file: names.append(Path(file).name) or real(model, file))
    return names


def test_features_are_kept_for_the_next_call_and_replaced_where_a_file_changed(run, mine, music, tmp_path, monkeypatch):
    predict(run, tmp_path / "predicted", mine)
    names = heard(monkeypatch)
    first = predict(run, tmp_path / "predicted", mine, "neighbours=3")
    assert len(names) == 4  # nothing was kept before it was asked for
    names.clear()
    assert predict(run, tmp_path / "predicted", mine, "neighbours=3") == first and names == []
    shutil.copy(music / "blues" / "blues.00001.wav", mine / "two" / "rock.00003.wav")
    os.utime(mine / "two" / "rock.00003.wav", (1, 1))
    (mine / "two" / "jazz.00001.wav").unlink()
    second = predict(run, tmp_path / "predicted", mine, "neighbours=3")
    assert names == ["rock.00003.wav"] and len(second.neighbours) == 3
    alone = predict(run, tmp_path / "alone", mine, "neighbours=3")
    for path, found in second.neighbours.items():
        assert found == alone.neighbours[path] and not any(one.is_copy for one in found)
    with sqlite3.connect(tmp_path / "predicted" / "features.sqlite") as database:
        assert database.execute("SELECT count(*) FROM features").fetchone()[0] <= 5


def test_other_music_is_compared_with_an_earlier_collection(run, mine, music, tmp_path, caplog):
    collection = predict(run, tmp_path / "collection", mine, "neighbours=1").folder
    before = (collection / "predictions.csv").read_text()
    shutil.copy(mine / "one" / "rock.00003.wav", tmp_path / "song.wav")
    found = predict(run, tmp_path / "found", tmp_path / "song.wav", "neighbours=2", f"collection={collection}")
    ((name, others),) = found.neighbours.items()
    assert name == str(tmp_path / "song.wav") and all(one.is_copy for one in others)
    assert {one.name for one in others} == {str(mine / folder / "rock.00003.wav") for folder in ("one", "two")}
    assert (collection / "predictions.csv").read_text() == before
    (mine / "one" / "rock.00003.wav").unlink()
    os.utime(mine / "two" / "jazz.00001.wav", (1, 1))
    own = predict(run, tmp_path / "own", mine / "two" / "rock.00003.wav", "neighbours=9", f"collection={collection}")
    assert [[Path(one.name).parent.name for one in one] for one in own.neighbours.values()] == [["one"]]
    assert "2 of 4 files in collection=" in caplog.text


@pytest.mark.parametrize("collection", ["nowhere", "without features", "other model"])
def test_a_collection_without_features_of_the_model_is_one_sentence(run, mine, tmp_path, monkeypatch, collection):
    if collection != "nowhere":
        more = ["neighbours=1"] if collection == "other model" else []
        predict(run, tmp_path / collection, mine, *more)
    if collection == "other model":
        monkeypatch.setattr(Model, "identity", "another")
    names = heard(monkeypatch)
    with pytest.raises(UserError, match=rf"collection=.*{collection} has no features of this model .*neighbours=1"):
        predict(run, tmp_path / "found", mine, "neighbours=1", f"collection={tmp_path / collection}")
    assert names == [] and not (tmp_path / "nowhere").exists()


def test_what_cannot_be_compared_is_refused_before_it_is_predicted(run, mine, tmp_path, monkeypatch):
    names = heard(monkeypatch)
    with pytest.raises(UserError, match="neighbours=5 compares several files"):
        predict(run, tmp_path / "x", mine / "one" / "rock.00003.wav", "neighbours=5")
    with pytest.raises(UserError, match="add neighbours=5"):
        predict(run, tmp_path / "x", mine, f"collection={tmp_path}")
    assert names == []


def test_predictions_without_features_are_one_sentence():
    without = Prediction("a.mp3", 1.0, ("jazz",), (1.0,), ("jazz",))
    with pytest.raises(UserError, match="exported file does not have"):
        without.neighbours([without, Prediction("b.mp3", 1.0, ("jazz",), (1.0,), ("jazz",))])
    assert without.neighbours([without]) == []


def test_copies_of_a_waveform_have_the_same_features(run, music):
    songs = [
        soundfile.read(music / name / f"{name}.00001.wav", dtype="float32")[0] for name in ("jazz", "blues", "jazz")
    ]
    one, other, copy = genre.load(run.folder).predict(songs, 22_050)
    assert np.linalg.norm(one.features) == pytest.approx(1)
    first, second = one.neighbours([one, other, copy])
    assert first.is_copy and not second.is_copy
