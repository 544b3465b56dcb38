"""What the winner of a sweep is, beside the values of its point."""

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig

from genre import config, paths
from genre.sweeping.finalists import changed_keys
from genre.sweeping.worker import base_config


@pytest.fixture
def base():
    """The base of a sweep, as it is inside a command with these overrides."""

    def compose(*overrides):
        own = ["folder=x", "name=x", *overrides]
        with hydra.initialize_config_dir(str(paths.CONF), version_base="1.3"):
            cfg = hydra.compose("sweep", own, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return base_config(config.compose(*own, config_name="sweep"))

    yield compose
    HydraConfig.instance().cfg = None


def test_options_alone_change_nothing(base):
    assert changed_keys(base("grid=small", "model=resnet", "data=logmel", "data.path=x", "augment=strong")) == {}


def test_what_the_command_line_changed_for_all_points_belongs_to_the_winner(base):
    given = ["model=resnet", "optimizer.weight_decay=1e-4", "+scheduler.threshold=0.1", "batch_size=16"]
    assert changed_keys(base(*given, "trainer.max_epochs=9")) == {
        "optimizer.weight_decay": 1e-4, "scheduler.threshold": 0.1, "batch_size": 16, "trainer.max_epochs": 9,
    }  # fmt: skip


def test_so_does_what_an_experiment_changed(base):
    assert changed_keys(base("experiment=vgg16_pooled")) == {"model.features": "pooled"}


def test_the_machine_the_music_and_the_split_do_not(base):
    apart = [
        "model=vgg16", "model.weights=/a/file", "data=logmel", "data.path=/music", "split.seed=3", "worker=1",
        "grid.trials=null", "trainer.accelerator=cpu", "trainer.precision=32-true", "data.cache=/cache",
    ]  # fmt: skip
    assert changed_keys(base(*apart)) == {}


def test_from_python_there_is_no_command_line():
    assert changed_keys(config.compose("batch_size=16", "folder=x")) == {}
