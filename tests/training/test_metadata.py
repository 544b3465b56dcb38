"""Columns of the catalogue help where they tell the genre, do no harm where they do not, and may be missing."""

import csv
import random

import numpy as np
import pytest
import torch
from lightning import Callback

import genre
from genre.config.settings import train_settings
from genre.errors import UserError
from genre.models import checkpoint
from genre.sweeping.heads import family_of
from genre.sweeping.trial import TrialData, train_point
from genre.training import trainer
from helpers import csv_rows, csv_rows_by_key

TRACKS, GENRES, BANDS = 120, 3, 12
WORDS = [f"w{number}" for number in range(30)]


def genre_of(track):
    return track % GENRES


def told(track, draw):
    """A title that names its genre, among other words."""
    return f"{draw.choice(WORDS)} {draw.choice(WORDS)} style{genre_of(track)}"


def noise(track, draw):
    return " ".join(draw.choices(WORDS, k=3))


def write_catalogue(path, title, tracks=range(TRACKS), **columns):
    """A catalogue of the archive's tracks with a column title, and others of one value each."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["track", "title", *columns])
        table.writerows([f"t{n:03d}", title(n, draw), *columns.values()] for n in tracks)
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive of small log-mels in which a genre has more of some bands than others, under much noise."""
    draw = np.random.default_rng(0)
    mel = draw.normal(120, 50, (TRACKS, BANDS, 26)) + draw.normal(0, 45, (TRACKS, BANDS, 1))
    for track in range(TRACKS):
        mel[track, 4 * genre_of(track) : 4 * genre_of(track) + 4] += 50
    path = tmp_path_factory.mktemp("archive") / "mel.npz"
    np.savez(
        path,
        mel_u8=mel.clip(0, 255).astype(np.uint8),
        track=np.array([f"t{n:03d}" for n in range(TRACKS)]),
        genre=np.array([f"g{genre_of(n)}" for n in range(TRACKS)]),
    )
    return path


@pytest.fixture(scope="module")
def compose(archive, tmp_path_factory):
    """Compose a quick training on the archive with a catalogue."""

    cache = tmp_path_factory.mktemp("cache")

    def composed(catalogue, folder, *overrides):
        return genre.compose(
            "data=logmel", f"data.path={archive}", f"data.catalogue={catalogue}", f"data.cache={cache}",
            f"folder={folder}", "name=test", "view.seconds=2", "spectrogram.size=16", "augment=none",
            "model.filters=[8,8]", "model.dense_units=16", "split.test_share=0.4", "batch_size=8", "logger=[]",
            "trainer.max_epochs=6", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
            "trainer.enable_model_summary=false", "optimizer.lr=3e-3", *overrides,
        )  # fmt: skip

    return composed


TITLE = "model.metadata=[title]"


@pytest.fixture(scope="module")
def music_alone(compose, tmp_path_factory):
    """A run without metadata."""
    folder = tmp_path_factory.mktemp("alone")
    return genre.train(compose(write_catalogue(folder / "songs.csv", noise), folder / "run"))


@pytest.fixture(scope="module")
def informed(compose, tmp_path_factory):
    """A run whose titles tell the genre."""
    folder = tmp_path_factory.mktemp("informed")
    return genre.train(compose(write_catalogue(folder / "songs.csv", told), folder / "run", TITLE))


def test_a_text_that_tells_the_genre_helps_and_the_music_alone_still_works(music_alone, informed):
    without = music_alone.metrics["test/accuracy"]
    assert 0.5 < without < 0.9
    assert informed.metrics["test/accuracy"] > without + 0.1
    assert informed.metrics["test/accuracy_music_alone"] > without - 0.1
    both, alone = (informed.metrics[f"test/accuracy{name}"] for name in ("", "_music_alone"))
    sentence = f"With the metadata (title) the accuracy is {both:.1%}, from the music alone {alone:.1%}."
    assert sentence in (informed.folder / "report.txt").read_text()


def test_a_text_that_is_noise_does_no_harm(compose, music_alone, tmp_path):
    run = genre.train(compose(write_catalogue(tmp_path / "songs.csv", noise), tmp_path / "run", TITLE))
    assert run.metrics["test/accuracy"] > music_alone.metrics["test/accuracy"] - 0.06


def test_words_of_one_track_each_are_unknown_and_change_nothing(compose, tmp_path):
    catalogue = write_catalogue(tmp_path / "songs.csv", lambda track, draw: f"unique{track}")
    run = genre.train(compose(catalogue, tmp_path / "run", TITLE, "trainer.max_epochs=1"))
    assert run.metrics["test/accuracy"] == run.metrics["test/accuracy_music_alone"]
    assert run.metrics["test/loss"] == run.metrics["test/loss_music_alone"]


def test_the_checkpoint_carries_the_branch_as_plain_weights(informed):
    content = torch.load(informed.folder / "checkpoints" / "best.ckpt", weights_only=True)
    weights = {name for name in content["state_dict"] if not name.startswith("network.")}
    assert weights == {"branch.weight", "branch.known"}
    assert "uncertain_below" in content["genre"]["music_alone"]
    saved = checkpoint.read_checkpoint(informed.folder)
    parameters = sum(w.numel() for n, w in (saved.weights | saved.branch).items() if n != "known")
    assert informed.metrics["parameters"] == parameters


def test_a_run_without_metadata_has_no_branch(music_alone):
    content = torch.load(music_alone.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert all(name.startswith("network.") for name in content["state_dict"])
    assert "music_alone" not in content["genre"]
    assert not any(name.endswith("_music_alone") for name in music_alone.metrics)


def evaluate(run, folder, *overrides):
    return genre.evaluate(genre.compose(f"run={run}", f"folder={folder}", *overrides, config_name="evaluate")).metrics


def test_a_run_is_evaluated_later_with_its_columns(informed, tmp_path):
    metrics = evaluate(informed.folder, tmp_path)
    for name in ("test/accuracy", "test/loss", "test/accuracy_music_alone", "test/loss_music_alone"):
        assert metrics[name] == pytest.approx(informed.metrics[name], abs=1e-6)
    assert csv_rows(tmp_path / "predictions.csv") == csv_rows(informed.folder / "predictions.csv")
    assert "from the music alone" in (tmp_path / "report.txt").read_text()


@pytest.fixture
def other(informed, archive, compose, tmp_path):
    """Evaluate the run on the test tracks with another catalogue."""
    cache = f"data.cache={compose('x', 'x').data.cache}"
    tested = [int(row["track"][1:]) for row in csv_rows(informed.folder / "predictions.csv")]

    def on(title, **columns):
        table = write_catalogue(tmp_path / "other.csv", title, tested, **columns)
        music = ["data=logmel", f"data.path={archive}", f"data.catalogue={table}", cache]
        return evaluate(informed.folder, tmp_path / "other", *music)

    return on


def test_another_catalogue_without_the_column_is_evaluated_from_the_music_alone(informed, other, caplog):
    metrics = other(lambda track, draw: "", year=1987)
    assert "no track has a value in title: evaluated from the music alone" in caplog.text
    for name in ("accuracy", "loss", "ece"):
        before = informed.metrics.get(f"test/{name}_music_alone")
        assert before is None or metrics[f"all/{name}"] == pytest.approx(before, abs=1e-6)


def test_unseen_words_say_nothing_and_seen_ones_the_same_in_any_spelling(informed, other):
    alone = informed.metrics["test/accuracy_music_alone"]
    assert other(lambda track, draw: "Never heard before")["all/accuracy"] == pytest.approx(alone)
    heard = other(lambda track, draw: f"  STYLE{genre_of(track)}!")
    assert heard["all/accuracy"] > alone + 0.1


def test_a_track_without_a_value_is_predicted_from_the_music_alone(other, tmp_path):
    def ranked(title):
        """The genres of each track by probability, which the temperature does not change."""
        other(title)
        rows = csv_rows_by_key(tmp_path / "other" / "predictions.csv")
        return {int(name[1:]): sorted(("g0", "g1", "g2"), key=lambda g: float(row[g])) for name, row in rows.items()}

    alone = ranked(lambda track, draw: "")
    half = ranked(lambda track, draw: told(track, draw) if track % 2 else "")
    assert all(half[track] == alone[track] for track in half if track % 2 == 0)
    assert any(half[track] != alone[track] for track in half if track % 2)


def test_the_loaded_model_is_that_of_the_music_alone(informed):
    saved = checkpoint.read_checkpoint(informed.folder)
    model = genre.load(informed.folder)
    assert model.postprocessing.metadata() == saved.music_postprocessing.metadata() != saved.postprocessing.metadata()
    assert model(torch.zeros(1, 2 * model.sample_rate)).shape == (1, GENRES)


def test_files_are_predicted_from_the_music_alone_and_that_is_told(informed, music, tmp_path, caplog):
    file = music / "rock" / "rock.00000.wav"
    overrides = [f"run={informed.folder}", f"input={file}", f"folder={tmp_path}"]
    with caplog.at_level("INFO", "genre.prediction"):
        genre.predict(genre.compose(*overrides, config_name="predict"))
    assert "the run knows title of tracks, too; files are predicted from the music alone" in caplog.text


class Stop(Callback):
    """Breaks a run off when an epoch begins."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise ValueError


@pytest.fixture
def broken_off(compose, tmp_path, monkeypatch):
    """A run with metadata and mixup that was interrupted in its second epoch, and its whole twin."""
    catalogue = write_catalogue(tmp_path / "songs.csv", told)
    overrides = [TITLE, "trainer.max_epochs=3", "augment.mixup=0.4"]
    whole = genre.train(compose(catalogue, tmp_path / "whole", *overrides))
    usual = trainer.build_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "build_callbacks", lambda *given: [*usual(*given), Stop()])
        with pytest.raises(ValueError):
            genre.train(compose(catalogue, tmp_path / "run", *overrides))
    return whole, tmp_path / "run", catalogue


def test_a_resumed_run_has_the_history_of_an_unbroken_one(broken_off):
    whole, broken, _ = broken_off
    resumed = genre.train(genre.compose(f"resume={broken}"))
    for name in ("history.csv", "predictions.csv", "report.txt"):
        assert (whole.folder / name).read_text() == (resumed.folder / name).read_text()


def test_a_run_is_not_resumed_with_other_words(broken_off):
    _, broken, catalogue = broken_off
    write_catalogue(catalogue, noise)
    with pytest.raises(UserError, match=r"model.metadata have other values than when the run began; restore them"):
        genre.train(genre.compose(f"resume={broken}"))


def test_a_run_can_start_from_the_network_of_one_with_metadata(compose, informed, tmp_path):
    catalogue = write_catalogue(tmp_path / "songs.csv", told)
    quick = [f"init_from={informed.folder}", "optimizer.lr=1e-30", "trainer.max_epochs=1"]
    run = genre.train(compose(catalogue, tmp_path / "run", *quick))
    before, after = (checkpoint.read_checkpoint(each.folder) for each in (informed, run))
    assert all(torch.equal(after.weights[name], before.weights[name]) for name in before.weights)
    assert not after.branch


def test_a_record_of_before_there_was_metadata_still_loads(music_alone, tmp_path):
    path = tmp_path / "best.ckpt"
    content = checkpoint.load_content(music_alone.folder / "checkpoints" / "best.ckpt")
    for key in ("metadata", "metadata_dropout"):
        del content["genre"]["config"]["model"][key]
    checkpoint.save_checkpoint(content, path)
    assert genre.load(path)(torch.zeros(1, 44_100)).shape == (1, GENRES)
    settings = train_settings(content["genre"]["config"])
    assert list(settings.metadata.columns) == []


def test_the_network_never_sees_the_keys(compose):
    settings = train_settings(compose("x", "x", TITLE, "model.metadata_dropout=0.3"))
    assert not {"metadata", "metadata_dropout"} & settings.model.arguments.keys()
    assert (settings.metadata.columns, settings.metadata.dropout) == (["title"], 0.3)


def test_a_network_of_ones_own_keeps_the_keys():
    own = ["model._target_=genre.models.resnet.ResNet", TITLE]
    settings = train_settings(genre.compose("data=synthetic", "folder=x", "name=x", *own))
    assert settings.metadata.columns == ["title"] and settings.metadata.dropout == 0.5
    assert "metadata" not in settings.model.arguments


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.metadata=title", "model.metadata=title must be a list, each item text"),
        ("model.metadata=[1]", r"model.metadata=\[1\] must be a list, each item text"),
        ("model.metadata_dropout=1", "model.metadata_dropout=1 must be a number of at least 0 and below 1"),
        ("model.metadata=[artist]", "model.metadata: the column artist needs split=artist"),
        ("+metadata=[title]", "there is no key metadata; did you mean model.metadata"),
    ],
)
def test_a_wrong_value_is_one_sentence_before_any_data_is_read(compose, override, sentence):
    with pytest.raises(UserError, match=sentence):
        train_settings(compose("there/is/none.csv", "x", override))


def test_a_column_that_is_not_there_is_told_before_the_folder_is_begun(compose, tmp_path):
    catalogue = write_catalogue(tmp_path / "songs.csv", told, artist="Queen")
    with pytest.raises(UserError, match="no column lyrics, or an empty one; it has artist, title"):
        genre.train(compose(catalogue, tmp_path / "run", "model.metadata=[lyrics]"))
    assert not (tmp_path / "run").exists()


ENSEMBLE = "model={_target_: genre.models.ensemble.Ensemble, members: {a: {_target_: genre.models.cnn.CNN}}}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        ["model=vgg16", "model.weights=random", "augment=none"],
        ["model=vgg16", "model.weights=random", "augment=strong", "task=multilabel", "model.cached_views=2"],
        [ENSEMBLE, "augment=none"],
        ["augment=strong", "augment.mixup=0.3"],
    ],
    ids=["frozen", "cached mixtures", "ensemble", "live mixtures"],
)
def test_any_network_has_the_branch(archive, tmp_path, network):
    catalogue = write_catalogue(tmp_path / "songs.csv", told)
    music = ["data=logmel", f"data.path={archive}", f"data.catalogue={catalogue}", f"data.cache={tmp_path}"]
    quick = ["trainer.max_epochs=2", "trainer.precision=32-true", "trainer.enable_progress_bar=false", "logger=[]"]
    rest = ["view.seconds=2", "spectrogram.size=32", f"folder={tmp_path / 'run'}", "name=test"]
    run = genre.train(genre.compose(*music, *network, *quick, *rest, TITLE))
    assert checkpoint.read_checkpoint(run.folder).branch["weight"].abs().sum() > 0
    assert {"test/accuracy_music_alone", "val/accuracy_music_alone"} <= run.metrics.keys()


def test_points_of_a_sweep_with_metadata_train_alone(compose, tmp_path):
    catalogue = write_catalogue(tmp_path / "songs.csv", told)
    quick = ["trainer.max_epochs=1"]
    points = [train_settings(compose(catalogue, "x", *quick, *more)) for more in ((), (TITLE,))]
    data = TrialData()
    plain, with_title = (train_point(point, data) for point in points)
    assert with_title.parameters > plain.parameters
    vgg16 = "model={_target_: genre.models.vgg16.VGG16, weights: random}"
    heads = [
        train_settings(genre.compose("data=synthetic", "folder=x", "name=x", vgg16, *more)) for more in ((), (TITLE,))
    ]
    assert family_of(heads[0]) and family_of(heads[1]) is None
