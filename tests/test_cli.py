"""Paths are taken literally, and a mistake is one sentence with exit code 1."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

import genre
from genre.cli import hydra_arguments
from genre.config.settings import train_settings
from genre.paths import literal, quoted

ROOT = Path(__file__).parents[1]
ODD = [
    "AC-DC (Live), 1975 & more=é [x].mp3",
    "it's",
    "back\\slash",
    "ends in \\",
    "${HOME}",
    "a\\'b",
    "{x: 1}",
    '"quoted"',
    "# no comment",
    "日本/語",
]


@pytest.mark.parametrize("path", ODD)
def test_hydra_gives_back_the_very_path(path):
    assert genre.compose("data=folder", f"data.root={path}").data.root == path


def test_other_keys_are_left_to_hydra():
    assert literal("model.filters=[1,2],[3,4]") == "model.filters=[1,2],[3,4]"
    assert literal("data.catalogue=null") == "data.catalogue=null"


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_multirun_may_be_asked_for_anywhere(flag):
    expected = [flag, "grid=small", "hydra/launcher=joblib", "data.root='x'"]
    assert hydra_arguments(["grid=small", flag, "hydra/launcher=joblib", "data.root=x"]) == expected
    assert hydra_arguments(["grid=small", "hydra/launcher=joblib", "data.root=x", flag]) == expected


def test_other_processes_of_a_resumed_run_compose_from_its_record_too(tmp_path):
    folder = tmp_path / "it's (a) run=1, ${x}"
    folder.mkdir()
    (folder / "hparams.yaml").write_text("name: of ${oc.env:HOME}\nseed: 3\n")
    given = hydra_arguments([f"resume={folder}", "trainer.max_epochs=2"])
    assert "hydra.job.name=train" in given
    assert "hydra.job.name=curve" in hydra_arguments([f"resume={folder}"], "curve")
    ConfigStore.instance().repo.pop("resumed.yaml")
    repeated = [*given, "hydra.job.name=train_ddp_process_1"]
    assert hydra_arguments(repeated) == repeated
    record = OmegaConf.to_container(ConfigStore.instance().load("resumed.yaml").node, resolve=True)
    assert record == {"name": "of ${oc.env:HOME}", "seed": 3, "trust": None}


def test_a_full_disk_is_one_sentence(monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device", "/music/predictions.csv")

    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    with pytest.raises(SystemExit, match=r"error: the disk is full \(/music/predictions.csv\); free some space"):
        genre.command(full)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EEXIST])
def test_a_folder_that_cannot_be_used_is_one_sentence(monkeypatch, number):
    def refuse():
        raise OSError(number, os.strerror(number), "outputs")

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit, match=r"error: cannot use outputs \(.*\); choose another folder or a shorter name"):
        genre.command(refuse)


def test_a_terminal_that_knows_ascii_only_gets_escapes(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    genre.command(lambda: print("música", flush=True))
    assert stdout.buffer.getvalue() == b"m\\xfasica\n"


def test_without_a_home_folder_the_cache_must_be_given(monkeypatch):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(genre.UserError, match=r"~/.cache/genre needs a home folder, and there is none; set HOME"):
        train_settings(genre.compose("data=synthetic", "folder=run"))
    assert train_settings(genre.compose("data=synthetic", "folder=run", "data.cache=here")).data.cache == Path("here")


def command(tmp_path, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, ROOT / arguments[0], *arguments[1:]],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["train.py", "--help"], ["cut.py", "--help"], ["predict.py", "--cfg", "job"]])
def test_a_reader_that_closes_the_pipe_ends_a_command_quietly(tmp_path, arguments):
    ours, theirs = os.pipe()
    os.close(ours)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, ROOT / arguments[0], *arguments[1:]],
        cwd=tmp_path, env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        slow(["train.py", "data.root=nowhere"], "no GTZAN at nowhere"),
        (["train.py", "model=alexnet"], "alexnet"),
        (["train.py", "modle.filters=[1]"], "modle"),
        slow(["train.py", "data=synthetic", "model.kernel_size=2"], "model.kernel_size=2 must be odd"),
        slow(["evaluate.py", "run=nowhere"], "nowhere is not a finished run"),
        slow(["evaluate.py"], "needs run=FOLDER"),
        slow(["train.py", "data=synthetic", "name=" + 300 * "x"], "File name too long"),
        (["sweep.py", "data=synthetic", "grid=large"], "large"),
        slow(["sweep.py", "data=synthetic", "grid.sampler=bayes"], "grid.sampler=bayes must be one of grid, random"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(tmp_path, arguments, words):
    done = command(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    done = command(tmp_path, "train.py", "data.root=nowhere", "debug=true")
    assert done.returncode == 1 and "Traceback" in done.stderr


SCRIPTS = ["train.py", "prepare.py", "evaluate.py", "predict.py", "explore.py", "sweep.py", "curve.py"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_the_groups_and_a_worked_example(tmp_path, script):
    done = command(tmp_path, script, "--help")
    assert done.returncode == 0
    assert f"python {script}" in done.stdout and ("logmel" in done.stdout or script == "predict.py")


def test_help_does_not_wait_for_pytorch():
    code = "import sys, genre.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode == 0


@pytest.mark.slow
def test_a_run_is_resumed_from_the_command_line(tmp_path, music):
    folder = tmp_path / "it's (a) run=1, $x"
    small = ["model.filters=[4,4,8]", "view.seconds=4", "trainer.max_epochs=1", "trainer.precision=32-true"]
    begun = command(
        tmp_path, "train.py", "data=folder", f"data.root={music}", *small, f"hydra.run.dir={quoted(str(folder))}"
    )
    assert begun.returncode == 0, begun.stderr
    resumed = command(tmp_path, "train.py", f"resume={folder}", "trainer.max_epochs=2")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == str(folder)
    assert len((folder / "history.csv").read_text().splitlines()) == 3
    assert "max_epochs=1" in (folder / ".hydra" / "overrides.yaml").read_text()
    for override in ("model=vgg16", "optimizer.lr=1"):
        refused = command(tmp_path, "train.py", f"resume={folder}", override)
        assert refused.returncode == 1
        assert "continues the run unchanged" in refused.stderr and "Traceback" not in refused.stderr
