"""The experiment of the winner: its point, and what the command line changed for all points."""

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig

import genre
from genre import paths
from genre.config.settings import sweep_settings
from genre.sweeping.finalists import changed_keys


@pytest.fixture
def base():
    """Return a function that composes the base of a sweep as inside a command with these overrides."""

    def compose(*overrides):
        arguments = ["folder=x", "name=x", *overrides]
        with hydra.initialize_config_dir(str(paths.CONF), version_base="1.3"):
            cfg = hydra.compose("sweep", arguments, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return sweep_settings(genre.compose(*arguments, config_name="sweep")).template

    yield compose
    HydraConfig.instance().cfg = None


def test_chosen_options_are_not_changes(base):
    assert changed_keys(base("grid=small", "model=resnet", "data=logmel", "data.path=x", "augment=strong")) == {}


def test_overrides_for_all_points_belong_to_the_winner(base):
    given = ["model=resnet", "optimizer.weight_decay=1e-4", "+scheduler.threshold=0.1", "batch_size=16"]
    assert changed_keys(base(*given, "trainer.max_epochs=9")) == {
        "optimizer.weight_decay": 1e-4, "scheduler.threshold": 0.1, "batch_size": 16, "trainer.max_epochs": 9,
    }  # fmt: skip


def test_values_of_an_experiment_belong_to_the_winner(base):
    assert changed_keys(base("experiment=vgg16_pooled")) == {"model.features": "pooled"}


def test_keys_of_the_machine_the_music_and_the_split_do_not_belong_to_the_winner(base):
    overrides = [
        "model=vgg16", "model.weights=/a/file", "data=logmel", "data.path=/music", "split.seed=3", "worker=1",
        "grid.trials=null", "trainer.accelerator=cpu", "trainer.precision=32-true", "data.cache=/cache",
    ]  # fmt: skip
    assert changed_keys(base(*overrides)) == {}


def test_a_sweep_started_from_python_has_no_overrides():
    assert changed_keys(genre.compose("batch_size=16", "folder=x")) == {}
