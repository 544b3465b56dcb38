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
from genre.config.records import read_record, write_record
from genre.config.settings import train_settings
from genre.errors import UserError
from genre.models import checkpoint
from genre.training import trainer
from genre.training.train import Result
from helpers import csv_rows


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


@pytest.mark.parametrize(
    ("epoch", "overrides"),
    [
        (1, ()),
        (1, MIXING),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(0, ()), (3, ()), (2, CHANGING), (1, CROPPING)]),
    ],
)
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


@pytest.mark.slow
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


def test_music_that_changed_under_its_name_is_refused(run, music, tmp_path):
    other = shutil.copytree(music, tmp_path / "other") / "blues"
    (other / "blues.00004.wav").write_bytes((other / "blues.00005.wav").read_bytes())
    copied = shutil.copytree(run.folder, tmp_path / "copy")
    with pytest.raises(UserError, match=r"have changed \(first difference: blues/blues.00004.wav\); restore the music"):
        genre.train(genre.compose(f"resume={copied}", f"data.root={tmp_path / 'other'}"))


def test_a_mistake_in_the_data_leaves_no_run_behind(configured, tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        genre.train(configured(f"data.root={tmp_path / 'nowhere'}"))
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not a run: .*hparams.yaml is missing; give the folder"):
        genre.compose(f"resume={tmp_path}")


@pytest.fixture
def three_epochs(configured, broken_off, tmp_path):
    """A run that breaks off in its fourth epoch of five, and an unbroken one beside it."""
    own = ["trainer.max_epochs=5", "stopping.monitor=val/accuracy"]  # of few tracks: it hardly ever improves
    whole = genre.train(configured(*own, f"folder={tmp_path / 'whole'}"))
    broken_off(3)
    with pytest.raises(ValueError):
        genre.train(configured(*own))
    return whole, tmp_path / "run"


def test_a_run_whose_folder_was_moved_remembers_its_best_epoch(three_epochs, tmp_path):
    whole, folder = three_epochs
    accuracies = [float(row["val_accuracy"]) for row in csv_rows(whole.folder / "history.csv")]
    assert accuracies.index(max(accuracies)) < 3
    folder.rename(tmp_path / "moved")
    same_results(genre.train(genre.compose(f"resume={tmp_path / 'moved'}")), whole)
    assert not folder.exists()


CUT = {
    "emptied": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "zeros in it": lambda content: content[:500] + bytes(len(content) // 2) + content[500 + len(content) // 2 :],
}


@pytest.mark.parametrize("damage", CUT.values(), ids=CUT)
def test_a_damaged_checkpoint_leaves_the_one_before_it(three_epochs, caplog, damage):
    whole, folder = three_epochs
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    resumed = genre.train(genre.compose(f"resume={folder}"))
    assert f"damaged in {folder}: last.ckpt; training goes on after epoch 1" in caplog.text
    same_results(resumed, whole)


@pytest.mark.parametrize("improves", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_damaged_best_checkpoint_is_trained_again(configured, broken_off, tmp_path, caplog, improves):
    """From the epoch before, if the last one was the best; else from the beginning."""
    cfg = ("trainer.max_epochs=4", "optimizer.lr=0.3" if improves else "optimizer.lr=1e-3", "scheduler=none")
    whole = genre.train(configured(*cfg, f"folder={tmp_path / 'whole'}"))
    broken_off(3)
    with pytest.raises(ValueError):
        genre.train(configured(*cfg))
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    assert (checkpoint.load_content(best)["epoch"] == 2) == improves
    best.write_bytes(b"")
    resumed = genre.train(genre.compose(f"resume={tmp_path / 'run'}"))
    assert f"best.ckpt; training {'goes on after epoch 1' if improves else 'begins anew'}" in caplog.text
    same_results(resumed, whole)


def test_a_run_without_an_intact_checkpoint_begins_anew(configured, tmp_path, caplog):
    first = genre.train(configured(f"folder={tmp_path / 'whole'}"))
    copied = shutil.copytree(first.folder, tmp_path / "run")
    for path in (copied / "checkpoints").iterdir():
        path.write_bytes(b"")
    same_results(genre.train(genre.compose(f"resume={copied}")), first)
    assert "last.ckpt; training begins anew" in caplog.text


@pytest.mark.parametrize("name", ["history.csv", "splits.csv", "metrics.json", "predictions.csv", "report.txt"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_of_a_run_is_written_again(run, tmp_path, name, kept):
    copied = shutil.copytree(run.folder, tmp_path / "run ${HOME} (1)")
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: int(kept * len(content))])
    resumed = genre.train(genre.compose(f"resume={copied}"))
    same_results(resumed, run)
    assert (name == "metrics.json") or (copied / name).read_bytes() == content


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_a_damaged_record_is_restored_by_the_whole_command(configured, tmp_path, with_checkpoint):
    first = genre.train(configured(f"folder={tmp_path / 'whole'}"))
    copied = shutil.copytree(first.folder, tmp_path / "run")
    (copied / "hparams.yaml").write_bytes((copied / "hparams.yaml").read_bytes()[:100])
    if not with_checkpoint:
        (copied / "checkpoints" / "last.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match=r"hparams\.yaml is damaged; give the whole command .* hydra\.run\.dir=.*=auto"):
        genre.compose(f"resume={copied}")
    same_results(genre.train(configured("resume=auto")), first)
    assert read_record(copied) == read_record(first.folder) | {"folder": str(copied)}


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


class Attempts:
    """Runs of one configuration over real music, each attempt in a process of its own that is killed in time."""

    def __init__(self, shared, tmp_path):
        self.shared, self.tmp_path = shared, tmp_path
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(["genre.training.train", "genre.data.synthetic", "tensorboard"])
        self.result = self.processes.Value("d", -1.0)
        self.begin("warm", 60)  # the server of processes imports PyTorch once
        begin = time.monotonic()
        assert self.begin("whole", 300) == 0
        self.longest = time.monotonic() - begin

    def command(self, name):
        """The overrides of a new run; its cache is its own, so that kills meet half-built stores."""
        return [
            "data=gtzan", f"data.root={self.shared / 'gtzan_mini'}", f"data.cache={self.tmp_path / 'cache' / name}",
            f"folder={self.tmp_path / name}", "name=test", "data.limit_tracks=5",
            "trainer.max_epochs=12", "trainer.precision=32-true",
            "trainer.enable_progress_bar=false", "model.filters=[4,4,8]", "task=multilabel", "resume=auto",
        ]  # fmt: skip

    def begin(self, name, seconds):
        """Begin a run or go on with it, for so long; return the exit code of its process."""
        process = self.processes.Process(target=killed_or_done, args=(self.command(name), self.result))
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        return process.exitcode


@pytest.fixture(scope="module")
def attempts(shared, tmp_path_factory):
    return Attempts(shared, tmp_path_factory.mktemp("attempts"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_runs_killed_at_100_random_moments_end_as_an_unbroken_one(attempts):
    """Killed while decoding, computing pictures, training, writing checkpoints and evaluating."""
    draw, kills, ended = random.Random(0), 0, []
    while kills < 100 or not ended:
        name = f"killed-{len(ended)}"
        seconds = draw.uniform(0.0, 0.4) * attempts.longest if kills < 100 else 300
        if (code := attempts.begin(name, seconds)) == -signal.SIGKILL:
            kills += 1
        else:
            assert code == 0, f"{name} ended with {code}"
            ended.append(name)
    for name in ended:
        same_results(*(result_in(attempts.tmp_path / name) for name in ("whole", name)))


def lose_power(folder, since, draw):
    """What a loss of power may leave of the files that were written since a moment: nothing, a part, or zeros."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_mtime >= since and draw.random() < 0.5:
            content = path.read_bytes()
            kept = draw.randrange(len(content) + 1) if draw.random() < 0.5 else 0
            kept -= content[:kept].endswith(b"\n")  # a table that ends with a whole row would count as another one
            path.write_bytes(content[:kept] + bytes(len(content) - kept if draw.random() < 0.3 else 0))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_a_run_goes_on_after_a_loss_of_power(attempts, seed):
    """Five times it loses half of the files of its last moments, those for resuming among them."""
    draw, name = random.Random(seed), f"dark-{seed}"
    folder = attempts.tmp_path / name
    for _ in range(5):
        if attempts.begin(name, draw.uniform(0.1, 0.5) * attempts.longest) != -signal.SIGKILL:
            (folder / "metrics.json").unlink(missing_ok=True)
        if folder.exists():
            lose_power(folder, time.time() - draw.uniform(0.0, 0.6) * attempts.longest, draw)
    assert attempts.begin(name, 300) == 0
    same_results(*(result_in(attempts.tmp_path / name) for name in ("whole", name)))


def result_in(folder):
    return Result(folder, 0.0, json.loads((folder / "metrics.json").read_text()))
