"""Lightning's and PyTorch's own parts work by configuration: schedules, callbacks, loggers, Trainer arguments."""

import logging
import math
import sys

import pytest
import torch

import genre
from genre.errors import UserError
from helpers import csv_rows

COSINE = ["scheduler=cosine", "scheduler.T_max=4"]


def rates(run):
    return [float(row["learning_rate"]) for row in csv_rows(run.folder / "history.csv")]


def test_a_cosine_schedule_is_stepped_per_epoch(configured):
    run = genre.train(configured(*COSINE, "trainer.max_epochs=4"))
    expected = [1e-3 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates(run) == pytest.approx(expected)


def test_a_one_cycle_schedule_is_stepped_per_batch(configured):
    run = genre.train(configured("scheduler=onecycle", "optimizer.lr=1e-3", "batch_size=7", "trainer.max_epochs=5"))
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=5 * 3)
    expected = []
    for _ in range(5):
        for _ in range(3):  # 21 tracks in batches of 7
            optimizer.step()
            schedule.step()
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(run)[:-1] == pytest.approx(expected[:-1])


def test_without_a_schedule_the_learning_rate_is_constant(configured):
    assert set(rates(genre.train(configured("scheduler=none", "trainer.max_epochs=3")))) == {1e-3}


@pytest.mark.parametrize(
    "schedule",
    [
        COSINE,
        pytest.param(["scheduler=onecycle", "batch_size=7"], marks=pytest.mark.slow),
        pytest.param(["scheduler=plateau", "scheduler.patience=0"], marks=pytest.mark.slow),
    ],
)
def test_a_resumed_schedule_continues_exactly(configured, tmp_path, schedule, monkeypatch):
    unbroken = genre.train(configured(*schedule, "trainer.max_epochs=4", f"folder={tmp_path / 'unbroken'}"))
    broken = configured(*schedule, "trainer.max_epochs=4", f"folder={tmp_path / 'broken'}")
    monkeypatch.setattr("genre.training.callbacks.History.on_train_epoch_end", interrupt_after(2))
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        genre.train(broken)
    monkeypatch.undo()
    resumed = genre.train(genre.compose(f"resume={tmp_path / 'broken'}"))
    assert (resumed.folder / "history.csv").read_text() == (unbroken.folder / "history.csv").read_text()


def interrupt_after(epochs):
    from genre.training.callbacks import History

    usual = History.on_train_epoch_end

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == epochs:
            raise KeyboardInterrupt
        usual(self, trainer, pl_module)

    return on_train_epoch_end


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_trains(configured, optimizer):
    assert "val/loss" in genre.train(configured(f"optimizer={optimizer}")).metrics


def test_a_callback_of_lightning_is_used(configured):
    averaging = "+callbacks.average._target_=lightning.pytorch.callbacks.EMAWeightAveraging"
    run = genre.train(configured(averaging, "trainer.max_epochs=2"))
    content = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert "EMAWeightAveraging" in " ".join(content["callbacks"])


def test_a_callback_that_is_none_is_refused(configured):
    with pytest.raises(UserError, match=r"callbacks\.x\._target_=torch\.nn\.ReLU is not a Callback"):
        genre.train(configured("+callbacks.x._target_=torch.nn.ReLU"))


def test_a_csv_logger_writes_beside_tensorboard(configured):
    run = genre.train(configured("logger=[tensorboard,csv]"))
    assert any("val/macro_f1" in row for row in csv_rows(run.folder / "csv" / "metrics.csv"))
    assert list(run.folder.glob("events.out.tfevents.*"))


IMAGES = """
from lightning.pytorch.loggers import CSVLogger

class Pictured(CSVLogger):
    seen = []

    def log_image(self, key, images, step=None):
        self.seen.append((key, images[0].ndim))
"""


def test_figures_go_to_every_logger_that_takes_images(configured, tmp_path, monkeypatch):
    (tmp_path / "myloggers.py").write_text(IMAGES)
    monkeypatch.chdir(tmp_path)
    genre.train(configured("logger=[]", "+logger.mine._target_=myloggers.Pictured"))
    logged = dict(sys.modules.pop("myloggers").Pictured.seen)
    assert {"examples/training", "confusion/val", "confusion/test", "curves"} <= logged.keys()
    assert set(logged.values()) == {3}


def test_a_run_works_without_any_logger(configured):
    run = genre.train(configured("logger=[]"))
    assert not list(run.folder.glob("events.out.tfevents.*")) and (run.folder / "figures" / "curves.png").exists()


def test_fast_dev_run_trains_a_batch_and_evaluates_nothing(configured):
    run = genre.train(configured("+trainer.fast_dev_run=true"))
    assert run.metrics == {} and not (run.folder / "metrics.json").exists()


def test_validation_every_second_epoch_leaves_gaps_in_the_history(configured):
    run = genre.train(configured("+trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4"))
    losses = [row["val_loss"] for row in csv_rows(run.folder / "history.csv")]
    assert [bool(loss) for loss in losses] == [False, True, False, True]
    assert run.metrics["val/loss"] == pytest.approx(min(float(loss) for loss in losses if loss), rel=1e-4)


def test_a_run_without_any_validation_says_so(configured):
    with pytest.raises(UserError, match="none is the best; validate more often"):
        genre.train(configured("+trainer.check_val_every_n_epoch=2", "trainer.max_epochs=1"))


@pytest.mark.parametrize(
    "argument", ["+trainer.log_every_n_steps=5", "+trainer.gradient_clip_val=1", "+trainer.limit_val_batches=1"]
)
def test_other_arguments_of_the_trainer_work(configured, argument):
    assert "val/loss" in genre.train(configured(argument)).metrics


def test_an_argument_that_this_program_sets_is_refused(configured):
    with pytest.raises(UserError, match=r"trainer\.default_root_dir is set by this program"):
        genre.train(configured("+trainer.default_root_dir=x"))


def test_any_logged_metric_can_be_monitored(configured):
    run = genre.train(configured("stopping.monitor=val/macro_f1", "trainer.max_epochs=3"))
    rows = csv_rows(run.folder / "history.csv")
    best = max(float(row["val_macro_f1"]) for row in rows)
    assert run.metrics["val/macro_f1"] == pytest.approx(best)


def test_a_metric_that_is_not_logged_is_refused_with_the_nearest(configured):
    with pytest.raises(UserError, match=r"stopping.monitor=val/f1 is not logged; did you mean val/"):
        genre.train(configured("stopping.monitor=val/f1"))


def test_every_epoch_is_one_line_of_the_log(configured, caplog):
    with caplog.at_level(logging.INFO, "genre.training.callbacks"):
        genre.train(configured("trainer.max_epochs=3"))
    lines = [record.getMessage() for record in caplog.records if record.name == "genre.training.callbacks"]
    assert [line.split(":")[0] for line in lines] == ["epoch 0", "epoch 1", "epoch 2"]
    assert all("train loss" in line and "val loss" in line for line in lines)


def test_the_summary_shows_the_layers_of_the_network(configured, capsys):
    genre.train(configured("trainer.enable_model_summary=true"))
    assert "CNN" in capsys.readouterr().out


PARTS = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, genres: int, size: int, width: int = 4) -> None:
        super().__init__()
        layers = nn.AvgPool2d(size // 4), nn.Flatten(), nn.Linear(16, width), nn.Linear(width, genres)
        self.layers = nn.Sequential(*layers)

    def forward(self, picture):
        return self.layers(picture)

class Blind(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mynets", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


@pytest.mark.parametrize(
    "override",
    ["model._target_=mynets.Tiny", "model={_target_: mynets.Tiny}", "model={_target_: mynets.Tiny, width: 3}"],
)
def test_a_network_of_ones_own_trains_and_loads(configured, parts, override):
    run = genre.train(configured(override, network="own"))
    assert genre.load(run.folder, trust=["mynets"])(torch.zeros(1, 4 * 22_050)).shape == (1, 3)


def test_a_key_for_ones_own_network_can_be_added(configured, parts):
    run = genre.train(configured("model._target_=mynets.Tiny", "+model.width=3", network="own"))
    assert run.metrics["parameters"] == (16 * 3 + 3) + (3 * 3 + 3)


def test_an_unknown_key_of_ones_own_network_is_refused(configured, parts):
    with pytest.raises(UserError, match=r"there is no key model\.widht; did you mean model\.width\?"):
        genre.train(configured("model._target_=mynets.Tiny", "+model.widht=3", network="own"))


def test_a_network_without_a_number_of_genres_is_told_the_contract(configured, parts):
    with pytest.raises(UserError, match=r"mynets\.Blind takes no argument genres; .*see docs/extending\.md"):
        genre.train(configured("model._target_=mynets.Blind", network="own"))
