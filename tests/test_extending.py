"""The examples of docs/extending.md work."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import genre
from genre.config.components import component
from genre.data.sources import first_store
from genre.tasks import Multiclass, Task
from genre.transforms.augment import Augment

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def myparts(tmp_path, monkeypatch):
    """The examples as a module in a folder outside the package."""
    (tmp_path / "myparts.py").write_text("\n".join(EXAMPLES))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "myparts", raising=False)
    yield importlib.import_module("myparts")
    sys.modules.pop("myparts")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_has_at_most_20_lines(example):
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


@pytest.mark.usefixtures("myparts")
def test_the_network_is_built_by_its_target_and_gives_logits():
    node = {"_target_": "myparts.Tiny", "channels": 4}
    network = component("model", node, torch.nn.Module).build(genres=3, size=64)
    logits = network(torch.rand(2, 1, 64, 64))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.usefixtures("myparts")
def test_the_augmentation_changes_levels_by_at_most_its_gain():
    augment = component("augment", {"_target_": "myparts.Gain", "gain": 0.2}, Augment).build()
    pictures = torch.full((64, 1, 8, 8), 0.5)
    change = augment.picture(pictures, torch.Generator().manual_seed(0)) - pictures
    assert augment.acts and not augment.acts_on_power
    assert 0.15 < change.abs().max() <= 0.2001
    assert torch.equal(change, change[:, :, :1, :1].expand_as(change))


@pytest.mark.usefixtures("myparts")
def test_the_task_without_focus_is_the_cross_entropy():
    logits, target = torch.randn(5, 3), torch.eye(3)[[0, 1, 2, 0, 1]]
    unfocused = component("task", {"_target_": "myparts.Focal", "gamma": 0.0}, Task).build()
    torch.testing.assert_close(unfocused.losses(logits, target), Multiclass().losses(logits, target))
    focal = component("task", {"_target_": "myparts.Focal"}, Task).build()
    assert (focal.losses(logits, target) < Multiclass().losses(logits, target)).all()


def test_the_reader_lists_tracks_that_can_be_decoded(myparts, music, tmp_path):
    (tmp_path / "flat").mkdir()
    for name in ("jazz", "rock"):
        shutil.copy(music / name / f"{name}.00000.wav", tmp_path / "flat" / f"{name} - One.wav")
    catalogue = myparts.read_flat(tmp_path / "flat")
    assert [(track.name, track.genres, track.extra["title"]) for track in catalogue.tracks] == [
        ("jazz - One.wav", ("jazz",), "One"),
        ("rock - One.wav", ("rock",), "One"),
    ]
    assert first_store(catalogue, 22_050, tmp_path / "cache").names == ["jazz - One.wav", "rock - One.wav"]


@pytest.mark.usefixtures("myparts")
def test_the_commands_of_the_page_select_the_parts(configured, music, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in music.rglob("*.wav"):
        shutil.copy(path, flat / f"{path.parent.name} - {path.name}")
    overrides = re.findall(r"`((?:model|augment|task|data)[^`]*)`", PAGE.read_text(encoding="utf-8"))
    words = [word for override in overrides for word in override.split() if "._target_=" in word or "+" in word]
    assert [word.split(".")[0].lstrip("+") for word in words if "_target_" in word] == [
        "model",
        "augment",
        "task",
        "data",
    ]
    run = genre.train(configured(*words, f"data.root={flat}", network="own"))
    assert run.metrics["tracks"] == {"train": 21, "val": 3, "test": 6}
    assert run.metrics["parameters"] == (16 * 25 + 16) + (16 * 3 + 3)


@pytest.mark.slow
def test_a_yaml_in_a_folder_of_ones_own_is_an_option(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.yaml").write_text("# A tiny network.\n_target_: myparts.Tiny\nchannels: 4\n")
    (tmp_path / "myparts.py").write_text("\n".join(EXAMPLES))
    own = ["data=synthetic", "data.tracks=3", "data.seconds=1", f"data.cache={tmp_path}", "view.seconds=1"]
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "--config-dir",
        str(tmp_path),
        "model=tiny",
        "trainer=debug",
        *own,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(done.stdout.splitlines()[-1]).parent.name == "tiny-multiclass"
