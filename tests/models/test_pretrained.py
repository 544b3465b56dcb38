"""A trained network in one file predicts as its run does, and the one that comes with the program answers at once."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

import genre
from genre.data.gtzan import fault_filtered
from genre.errors import UserError
from genre.models.checkpoint import read_checkpoint
from genre.models.postprocessing import PostProcessing
from genre.models.pretrained import portable, pretrained_classifier, read_pretrained, write_pretrained

LIMIT = 8_000_000  # bytes


@pytest.fixture
def run(configured):
    """A run of one epoch."""
    return genre.train(configured("trainer.max_epochs=1"))


def test_a_network_in_one_file_predicts_as_its_run_does(run, tmp_path):
    saved = read_checkpoint(run.folder)
    write_pretrained(tmp_path / "mine.safetensors", saved)
    waveform = torch.randn(2, 40_000) / 10
    torch.testing.assert_close(
        genre.load(tmp_path / "mine.safetensors")(waveform), genre.load(run.folder)(waveform), atol=2e-3, rtol=0
    )


def test_its_postprocessing_and_its_training_tracks_travel_along(run, tmp_path):
    saved = replace(read_checkpoint(run.folder), trained_on=("a", "b"))
    write_pretrained(tmp_path / "mine.safetensors", saved)
    read = read_pretrained(tmp_path / "mine.safetensors")
    assert (read.genres, read.trained_on) == (saved.genres, saved.trained_on)
    assert read.postprocessing.metadata() == saved.postprocessing.metadata() != PostProcessing().metadata()


def test_a_network_with_metadata_becomes_one_of_the_music_alone(run, tmp_path):
    alone = PostProcessing(temperature=3.0)
    saved = replace(read_checkpoint(run.folder), music_postprocessing=alone)
    saved.record["model"]["metadata"] = ["title"]
    write_pretrained(tmp_path / "mine.safetensors", saved)
    read = read_pretrained(tmp_path / "mine.safetensors")
    assert read.record["model"]["metadata"] == [] and read.postprocessing.metadata() == alone.metadata()


def test_it_contains_no_folder_of_the_machine(run, tmp_path, music):
    write_pretrained(tmp_path / "mine.safetensors", read_checkpoint(run.folder))
    content = (tmp_path / "mine.safetensors").read_bytes()
    assert str(music.parent).encode() not in content and str(tmp_path.parent).encode() not in content


def test_of_paths_the_names_of_files_remain():
    record = {"data": {"path": "/home/me/a.npz", "cache": "/tmp"}, "model": {"weights": "/w/v.pt"}, "folder": "/x"}
    assert portable(record) == {"data": {"path": "a.npz"}, "model": {"weights": "v.pt", "metadata": []}, "folder": "."}


def test_another_file_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(UserError, match="not a trained network of this program"):
        genre.load(tmp_path / "text.safetensors")


def test_the_network_that_comes_with_the_program_answers_without_a_run():
    model = genre.load()
    probabilities = model(torch.randn(1, 3 * model.sample_rate) / 10)
    assert probabilities.shape == (1, 10) and probabilities.sum().item() == pytest.approx(1, abs=1e-4)
    assert "jazz" in model.genres and model.is_uncertain([0.1] * 10)


def test_it_is_small_and_has_a_card():
    path = pretrained_classifier()
    assert path.stat().st_size <= LIMIT and path.with_suffix(".md").is_file()


def test_it_was_trained_on_no_test_track_of_the_fault_filtered_lists():
    lists, trained_on = fault_filtered(), read_pretrained(pretrained_classifier()).trained_on
    assert len(trained_on) == 709 and all(lists.get(name) != "test" for name in trained_on)


def test_its_record_names_no_folder():
    with safe_open(pretrained_classifier(), "pt") as file:
        config = json.loads(file.metadata()["genre"])["config"]
    assert config["split"]["val_share"] == config["split"]["test_share"] == 0  # all tracks are training tracks
    assert "/" not in json.dumps(config["data"])
