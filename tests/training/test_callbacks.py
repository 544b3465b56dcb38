"""A run ends at the first epoch whose loss or weights are not numbers, and its last good checkpoint stays."""

import math
import signal

import pytest
import torch
from lightning import Callback

import genre
from genre.errors import UserError
from genre.models import checkpoint
from genre.signals import StopSignals
from genre.training import trainer
from genre.training.callbacks import weights_are_finite
from helpers import csv_rows


class Spoil(Callback):
    """Makes a weight no number, before the first or after the last batch of an epoch."""

    def __init__(self, epoch, hook):
        self.epoch = epoch
        setattr(self, hook, self.spoil)

    def spoil(self, trainer, pl_module, *arguments):
        if trainer.current_epoch == self.epoch:
            with torch.no_grad():
                next(pl_module.network.parameters()).fill_(math.nan)


@pytest.fixture
def spoilt(monkeypatch):
    """Let the next run become not a number in an epoch."""

    def arrange(epoch, hook):
        usual = trainer.build_callbacks
        monkeypatch.setattr(trainer, "build_callbacks", lambda *arguments: [Spoil(epoch, hook), *usual(*arguments)])

    return arrange


def test_a_loss_that_is_not_a_number_ends_the_run_and_keeps_the_last_good_checkpoint(configured, tmp_path, spoilt):
    spoilt(1, "on_train_epoch_start")
    message = (
        r"^train/loss is nan in epoch 1, at learning rate 0\.001; the checkpoint of epoch 0 stays; train again with a "
        r"lower optimizer\.lr"
    )
    with pytest.raises(UserError, match=message):
        genre.train(configured("trainer.max_epochs=3"))
    folder = tmp_path / "run"
    assert [row["epoch"] for row in csv_rows(folder / "history.csv")] == ["0"]
    assert checkpoint.load_content(folder / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert all(torch.isfinite(weight).all() for weight in checkpoint.read_checkpoint(folder).weights.values())
    assert not (folder / "metrics.json").exists()


def test_weights_that_the_last_batch_spoils_reach_no_checkpoint_without_validation(configured, tmp_path, spoilt):
    spoilt(0, "on_train_batch_end")
    with pytest.raises(UserError, match=r"a weight is not a number in epoch 0.*there is no checkpoint yet"):
        genre.train(configured("batch_size=64", "+trainer.check_val_every_n_epoch=2"))
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_a_learning_rate_that_is_far_too_high_is_one_sentence(configured):
    with pytest.raises(UserError, match=r"in epoch \d, at learning rate 1e\+30"):
        genre.train(configured("optimizer=sgd", "optimizer.lr=1e30", "batch_size=7", "trainer.max_epochs=3"))


class Signalled(Callback):
    """Sends a signal to its own process at the end of an epoch, while others write."""

    def on_train_epoch_end(self, trainer, pl_module):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_signal_takes_effect_between_two_batches(configured, tmp_path, monkeypatch, epochs):
    usual = trainer.build_callbacks
    monkeypatch.setattr(trainer, "build_callbacks", lambda *arguments: [Signalled(), *usual(*arguments)])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, StopSignals(goes_on=False):
        genre.train(configured(f"trainer.max_epochs={epochs}"))
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) == before
    assert checkpoint.load_content(tmp_path / "run" / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert [row["epoch"] for row in csv_rows(tmp_path / "run" / "history.csv")] == ["0"]


def test_running_statistics_count_as_weights():
    network = torch.nn.BatchNorm2d(2)
    assert weights_are_finite(network) and weights_are_finite(torch.nn.ReLU())
    network.running_mean.fill_(math.inf)
    assert not weights_are_finite(network)
