"""A checkpoint of anything else is refused in one sentence, and nothing in it is executed."""

import os
import zipfile

import pytest
import torch

import genre
from genre.errors import UserError
from genre.models import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory, music, cache):
    """One finished run that no test changes."""
    own = ["data=folder", f"data.root={music}", f"data.cache={cache}", "name=test", "view.seconds=4"]
    quick = ["trainer.max_epochs=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false"]
    small = ["model.filters=[4,4,8]", "model.dense_units=8", f"folder={tmp_path_factory.mktemp('runs') / 'run'}"]
    return genre.train(genre.compose(*own, *quick, *small)).folder


class Planted:
    """What a malicious pickle does when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


def good(run):
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)


def foreign(kind, run, path):
    """Write a file that is no checkpoint of this program."""
    if kind == "text":
        path.write_text("weights")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "another program's":
        torch.save({"state_dict": {}}, path)
    elif kind == "a list":
        torch.save([1, 2], path)
    elif kind == "cut":
        path.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes()[:-500])
    elif kind == "a zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a", "b")
    elif kind == "a pickle inside":
        torch.save(good(run) | {"planted": Planted()}, path)


@pytest.mark.parametrize("kind", ["text", "empty", "another program's", "a list", "cut", "a zip", "a pickle inside"])
def test_another_file_is_refused_and_not_executed(run, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    foreign(kind, run, tmp_path / "best.ckpt")
    with pytest.raises(
        UserError, match=r"best.ckpt is not a checkpoint of this program .*; give a run of this program"
    ):
        checkpoint.read_checkpoint(tmp_path / "best.ckpt")
    assert not (tmp_path / "planted").exists()


def test_another_version_is_refused(run, tmp_path):
    content = good(run)
    content["genre"]["version"] = 99
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match="is of version 99, this program reads version 2; train again"):
        checkpoint.read_checkpoint(tmp_path / "best.ckpt")


def test_other_genres_cannot_be_started_from(configured, run, tmp_path):
    content = good(run)
    content["genre"]["genres"] = ["polka", "ska", "waltz"]
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match="has the genres polka, ska, waltz; the data has blues, jazz, rock"):
        genre.train(configured(f"init_from={tmp_path / 'best.ckpt'}"))


def test_weights_of_another_shape_are_told(run, tmp_path):
    content = good(run)
    content["genre"]["config"]["model"]["dense_units"] = 9
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match="do not fit its network"):
        genre.load(tmp_path / "best.ckpt")


def test_a_class_that_is_no_network_is_not_called(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = good(run)
    content["genre"]["config"]["model"] = {"_target_": "os.mkdir", "path": "planted"}
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=r"os\.mkdir"):
        genre.load(tmp_path / "best.ckpt")
    assert not (tmp_path / "planted").exists()


def test_a_full_disk_keeps_the_checkpoint_before(run, tmp_path, monkeypatch):
    path = tmp_path / "best.ckpt"
    checkpoint.save_checkpoint(good(run), path)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.add_metadata(path, {"thresholds": [0.5]})
    assert os.listdir(tmp_path) == ["best.ckpt"]
    assert "thresholds" not in checkpoint.load_content(path)["genre"]


def full(*paths):
    raise OSError(28, "No space left on device")
