"""A group with a target calls a class or function of the right kind, and nothing else."""

import pytest
import torch
from torch import nn

import genre
from genre.config.components import component
from genre.config.settings import train_settings
from genre.data.catalogue import Catalogue
from genre.errors import UserError


@pytest.mark.parametrize(
    ("key", "target", "base"),
    [
        ("model", "subprocess.Popen", nn.Module),
        ("model", "torch.load", nn.Module),
        ("data", "os.system", Catalogue),
        ("data", "shutil.rmtree", Catalogue),
        ("data", "genre.data.gtzan.genre_folder", Catalogue),
        ("data", "genre.data.gtzan.GENRES", Catalogue),
    ],
)
def test_what_is_of_another_kind_is_not_called(key, target, base):
    with pytest.raises(UserError, match=rf"{key}\._target_={target} is not a {base.__name__}"):
        component(key, {"_target_": target}, base)


@pytest.mark.parametrize("target", ["genre.data.csvs.read", "nowhere.read", "read", ""])
def test_a_target_that_does_not_exist_is_named(target):
    with pytest.raises(UserError, match=rf"data\._target_={target} cannot be imported"):
        component("data", {"_target_": target}, Catalogue)


def test_a_reader_in_a_strangers_checkpoint_is_not_called(configured, tmp_path):
    run = genre.train(configured())
    path, planted = run.folder / "checkpoints" / "best.ckpt", tmp_path / "planted"
    content = torch.load(path, weights_only=True)
    content["genre"]["config"]["data"] = {"_target_": "os.mkdir", "path": str(planted)}
    torch.save(content, path)
    with pytest.raises(UserError, match=r"names data\._target_=os\.mkdir, which is no known part of a run"):
        genre.evaluate(genre.compose(f"run={run.folder}", f"folder={tmp_path / 'out'}", config_name="evaluate"))
    assert not planted.exists()


@pytest.mark.slow
def test_tracks_are_limited_in_evaluation_and_exploration_too(configured, music, tmp_path):
    run = genre.train(configured())
    other = ["data=folder", f"data.root={music}", "data.limit_tracks=2", f"data.cache={tmp_path}"]
    evaluation = [f"run={run.folder}", *other, "exclude_seen=false", f"folder={tmp_path / 'a'}"]
    evaluated = genre.evaluate(genre.compose(*evaluation, config_name="evaluate"))
    assert evaluated.metrics["tracks"] == {"all": 6}
    explored = genre.explore(
        genre.compose(*other, "pictures=false", "name=x", f"folder={tmp_path / 'b'}", config_name="explore")
    )
    assert len(explored.features) == 6


def test_settings_know_the_readers_of_conf():
    settings = train_settings(genre.compose("data=csv", "data.path=x", "folder=x", "name=x"))
    assert settings.data.reader.name == "genre.data.catalogue.read_csv"
