"""A trial is the training run that train.py would have been, without its files and without the test tracks."""

import pytest

import genre
from genre import config
from genre.errors import UserError
from genre.sweeping import trial
from genre.sweeping.grid import apply_point
from genre.sweeping.trial import Prune, TrialData, train_point, trial_result


@pytest.mark.parametrize("overrides", [(), ("augment=none", "trainer.patience=1"), ("task=multilabel", "seed=4")])
def test_a_trial_is_worth_what_train_says(configured, overrides):
    cfg = configured("trainer.max_epochs=3", *overrides)
    result = train_point(config.plain(cfg), TrialData())
    run = genre.train(cfg)
    for name in ("accuracy", "loss"):
        assert result.metrics[f"val/{name}"] == pytest.approx(run.metrics[f"val/{name}"], abs=1e-6)
    assert result.epochs == run.metrics["epochs"] and result.parameters == run.metrics["parameters"]


def test_a_trial_writes_no_files(configured, tmp_path, monkeypatch):
    cfg = configured()
    train_point(config.plain(cfg), TrialData())
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    train_point(config.plain(cfg), TrialData())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_trial_never_looks_at_a_test_track(configured, monkeypatch):
    bench, seen = TrialData(), []
    data = bench.data_for(config.plain(configured()))
    fetch = data.fetch
    monkeypatch.setattr(data, "fetch", lambda index: (seen.extend(index.rows.tolist()), fetch(index))[1])
    train_point(config.plain(configured()), bench)
    assert bench.data is data and set(seen) == {*data.rows("train").tolist(), *data.rows("val").tolist()}


def test_the_music_is_opened_once_for_points_that_see_the_same_of_it(configured, monkeypatch):
    opened = []
    usual = config.data_of
    monkeypatch.setattr(config, "data_of", lambda *given: (opened.append(1), usual(*given))[1])
    bench, cfg = TrialData(), configured()
    points = [{"model.kernel_size": 5}, {"optimizer.lr": 0.1}, {"batch_size": 8}, {"seed": 1}, {"model.dropout": 0}]
    for point in points:
        train_point(apply_point(cfg, point), bench)
    assert len(opened) == 1
    train_point(apply_point(cfg, {"view.seconds": 2}), bench)
    assert len(opened) == 2


def test_reused_music_gives_the_same_as_fresh(configured):
    cfg, bench = configured(), TrialData()
    points = [{"batch_size": 8}, {"seed": 1}, {"augment.shift": 0}, {}]
    for point in points:
        reused, fresh = train_point(apply_point(cfg, point), bench), train_point(apply_point(cfg, point), TrialData())
        assert reused.metrics == fresh.metrics


def test_the_best_epoch_is_that_of_the_monitored_value():
    rows = [
        {"epoch": 0.0, "train_loss": 3.0, "val_loss": 2.0, "val_accuracy": 0.1},
        {"epoch": 1.0, "train_loss": 2.0, "val_loss": 1.0, "val_accuracy": 0.2},
        {"epoch": 2.0, "train_loss": 1.0, "val_loss": float("nan"), "val_accuracy": 0.9},
    ]
    best = trial_result(rows, "val/loss", 10, 1.0)
    assert best.best_epoch == 1 and best.epochs == 3
    assert best.metrics == {"train/loss": 2.0, "val/loss": 1.0, "val/accuracy": 0.2}
    assert trial_result(rows, "val/accuracy", 10, 1.0).best_epoch == 2


def test_a_trial_starts_from_a_run_where_asked_to(configured):
    first = genre.train(configured())
    started = train_point(config.plain(configured(f"init_from={first.folder}", "optimizer.lr=0")), TrialData())
    assert started.metrics["val/loss"] == pytest.approx(first.metrics["val/loss"], abs=1e-6)


def test_a_point_that_is_not_worth_going_on_stops(configured):
    told = []
    prune = Prune("val/accuracy", lambda epoch, value: (told.append(epoch), epoch < 1)[1])
    result = train_point(config.plain(configured("trainer.max_epochs=5")), TrialData(), [prune])
    assert result.pruned and result.epochs == 2 and told == [0, 1]


def test_an_unknown_key_of_the_trainer_is_a_mistake(configured):
    with pytest.raises(UserError, match="does not know"):
        train_point(config.plain(configured("+trainer.epochs=3")), TrialData())


def test_only_one_pass_over_the_music_is_prepared(configured):
    """The data key tells apart what is seen of the music, and nothing else."""
    values = config.plain(configured())
    same = trial.data_key({**values, "batch_size": 3, "seed": 9}, None)
    assert same == trial.data_key(values, None) != trial.data_key(apply_point(configured(), {"augment.shift": 0}), None)
