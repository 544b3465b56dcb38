"""A run that breaks off goes on as if nothing had been, and as it was."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest
import torch
from lightning import Callback

import genre
from genre.config.records import write_record
from genre.config.settings import train_settings
from genre.errors import UserError
from genre.models import checkpoint
from genre.training import trainer
from genre.training.train import Result


class Stop(Callback):
    """Breaks a run off when an epoch begins."""

    def __init__(self, epoch, error=KeyboardInterrupt):
        self.epoch, self.error = epoch, error

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise self.error


@pytest.fixture
def broken_off(monkeypatch):
    """Let the next run break off at an epoch."""

    def arrange(epoch, error=ValueError):
        usual = trainer.build_callbacks

        def with_stop(*arguments):
            monkeypatch.setattr(trainer, "build_callbacks", usual)
            return [*usual(*arguments), Stop(epoch, error)]

        monkeypatch.setattr(trainer, "build_callbacks", with_stop)

    return arrange


CHANGING = ("scheduler.patience=0", "optimizer.lr=0.1", "stopping.patience=null")
MIXING = ("augment=strong", "augment.mix=0.5", "task=multilabel")
CROPPING = ("view=segments", "view.seconds=1")


@pytest.mark.parametrize(("epoch", "overrides"), [(0, ()), (1, ()), (3, ()), (2, CHANGING), (1, MIXING), (1, CROPPING)])
def test_a_resumed_run_has_the_history_and_the_metrics_of_an_unbroken_one(
    configured, broken_off, tmp_path, epoch, overrides
):
    whole = genre.train(configured("trainer.max_epochs=4", *overrides, f"folder={tmp_path / 'whole'}"))
    broken_off(epoch)
    with pytest.raises(ValueError):
        genre.train(configured("trainer.max_epochs=4", *overrides))
    resumed = genre.train(genre.compose(f"resume={tmp_path / 'run'}"))
    same_results(whole, resumed)
    assert len(rows(resumed.folder / "history.csv")) == 5


def rows(path):
    return path.read_text().splitlines()


def same_results(one, other):
    for name in ("history.csv", "splits.csv", "predictions.csv", "report.txt"):
        assert (one.folder / name).read_text() == (other.folder / name).read_text()
    assert metrics_of(one) == metrics_of(other)


def metrics_of(run):
    return {key: value for key, value in run.metrics.items() if key.startswith(("train/", "val/", "test/"))}


def test_frozen_weights_come_from_where_they_came_and_must_be_the_same(configured, broken_off, tmp_path):
    overrides = ("model=vgg16", "model.weights=random", "augment=none", "trainer.max_epochs=2")
    broken_off(1)
    with pytest.raises(ValueError):
        genre.train(configured(*overrides, network="vgg16"))
    genre.train(genre.compose(f"resume={tmp_path / 'run'}", "trainer.max_epochs=3"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    assert len(content["state_dict"]) < 10
    content["genre"]["frozen"] = "other"
    torch.save(content, last)
    with pytest.raises(UserError, match=r"model.weights are not those of the run \(other, now"):
        genre.train(genre.compose(f"resume={tmp_path / 'run'}", "trainer.max_epochs=4"))


def test_a_finished_run_goes_on_where_more_epochs_are_allowed(configured, tmp_path):
    whole = genre.train(configured("trainer.max_epochs=3", f"folder={tmp_path / 'whole'}"))
    short = genre.train(configured("trainer.max_epochs=2"))
    same_results(genre.train(genre.compose(f"resume={short.folder}")), short)
    saved = checkpoint.load_content(short.folder / "checkpoints" / "last.ckpt")["callbacks"]
    before = next(state["seconds"] for name, state in saved.items() if name.startswith("History"))
    longer = genre.train(genre.compose(f"resume={short.folder}", "trainer.max_epochs=3"))
    same_results(longer, whole)
    assert longer.metrics["seconds"] > before > 0


def test_what_stopped_early_stays_stopped(configured):
    still = ("optimizer.lr=1e-30", "stopping.patience=1", "trainer.max_epochs=9")
    stopped = genre.train(configured(*still))
    again = genre.train(genre.compose(f"resume={stopped.folder}"))
    assert again.metrics["epochs"] == stopped.metrics["epochs"] == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=0.5", "optimizer.lr cannot change from 0.001 to 0.5"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val cannot change to 1"),
        ("model=vgg16", "model cannot change to vgg16"),
        ("split.seed=1", "split.seed cannot change from 0 to 1"),
    ],
)
def test_anything_else_is_refused_by_name(configured, run, override, message):
    with pytest.raises(UserError, match=message):
        genre.train(genre.compose(f"resume={run.folder}", override))


@pytest.fixture(scope="module")
def run(tmp_path_factory, music, cache):
    """One finished run that no test changes."""
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", "name=test", "view.seconds=4",
            f"folder={tmp_path_factory.mktemp('runs') / 'run ${HOME} (1)'}",
            "trainer.max_epochs=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
            "model.filters=[4,4,8]", "model.dense_units=8",
        )
    )  # fmt: skip


def test_other_music_is_refused(configured, run, music, tmp_path):
    shutil.copytree(music, tmp_path / "other", ignore=shutil.ignore_patterns("blues.00004.wav"))
    copied = shutil.copytree(run.folder, tmp_path / "copy")
    with pytest.raises(UserError, match="the tracks or their subsets have changed"):
        genre.train(genre.compose(f"resume={copied}", f"data.root={tmp_path / 'other'}"))


def test_a_mistake_in_the_data_leaves_no_run_behind(configured, tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        genre.train(configured(f"data.root={tmp_path / 'nowhere'}"))
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not a run: .*hparams.yaml is missing; give the folder"):
        genre.compose(f"resume={tmp_path}")


class Planted:
    """What a malicious pickle does when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_a_checkpoint_with_a_pickle_inside_is_refused_and_not_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copied = shutil.copytree(run.folder, tmp_path / "copy")
    torch.save({"genre": {"version": 1}, "state_dict": {}, "global_step": Planted()}, copied / "checkpoints/last.ckpt")
    with pytest.raises(UserError, match="is not a checkpoint of this program"):
        genre.train(genre.compose(f"resume={copied}"))
    assert not (tmp_path / "planted").exists()


def full_after(monkeypatch, epochs):
    """A disk that has room for the checkpoints of so many epochs, whether they were the best or not."""
    left = iter(range(epochs))
    usual = checkpoint.write_bytes

    def write(path, content):
        if path.name == "last.ckpt" and next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(path, content)

    monkeypatch.setattr(checkpoint, "write_bytes", write)


def test_a_full_disk_keeps_the_last_good_checkpoint_and_says_how_to_go_on(configured, tmp_path, monkeypatch):
    whole = genre.train(configured("trainer.max_epochs=3", f"folder={tmp_path / 'whole'}"))
    with monkeypatch.context() as patched:
        full_after(patched, 1)
        with pytest.raises(
            UserError, match=r"the disk of .* is full; free some space and continue with: python train.py resume="
        ):
            genre.train(configured("trainer.max_epochs=3"))
    assert checkpoint.load_content(tmp_path / "run" / "checkpoints" / "last.ckpt")["epoch"] == 0
    same_results(genre.train(genre.compose(f"resume={tmp_path / 'run'}")), whole)


def test_a_checkpoint_half_written_by_a_kill_is_tidied_up(configured, tmp_path):
    torn = tmp_path / "run" / "checkpoints" / ".last.ckpt.123"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"half")
    write_record(tmp_path / "run", train_settings(configured()).record)
    genre.train(genre.compose(f"resume={tmp_path / 'run'}"))
    assert sorted(path.name for path in torn.parent.iterdir()) == ["best.ckpt", "last.ckpt"]


def killed_or_done(overrides, result):
    """One attempt of a run, in a process of its own."""
    torch.set_num_threads(1)
    result.value = genre.train(genre.compose(*overrides)).objective


@pytest.mark.slow
def test_a_run_killed_at_20_random_moments_ends_as_an_unbroken_one(shared, tmp_path):
    """Killed while decoding, computing pictures, training, writing checkpoints and evaluating."""

    def begun(name):
        return [
            "data=gtzan", f"data.root={shared / 'gtzan_mini'}", f"data.cache={tmp_path / 'cache' / name}",
            f"folder={tmp_path / name}", "name=test", "trainer.max_epochs=15", "trainer.precision=32-true",
            "trainer.enable_progress_bar=false", "model.filters=[4,4,8]", "task=multilabel",
        ]  # fmt: skip

    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["genre.training.train", "genre.data.synthetic", "tensorboard"])
    result = processes.Value("d", -1.0)

    def attempt(name, seconds):
        resumes = (tmp_path / name / "hparams.yaml").exists()
        overrides = [f"resume={tmp_path / name}"] if resumes else begun(name)
        process = processes.Process(target=killed_or_done, args=(overrides, result))
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        return process.exitcode

    attempt("warm", 60)  # the server of processes imports PyTorch once
    begin = time.monotonic()
    assert attempt("whole", 300) == 0
    longest = time.monotonic() - begin
    draw, kills, ended = random.Random(0), 0, []
    while kills < 20 or not ended:
        name = f"killed-{len(ended)}"
        if attempt(name, draw.uniform(0.0, 0.6) * longest if kills < 20 else 300) == -signal.SIGKILL:
            kills += 1
        else:
            ended.append(name)
    for name in ended:
        same_results(*(result_in(tmp_path / name) for name in ("whole", name)))


def result_in(folder):
    return Result(folder, 0.0, json.loads((folder / "metrics.json").read_text()))
