"""Untrained models of every kind, and one small run that the tests of exports share."""

from pathlib import Path

import pytest
import torch

import genre
from genre.config.build import build_network
from genre.config.settings import train_record, train_settings
from genre.models.checkpoint import Checkpoint
from genre.models.postprocessing import PostProcessing
from genre.prediction.model import Model

WHOLE, SEGMENTS = ["view=whole", "view.seconds=2"], ["view=segments", "view.seconds=1", "view.crops=3"]
SMALL = ["spectrogram.size=64", "spectrogram.n_mels=64"]
VGG16 = ["model=vgg16", "model.weights=random"]
MEMBERS = "cnn: {_target_: genre.models.cnn.CNN}, resnet: {_target_: genre.models.resnet.ResNet}"
ENSEMBLE = f"model={{_target_: genre.models.ensemble.Ensemble, members: {{{MEMBERS}}}}}"
FROZEN_MEMBERS = "one: {_target_: genre.models.musicnn.MusiCNN, seconds: 2}, other: {_target_: genre.models.cnn.CNN}"
FROZEN = f"model={{_target_: genre.models.ensemble.Ensemble, members: {{{FROZEN_MEMBERS}}}}}"
KINDS = {
    "cnn": [*WHOLE, "model=cnn"],
    "segments": [*SEGMENTS, "model=cnn"],
    "archive": [*WHOLE, "spectrogram=archive"],
    "archive segments": [*SEGMENTS, "spectrogram=archive"],
    "multilabel": [*SEGMENTS, "task=multilabel"],
    "resnet": [*SEGMENTS, "model=resnet"],
    "gru": [*WHOLE, "model=crnn"],
    "attention": [*SEGMENTS, "model=crnn", "model.over_time=attention"],
    "flattened": [*WHOLE, *VGG16],
    "pooled": [*SEGMENTS, *VGG16, "model.features=pooled"],
    "musicnn": [*SEGMENTS, "model=musicnn", "model.seconds=1"],
    "ensemble": [*SEGMENTS, ENSEMBLE],
    "frozen ensemble": [*WHOLE, FROZEN],
}
WITH_DISTANCES = ("pooled", "musicnn", "frozen ensemble")


@pytest.fixture(params=KINDS)
def untrained(request, tmp_path):
    """A model of each kind with random weights."""
    cfg = genre.compose("data=synthetic", "name=test", f"folder={tmp_path}", *SMALL, *KINDS[request.param])
    torch.manual_seed(0)
    weights = build_network(train_settings(cfg), 3).state_dict()
    beyond = 1.0 if request.param in WITH_DISTANCES else None
    fitted = PostProcessing(temperature=0.5, uncertain_below=0.4, uncertain_beyond=beyond)
    saved = Checkpoint(Path("x"), None, ("a", "b", "c"), train_record(cfg), weights, music_postprocessing=fitted)
    return Model(saved).eval()


@pytest.fixture(scope="session")
def run(tmp_path_factory, music, cache):
    """A finished run with several genres per track and a view of crops of 1 s; no test changes it."""
    folder = tmp_path_factory.mktemp("exporting") / "run"
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={folder}", "name=test",
            "view=segments", "view.seconds=1", "view.crops=4", "task=multilabel", "task.thresholds=per_genre",
            "trainer.max_epochs=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
            "spectrogram.size=32", "model.filters=[4,4,8]", "model.dense_units=8",
        )
    )  # fmt: skip
