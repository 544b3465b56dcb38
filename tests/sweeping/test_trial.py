"""A trial is the run that train.py would do, without its files and without the test tracks."""

import pytest

import genre
from genre.config.settings import train_settings
from genre.data.datamodule import MusicData
from genre.errors import UserError
from genre.sweeping import trial
from genre.sweeping.grid import apply_point
from genre.sweeping.trial import TrialData, scores_so_far, train_point, trial_result


@pytest.mark.parametrize("overrides", [(), ("augment=none", "stopping.patience=1"), ("task=multilabel", "seed=4")])
def test_a_trial_has_the_metrics_of_a_training_run(configured, overrides):
    cfg = configured("trainer.max_epochs=3", *overrides)
    result = train_point(train_settings(cfg), TrialData())
    run = genre.train(cfg)
    for name in ("accuracy", "loss"):
        assert result.metrics[f"val/{name}"] == pytest.approx(run.metrics[f"val/{name}"], abs=1e-6)
    assert result.epochs == run.metrics["epochs"] and result.parameters == run.metrics["parameters"]


def test_a_trial_writes_no_files(configured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_point(train_settings(configured()), TrialData())  # folder: tmp_path / "run"
    assert list(tmp_path.rglob("*")) == []


def test_a_trial_reads_no_test_tracks(configured, monkeypatch):
    trial_data, fetch, read = TrialData(), MusicData.fetch, []
    monkeypatch.setattr(
        MusicData, "fetch", lambda data, index: (read.extend(index.rows.tolist()), fetch(data, index))[1]
    )
    train_point(train_settings(configured()), trial_data)
    data = trial_data.data
    assert set(read) == {*data.rows("train").tolist(), *data.rows("val").tolist()}


def test_the_data_module_is_prepared_once_for_points_that_need_the_same_data(configured, monkeypatch):
    prepared = []
    build_data = trial.build_data
    monkeypatch.setattr(trial, "build_data", lambda *given: (prepared.append(1), build_data(*given))[1])
    trial_data, cfg = TrialData(), configured()
    points = [{"model.kernel_size": 5}, {"optimizer.lr": 0.1}, {"batch_size": 8}, {"seed": 1}, {"model.dropout": 0}]
    for point in points:
        train_point(apply_point(cfg, point), trial_data)
    assert len(prepared) == 1
    train_point(apply_point(cfg, {"view.seconds": 2}), trial_data)
    assert len(prepared) == 2


def test_a_reused_data_module_gives_the_metrics_of_a_new_one(configured):
    cfg, trial_data = configured(), TrialData()
    points = [{"batch_size": 8}, {"seed": 1}, {"augment.shift": 0}, {}]
    for point in points:
        reused, fresh = (
            train_point(apply_point(cfg, point), trial_data),
            train_point(apply_point(cfg, point), TrialData()),
        )
        assert reused.metrics == fresh.metrics


def test_the_best_epoch_has_the_best_monitored_value():
    rows = [
        {"epoch": 0.0, "train_loss": 3.0, "val_loss": 2.0, "val_accuracy": 0.1},
        {"epoch": 1.0, "train_loss": 2.0, "val_loss": 1.0, "val_accuracy": 0.2},
        {"epoch": 2.0, "train_loss": 1.0, "val_loss": float("nan"), "val_accuracy": 0.9},
    ]
    best = trial_result(rows, "val/loss", 10, 1.0)
    assert best.best_epoch == 1 and best.epochs == 3
    assert best.metrics == {"train/loss": 2.0, "val/loss": 1.0, "val/accuracy": 0.2}
    assert trial_result(rows, "val/accuracy", 10, 1.0).best_epoch == 2
    assert best.history == {"val/loss": [2.0, 1.0, float("inf")], "val/accuracy": [0.1, 0.2, 0.9]}
    assert scores_so_far(best.history, "val/loss", "val/accuracy") == [0.1, 0.2, 0.2]


def test_a_trial_starts_from_the_weights_of_init_from(configured):
    first = genre.train(configured())
    started = train_point(train_settings(configured(f"init_from={first.folder}", "optimizer.lr=1e-20")), TrialData())
    assert started.metrics["val/loss"] == pytest.approx(first.metrics["val/loss"], abs=1e-6)


def test_training_stops_when_the_pruner_says_so(configured):
    judged = {}
    result = train_point(
        train_settings(configured("trainer.max_epochs=5")),
        TrialData(),
        lambda epochs, metrics: (judged.update({epochs: metrics[0]}), {0} if epochs == 2 else ())[1],
    )
    assert result.pruned and result.epochs == 2 and list(judged) == [1, 2]
    assert judged[2] == result.metrics


def test_a_point_is_not_judged_after_its_last_epoch(configured):
    judged = []
    result = train_point(
        train_settings(configured("trainer.max_epochs=2")), TrialData(), lambda epochs, _: judged.append(epochs) or ()
    )
    assert judged == [1] and result.epochs == 2 and not result.pruned


def test_an_unknown_key_of_the_trainer_is_a_user_error(configured):
    with pytest.raises(UserError, match=r"no key trainer\.epochs; did you mean trainer\."):
        train_point(train_settings(configured("+trainer.epochs=3")), TrialData())


def test_the_data_key_depends_on_the_data_settings_only(configured):
    settings = train_settings(configured())
    key = trial.data_key(settings, None)
    assert trial.data_key(settings.replace(batch_size=3, seed=9), None) == key
    assert trial.data_key(settings.replace(augment__shift=0), None) != key
