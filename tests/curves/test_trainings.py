"""Every share is trained in every fold, from the same stores, in folders that evaluate.py can read."""

import logging

import pytest

from genre.config.settings import curve_settings, train_record
from genre.curves import trainings as module
from genre.curves.trainings import check_trainings, prepare_stores, quiet_console, trainings_of
from genre.errors import UserError


@pytest.fixture
def curve_of(configured_curve):
    """The trainings of a learning curve over the small music."""

    def make(*overrides):
        return trainings_of(curve_settings(train_record(configured_curve(*overrides))))

    return make


def test_all_shares_of_a_fold_come_before_the_next_fold(curve_of, tmp_path):
    trainings = curve_of("curve.folds=2")
    assert list(trainings) == [(share, fold) for fold in (0, 1) for share in (0.25, 0.5, 1)]
    settings = trainings[0.5, 1]
    assert (settings.split.train_share, settings.split.fold, settings.split.folds) == (0.5, 1, 2)
    assert settings.folder == tmp_path / "curve" / "runs" / "share-0.5" / "fold-1"
    assert len({run.name for run in trainings.values()}) == 1


def test_a_genre_with_less_than_one_track_in_the_smallest_share_is_refused_before_music_is_decoded(curve_of):
    with pytest.raises(UserError, match=r"genre blues has 10 tracks, of which about 7.0 train per fold: the smallest"):
        check_trainings(curve_of("curve.shares=[0.1,0.5,1]", "curve.folds=5"))
    check_trainings(curve_of("curve.shares=[0.2,0.5,1]", "curve.folds=5"))


def test_several_devices_are_refused(curve_of):
    with pytest.raises(UserError, match=r"curve\.py trains on one device; omit trainer=ddp"):
        check_trainings(curve_of("trainer.accelerator=cpu", "trainer.devices=2"))


def test_shares_with_the_same_tracks_are_refused(curve_of):
    with pytest.raises(UserError, match=r"the shares 0.5 and 0.51 have the same \d+ training tracks"):
        prepare_stores(curve_of("curve.shares=[0.5,0.51,1]"))


def test_no_training_builds_a_store_of_its_own(curve_of, cache, monkeypatch):
    trainings = curve_of("model=vgg16", "model.weights=random", "model.cached_views=1", "spectrogram.size=32")
    monkeypatch.setattr("genre.models.vgg16.VGG16.feature_identity", {"weights": "the same each time"})
    prepare_stores(trainings)
    opened = []
    before = {path.name for path in cache.iterdir() if path.is_dir()}
    for settings in trainings.values():
        data = module.data_of(settings)
        opened.append((data.train_store.key.name, data.eval_store.key.name))
        assert {path.name for path in cache.iterdir() if path.is_dir()} == before
    assert len(set(opened)) == 1


def test_a_training_is_heard_in_the_log_file_only(capsys):
    console = logging.StreamHandler()
    logging.getLogger().addHandler(console)
    try:
        with quiet_console():
            assert console.level == logging.ERROR
            print("a table")
        assert console.level == logging.NOTSET and capsys.readouterr().out == ""
    finally:
        logging.getLogger().removeHandler(console)
