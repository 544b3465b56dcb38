"""A sweep trains every point once, continues after an interruption, and tests the finalists only."""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import genre
from genre import paths
from genre.config.build import root_device
from genre.config.settings import sweep_settings, train_settings
from genre.errors import UserError
from genre.sweeping import trial, worker
from genre.sweeping.finalists import Selection
from genre.sweeping.trial import TrialResult
from genre.sweeping.worker import devices_of
from helpers import csv_rows

AXES = "+grid.axes={model.filters:[[2,2,4],[4,4,8]],model.kernel_size:[3,5],optimizer.lr:[1e-3],model.dropout:[0.25]}"


@pytest.fixture
def composed(music, cache, tmp_path):
    """Return a function that composes a sweep over the small music: four points of one epoch."""

    def compose(*overrides, axes=AXES):
        return genre.compose(
            "grid=custom", axes, "data=folder", f"data.root={music}", f"data.cache={cache}", "view.seconds=4",
            f"folder={tmp_path / 'sweep'}", "name=test", "trainer.max_epochs=1", "trainer.precision=32-true",
            "trainer.enable_progress_bar=false", "model.dense_units=8", "grid.lease=0.4",
            "grid.finalists=1", "grid.seeds=[]", *overrides, config_name="sweep",
        )  # fmt: skip

    return compose


@pytest.fixture
def swept(composed):
    """Return a function that runs such a sweep and returns its result."""
    return lambda *overrides, **axes: genre.sweep(composed(*overrides, **axes))


VGG16 = ("model=vgg16", "model.weights=random", "augment=none")
HEADS = "+grid.axes={model.dense_units:[4,8],optimizer.lr:[1e-3,1e-2]}"


def trials(folder):
    return csv_rows(folder / "trials.csv")


def points(folder):
    return [(row["model.filters"], row["model.kernel_size"]) for row in trials(folder)]


EVERY = [("[2, 2, 4]", "3"), ("[2, 2, 4]", "5"), ("[4, 4, 8]", "3"), ("[4, 4, 8]", "5")]


def test_trials_csv_has_one_row_per_point_with_its_values_under_their_keys(swept):
    result = swept()
    rows = trials(result.folder)
    assert points(result.folder) == EVERY
    assert {row["state"] for row in rows} == {"complete"}
    assert all(float(row["seconds"]) > 0 and int(row["parameters"]) > 0 for row in rows)
    assert max(float(row["value"]) for row in rows) == pytest.approx(result.objective, rel=1e-5)


def record_trained(monkeypatch, before=lambda settings: None):
    """Return a list that each trained point's model settings are appended to; ``before`` is called before training."""
    trained, train_point = [], trial.train_point

    def train(settings, *given):
        before(settings)
        trained.append(settings.model.arguments)
        return train_point(settings, *given)

    monkeypatch.setattr(worker, "train_point", train)
    return trained


def test_the_same_command_again_trains_nothing(swept, monkeypatch):
    first = swept()
    trained = record_trained(monkeypatch)
    again = swept()
    assert trained == [] and again.objective == first.objective


def test_trials_csv_is_written_while_the_sweep_runs(swept, monkeypatch, tmp_path):
    exists = []
    record_trained(monkeypatch, lambda settings: exists.append((tmp_path / "sweep" / "trials.csv").exists()))
    swept()
    assert exists == [False, True, True, True]


@pytest.mark.parametrize(("worker", "gpus", "device"), [(0, 0, 1), (5, 1, 1), (0, 4, [0]), (5, 4, [1]), (7, 4, [3])])
def test_worker_n_uses_gpu_n_modulo_the_number_of_gpus(monkeypatch, worker, gpus, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    settings = train_settings(genre.compose("data=synthetic", "folder=x"))
    chosen = devices_of(settings.trainer, worker)
    assert chosen == device
    placed = root_device(settings.replace(trainer__devices=chosen).trainer)
    assert placed == (torch.device("cuda", device[0] if gpus > 1 else 0) if gpus else torch.device("cpu"))


def test_every_point_trains_on_its_workers_device(swept, monkeypatch):
    devices = []
    monkeypatch.setattr(worker, "devices_of", lambda trainer, number: [3])
    monkeypatch.setattr(trial, "root_device", lambda trainer: torch.device("cpu"))
    metrics = {f"{subset}/{name}": 0.5 for subset in ("train", "val") for name in ("loss", "accuracy")}

    def train(settings, *given):
        devices.append(settings.trainer.devices)
        return TrialResult(metrics, 1, best_epoch=0, parameters=1, seconds=1.0, monitor="val/loss", history={})

    monkeypatch.setattr(worker, "train_point", train)
    swept()
    assert devices == [[3]] * 4


def test_all_points_are_trained_in_the_precision_that_the_first_worker_measured(swept, monkeypatch):
    precisions = []
    record_trained(monkeypatch, lambda settings: precisions.append(settings.trainer.precision))
    for measured, kernels in (("32-true", "[3,5]"), ("bf16-mixed", "[3,5,7]")):
        monkeypatch.setattr(worker, "resolve_precision", lambda settings, device, measured=measured: measured)
        swept("trainer.precision=auto", axes=AXES.replace("[3,5]", kernels))
    assert precisions == ["32-true"] * 6


def test_the_same_command_continues_an_interrupted_sweep(swept, monkeypatch, tmp_path):
    started = []

    def stop(settings):
        started.append(settings)
        if len(started) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        record_trained(patched, stop)
        with pytest.raises(KeyboardInterrupt):
            swept()
    states = [row["state"] for row in trials(tmp_path / "sweep")]
    assert sorted(states) == ["complete", "waiting", "waiting", "waiting"]
    trained = record_trained(monkeypatch)
    assert points(swept().folder) == EVERY and len(trained) == 3


def test_an_interruption_that_another_exception_replaced_is_one(swept, monkeypatch, tmp_path):
    def stop(settings):
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("a library's cleaning up failed") from None

    with monkeypatch.context() as patched:
        record_trained(patched, stop)
        with pytest.raises(KeyboardInterrupt):
            swept()
    assert [row["state"] for row in trials(tmp_path / "sweep")] == ["waiting"] * 4


def test_a_changed_grid_extends_the_sweep(swept, monkeypatch):
    swept()
    trained = record_trained(monkeypatch)
    result = swept(axes=AXES.replace("[3,5]", "[3,5,7]"))
    assert [model["kernel_size"] for model in trained] == [7, 7]
    swept(axes=AXES.replace("optimizer.lr", "batch_size").replace("[1e-3]", "[32,8]"))
    assert sorted(model["kernel_size"] for model in trained) == [3, 3, 5, 5, 7, 7]
    assert [row["batch_size"] for row in trials(result.folder)] == ["32"] * 6 + ["8"] * 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_size=8", "started with batch_size=32, not 8"),
        ("trainer.max_epochs=2", "started with trainer.max_epochs=1, not 2"),
        ("split.seed=1", "was started on tracks|started with split.seed=0, not 1"),
        ("grid.select_by=val/loss", "started with grid.select_by=val/accuracy, not val/loss"),
    ],
)
def test_a_changed_base_or_split_is_refused_by_name(swept, override, message):
    swept()
    with pytest.raises(UserError, match=message):
        swept(override)


def test_a_failing_point_is_retried_and_recorded_and_does_not_stop_the_sweep(swept, monkeypatch, tmp_path):
    def fail(settings):
        model = settings.model.arguments
        if model["kernel_size"] == 5 and model["filters"] == [2, 2, 4]:
            raise RuntimeError("it fails")

    trained = record_trained(monkeypatch, fail)
    swept("grid.retries=2")
    states = [row["state"] for row in trials(tmp_path / "sweep")]
    assert states == ["complete", "failed", "complete", "complete"] and len(trained) == 3
    assert trials(tmp_path / "sweep")[1]["error"] == "RuntimeError: it fails"
    study = optuna.load_study(study_name="test", storage=journal(tmp_path / "sweep"))
    assert "Traceback" in study.trials[1].user_attrs["traceback"] and study.trials[1].user_attrs["attempts"] == 3


def journal(folder):
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    return optuna.storages.JournalStorage(backend)


def test_a_sweep_whose_points_all_fail_names_the_table_with_the_reasons(swept, monkeypatch):
    def fail(settings):
        raise RuntimeError("it fails")

    record_trained(monkeypatch, fail)
    with pytest.raises(UserError, match=r"no point of the sweep could be trained; .*trials.csv lists the reasons"):
        swept("grid.retries=0", axes=AXES.replace("[3,5]", "[3]"))


BROKEN = (
    torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronous"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
)


@pytest.mark.parametrize("error", BROKEN)
def test_a_broken_device_ends_the_worker_and_its_points_keep_their_retries(swept, monkeypatch, tmp_path, error):
    def fail(settings):
        raise error

    with monkeypatch.context() as patched:
        record_trained(patched, fail)
        with pytest.raises(UserError, match=r"device failed on trial \d \((CUDA|cuDNN) error: .*\);") as ended:
            swept("grid.retries=0")
    assert "\n" not in str(ended.value)
    assert [row["state"] for row in trials(tmp_path / "sweep")] == ["waiting"] * 4
    assert {row["state"] for row in trials(swept("grid.retries=0").folder)} == {"complete"}


def test_a_broken_device_ends_the_worker_in_a_pass_over_several_heads(swept, monkeypatch, tmp_path):
    def fail(*given):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(worker, "train_family", fail)
    with pytest.raises(UserError, match=r"the device failed on trial \d and 3 others \(CUDA error"):
        swept(*VGG16, axes=HEADS)
    assert [row["state"] for row in trials(tmp_path / "sweep")] == ["waiting"] * 4


def test_a_point_too_large_for_the_memory_fails_alone(swept, monkeypatch, tmp_path):
    def fail(settings):
        if settings.model.arguments["filters"] == [4, 4, 8] and settings.model.arguments["kernel_size"] == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    record_trained(monkeypatch, fail)
    swept("grid.retries=0")
    assert [row["state"] for row in trials(tmp_path / "sweep")] == ["complete"] * 3 + ["failed"]


def test_three_different_points_that_fail_in_a_row_end_the_worker(swept, monkeypatch, tmp_path):
    def fail(settings):
        raise RuntimeError("the library is missing")

    with monkeypatch.context() as patched:
        record_trained(patched, fail)
        with pytest.raises(UserError, match=r"3 points in a row failed \(the last with: the library.*grid\.retries=2"):
            swept("grid.retries=1")
    states = sorted(row["state"] for row in trials(tmp_path / "sweep"))
    assert states == ["failed", "failed", "waiting", "waiting"]
    assert {row["state"] for row in trials(swept("grid.retries=2").folder)} == {"complete"}


def test_failures_between_points_that_can_be_trained_do_not_end_the_worker(swept, monkeypatch, tmp_path):
    failed = []

    def fail_alternately(settings):
        if settings.model.arguments not in failed and len(failed) < 3:
            failed.append(settings.model.arguments)
            raise RuntimeError("it fails once")

    record_trained(monkeypatch, fail_alternately)
    assert {row["state"] for row in trials(swept().folder)} == {"complete"} and len(failed) == 3


def test_an_invalid_value_of_an_axis_is_refused_before_anything_is_queued(swept, tmp_path):
    with pytest.raises(UserError, match=r"model\.kernel_size=2 must be odd"):
        swept(axes=AXES.replace("[3,5]", "[2,4]"))
    assert not (tmp_path / "sweep" / "journal.log").exists()


def test_optuna_opens_the_study(swept):
    result = swept()
    study = optuna.load_study(study_name="test", storage=journal(result.folder))
    assert study.best_value == result.objective and len(study.trials) == 4


@pytest.mark.parametrize(("sampler", "count"), [("random", 3), pytest.param("tpe", 4, marks=pytest.mark.slow)])
def test_random_and_tpe_try_as_many_points_as_configured_and_none_twice(swept, sampler, count):
    wide = AXES.replace("[3,5]", "[1,3,5]").replace("[0.25]", "[0,0.25]")
    result = swept(f"grid.sampler={sampler}", f"grid.trials={count}", axes=wide)
    assert len(trials(result.folder)) == count
    swept(f"grid.sampler={sampler}", "grid.trials=12", axes=wide)
    rows = [tuple(row[key] for key in ("model.filters", "model.kernel_size", "model.dropout"))
            for row in trials(result.folder)]  # fmt: skip
    assert len(rows) == len(set(rows)) == 12


def test_with_pruning_points_below_the_median_of_the_first_five_are_stopped(swept, monkeypatch):
    started = []

    def train(settings, trial_data, judge):
        started.append(settings)
        score = 0.9 if len(started) <= 5 else 0.1 if len(started) == 6 else 0.95
        metrics = {f"{subset}/{name}": score for subset in ("train", "val") for name in ("loss", "accuracy")}
        epochs = next((epochs for epochs in range(1, 4) if 0 in judge(epochs, {0: metrics})), 4)
        return TrialResult(metrics, epochs, 0, 1, 1.0, "val/loss", {}, pruned=epochs < 4)

    monkeypatch.setattr(worker, "train_point", train)
    wide = AXES.replace("[3,5]", "[1,3,5,7]")
    rows = trials(swept("grid.sampler=random", "grid.trials=7", "grid.prune=median", axes=wide).folder)
    outcomes = sorted((row["state"], row["epochs"], row["val/accuracy"]) for row in rows)
    assert outcomes == [("complete", "4", "0.9")] * 5 + [("complete", "4", "0.95"), ("pruned", "1", "0.1")]


HALVING = ("grid.prune=halving", "grid.first_epochs=1", "grid.eta=2", "trainer.max_epochs=3")


@pytest.mark.parametrize(
    ("overrides", "axes"),
    [
        pytest.param(("augment=none",), AXES.replace("[1e-3]", "[1e-2,1e-5]"), marks=pytest.mark.slow),
        ((*VGG16, "grid.select_by=val/loss"), HEADS),
    ],
)
def test_halving_trains_what_its_replay_over_the_complete_grid_says(swept, tmp_path, overrides, axes):
    halved = swept(*HALVING, *overrides, "name=halved", f"folder={tmp_path / 'halved'}", axes=axes)
    rows = trials(halved.folder)
    assert {(row["state"], int(row["epochs"])) for row in rows} <= {
        ("complete", 3), ("complete", 2), ("pruned", 1), ("pruned", 2),
    }  # fmt: skip
    stopped = sum(row["state"] == "pruned" for row in rows)
    assert 0 < stopped < len(rows)
    first, *_, last = (halved.folder / "report.txt").read_text().splitlines()
    trained = sum(int(row["epochs"]) for row in rows)
    assert first.startswith(f"{len(rows)} points, {trained} epochs: {len(rows) - stopped} trained in full, ")
    assert last.startswith("How good the stopped points would have become is not known")
    full = swept(*HALVING[1:], *overrides, axes=axes)
    replayed = (full.folder / "report.txt").read_text().splitlines()[-1]
    assert f"would have trained {trained} of these {3 * len(rows)} epochs" in replayed
    assert f"{halved.objective:.4g}, rank " in replayed


@pytest.mark.parametrize("other", ["grid.prune=null", "grid.eta=3"])
def test_a_sweep_with_halving_is_not_continued_under_another_rule(composed, other):
    worker.Worker(sweep_settings(composed(*HALVING)))
    with pytest.raises(UserError, match=r"the sweep test was started with grid\.(prune=halving|eta=2), not (null|3)"):
        worker.Worker(sweep_settings(composed(*HALVING, other)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.sampler=genetic", "grid.sampler=genetic must be one of grid, random, tpe"),
        ("grid.sampler=random", "random and tpe need grid.trials=N"),
        ("grid.trials=3", "the grid takes every point"),
        ("grid.prune=median", "grid.prune=median goes with"),
        ("grid.prune=true", "grid.prune=true must be one of median, halving or null"),
        ("grid.prune=halving", "grid.prune=halving stops points after grid.first_epochs=2 epochs, and trainer.max_ep"),
        ("grid.eta=1", "grid.eta=1 must be a whole number of at least 2"),
        ("grid.select_by=test/accuracy", "grid.select_by=test/accuracy must be one of"),
        ("grid.lease=0", "grid.lease=0 must be a number above 0"),
        ("grid.retries=-1", "grid.retries=-1"),
        ("grid.heads=0", "grid.heads=0"),
        ("trainer=ddp", "trains on one device; remove trainer=ddp"),
        ("grid.finalists=-1", "grid.finalists=-1"),
        ("grid.publish=true", "grid.publish=true needs grid.experiment=NAME"),
        ("grid.experiment=../mine", "grid.experiment=../mine must be a name such as document/tuned"),
        ("worker=mine", "worker=mine must be a whole number of at least 0"),
        ("+grid.axes.trainer.devices=[1,2]", "trainer.devices cannot differ between points"),
        ("+grid.axes.data.root=[a]", "data.root cannot differ between points"),
    ],
)
def test_an_invalid_key_of_the_grid_is_refused_by_name_before_data_is_read(swept, monkeypatch, override, message):
    monkeypatch.setattr(trial, "read_training_catalogue", lambda *given: pytest.fail("data was read"))
    with pytest.raises(UserError, match=message):
        swept(override)


def test_finalists_are_trained_under_every_seed_and_tested(swept):
    result = swept("grid.finalists=2", "grid.seeds=[0,5]")
    rows = csv_rows(result.folder / "finalists.csv")
    assert [row["rank"] for row in rows] == ["1", "2"] and rows[0]["seeds"] == "0;5"
    for row, finalist in zip(rows, result.finalists, strict=True):
        runs = [json.loads((run / "metrics.json").read_text()) for run in finalist.runs.values()]
        assert [run["seed"] for run in runs] == [0, 5]
        for name in ("val/accuracy", "test/accuracy"):
            assert float(row[f"{name} mean"]) == pytest.approx(np.mean([run[name] for run in runs]), abs=1e-5)
            assert float(row[f"{name} sd"]) == pytest.approx(np.std([r[name] for r in runs], ddof=1), abs=1e-5)
        assert (result.folder / row["run"] / "checkpoints" / "best.ckpt").exists()
    means = [float(row["val/accuracy mean"]) for row in rows]
    assert means == sorted(means, reverse=True)
    genre.load(result.folder / rows[0]["run"])


@pytest.mark.slow
def test_finished_finalists_are_not_repeated_and_interrupted_ones_are_resumed(swept, monkeypatch, tmp_path):
    first = swept("grid.seeds=[0,1]")
    run = first.finalists[0].runs[1]
    (run / "metrics.json").unlink()
    resumed = []
    train_in = genre.training.train.train_in

    def recorded(folder, settings, begin):
        resumed.append(settings.resume)
        return train_in(folder, settings, begin)

    monkeypatch.setattr("genre.training.train.train_in", recorded)
    again = swept("grid.seeds=[0,1]")
    assert resumed == [run]
    assert again.finalists[0].metrics[1]["val/loss"] == first.finalists[0].metrics[1]["val/loss"]


def copy_conf(monkeypatch, tmp_path):
    """Let the rest of a test read and write a copy of conf/."""
    copy = Path(shutil.copytree(paths.CONF, tmp_path / "conf"))
    monkeypatch.setattr(paths, "CONF", copy)
    monkeypatch.setattr("genre.config.compose.CONF", copy)


def test_with_publish_the_winner_becomes_an_experiment_of_train(swept, monkeypatch, tmp_path):
    copy_conf(monkeypatch, tmp_path)
    result = swept("grid.seeds=[0]", "grid.experiment=document/tuned", "grid.publish=true")
    winner = genre.compose("experiment=document/tuned", "data=synthetic", "folder=x")
    for key, value in result.finalists[0].entry.point.items():
        assert OmegaConf.select(winner, key) == value
    assert winner.name == "document-tuned"
    written = (paths.CONF / "experiment" / "document" / "tuned.yaml").read_text()
    assert "the best val/accuracy of 4 points" in written and "split=random with split.seed=0" in written
    assert written == (result.folder / "tuned.yaml").read_text()


@pytest.mark.parametrize(("overrides", "name"), [(["grid.experiment=document/tuned"], "document"), ([], "sweep")])
def test_without_publish_the_command_that_publishes_the_winner_is_logged(
    swept, monkeypatch, tmp_path, caplog, overrides, name
):
    copy_conf(monkeypatch, tmp_path)
    caplog.set_level("INFO")
    before = {path: path.read_bytes() for path in paths.CONF.rglob("*.yaml")}
    tuned = swept("grid.seeds=[0]", *overrides).folder / "tuned.yaml"
    assert {path: path.read_bytes() for path in paths.CONF.rglob("*.yaml")} == before
    (line,) = (message for message in caplog.messages if "to train the winner by" in message)
    subprocess.run(line.partition(f"experiment={name}/tuned: ")[2], shell=True, check=True)
    assert (paths.CONF / "experiment" / name / "tuned.yaml").read_text() == tuned.read_text()
    assert genre.compose(f"experiment={name}/tuned", "data=synthetic", "folder=x").name == f"{name}-tuned"


def test_an_experiment_that_cannot_be_written_is_a_warning(composed, monkeypatch, tmp_path, caplog):
    cfg = composed("grid.seeds=[0]", "grid.experiment=document/tuned", "grid.publish=true")
    (tmp_path / "experiment").touch()
    monkeypatch.setattr(paths, "CONF", tmp_path)
    result = genre.sweep(cfg)
    assert "tuned.yaml could not be written" in caplog.text and (result.folder / "tuned.yaml").exists()


def test_the_report_has_figures_and_hparams(swept):
    result = swept()
    drawn = sorted(path.name for path in (result.folder / "figures").iterdir())
    assert drawn == ["cost.png", "importance.png", "marginal.png", "parallel.png", "random.png"]
    written = sorted((result.folder / "tensorboard").iterdir())
    assert [path.name for path in written] == [f"trial-{number:04d}" for number in range(4)]
    events = EventAccumulator(str(written[0])).Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert "val/accuracy" in events.Tags()["scalars"]


def test_the_standard_error_of_an_accuracy_is_binomial_and_that_of_a_loss_unknown():
    assert Selection("val/accuracy", 1, (0,)).standard_error(0.7, 84) == pytest.approx(math.sqrt(0.7 * 0.3 / 84))
    assert Selection("val/loss", 1, (0,)).standard_error(0.7, 84) == 0


def test_a_split_without_validation_is_refused(swept, music, tmp_path):
    lines = [f"{f},{f.parent.name},{'test' if n % 3 == 0 else 'train'}" for n, f in enumerate(music.rglob("*.wav"))]
    (tmp_path / "songs.csv").write_text("\n".join(["path,genres,split", *lines]) + "\n")
    own = [f"data.path={tmp_path / 'songs.csv'}", f"folder={tmp_path / 'x'}", f"data.cache={tmp_path / 'cache'}"]
    cfg = genre.compose("grid=small", "data=csv", "split=column", "name=x", *own, config_name="sweep")
    with pytest.raises(UserError, match="needs a validation subset"):
        genre.sweep(cfg)


def test_heads_of_a_frozen_backbone_train_in_one_pass(swept, monkeypatch):
    passes = []
    train_family = worker.train_family

    def count(points, *given):
        passes.append(len(points))
        return train_family(points, *given)

    monkeypatch.setattr(worker, "train_family", count)
    result = swept(*VGG16, axes=HEADS)
    assert passes == [4] and {row["state"] for row in trials(result.folder)} == {"complete"}


def test_heads_whose_pass_fails_are_trained_alone(swept, monkeypatch):
    monkeypatch.setattr(worker, "train_family", lambda *given: 1 / 0)
    result = swept(*VGG16, axes=HEADS)
    assert {row["state"] for row in trials(result.folder)} == {"complete"}


def test_a_column_of_an_axis_that_is_not_there_is_told_before_any_point_is_queued(swept, tmp_path):
    with pytest.raises(
        UserError, match=r"model.metadata: the catalogue has no column title, or an empty one; data=csv"
    ):
        swept(axes="+grid.axes={model.metadata:[[],[title]]}")
    assert not (tmp_path / "sweep" / "trials.csv").exists()
