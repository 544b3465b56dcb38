"""Everything that a run logs to TensorBoard, read back from its event files."""

import io

import numpy as np
import pytest
import soundfile
from google.protobuf import text_format
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.util.tensor_util import make_ndarray

import genre
from genre.config.settings import train_settings
from genre.evaluation.tensorboard import MISTAKES, TensorBoardCallback, hyperparameters, most_confident_mistakes
from helpers import csv_rows, csv_rows_by_key

GENRES = ("blues", "jazz", "rock")
ALL = {"images": 0, "audio": 0, "tensors": 0, "scalars": 0}


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""


def trained(folder, music, cache, *overrides):
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={folder}", "name=test",
            "view.seconds=4", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
            "model.filters=[4,4,8]", "model.dense_units=8", *overrides,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory, music, cache):
    """One finished, untrained run, which is often wrong; no test changes it."""
    return trained(
        tmp_path_factory.mktemp("tensorboard") / "run", music, cache, "trainer.max_epochs=2", "optimizer.lr=1e-12"
    )


@pytest.fixture(scope="module")
def events(run):
    return EventAccumulator(str(run.folder), ALL).Reload()


@pytest.fixture(scope="module")
def predictions(run):
    return csv_rows_by_key(run.folder / "predictions.csv")


def test_scalars_are_grouped(events):
    tags = events.Tags()["scalars"]
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= set(tags)
    assert {"final/test/accuracy", "final/val/accuracy", "final/test/ece"} <= set(tags)
    assert len(events.Scalars("val/loss")) == 2


def test_every_figure_of_the_folder_is_an_image_of_the_same_size(run, events):
    for name in ("confusion", "genres", "reliability", "gradcam"):
        (image,) = events.Images(f"{name}/test")
        height, width, _ = imread(run.folder / "figures" / f"{name}.png").shape
        assert (image.width, image.height) == (width, height)
    assert {"curves", "examples/training"} <= set(events.Tags()["images"])


def test_the_confusion_matrix_of_validation_is_logged_by_epoch_and_at_the_end(events):
    steps = [image.step for image in events.Images("confusion/val")]
    assert steps == sorted(steps) and len(set(steps)) == 3


def test_each_genre_has_precision_recall_curves_of_validation_and_test(events):
    assert set(events.PluginTagToContent("pr_curves")) == {
        f"{part}/{name}" for part in ("val", "test") for name in GENRES
    }


def test_a_precision_recall_curve_begins_with_every_track_predicted(events, predictions):
    values = make_ndarray(events.Tensors("test/jazz")[0].tensor_proto)
    true, tracks = sum(row["true"] == "jazz" for row in predictions.values()), len(predictions)
    assert values[4, 0] == pytest.approx(true / tracks) and values[5, 0] == 1


def test_the_most_confident_mistakes_have_audio_and_name_their_files(events, predictions, music):
    wrong = {
        name: max(float(row[genre]) for genre in GENRES if genre != row["true"])
        for name, row in predictions.items()
        if row["true"] != row["predicted"]
    }
    tags = sorted(tag for tag in events.Tags()["audio"] if tag.startswith("mistakes_test/"))
    assert 0 < len(tags) == min(MISTAKES, len(wrong))
    worst = max(wrong, key=lambda name: wrong[name])
    (audio,) = events.Audio(tags[0])
    samples, rate = soundfile.read(io.BytesIO(audio.encoded_audio_string))
    expected, _ = soundfile.read(music / worst)
    assert tags[0] == f"mistakes_test/1_{predictions[worst]['true']}_predicted_as_{predictions[worst]['predicted']}"
    assert rate == 22_050 and samples.ndim == 1
    np.testing.assert_allclose(samples, expected, atol=2 / 32768)
    assert str(music / worst) in text_of(events, "mistakes/test")


def text_of(events, tag):
    return events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode()


def test_the_configuration_is_logged_as_text(events):
    text = text_of(events, "configuration")
    assert text.startswith("```yaml\n") and "dense_units: 8" in text


def test_hyperparameters_are_logged_with_final_metrics_and_without_paths(run, events):
    content = events.PluginTagToContent("hparams")
    started = HParamsPluginData.FromString(content["_hparams_/session_start_info"]).session_start_info
    columns = {name: value.WhichOneof("kind") for name, value in started.hparams.items()}
    assert {"seed", "batch_size", "model", "task", "optimizer", "optimizer.lr", "model.dense_units"} <= columns.keys()
    assert not {"name", "folder", "data.root", "data.cache", "model.weights", "model.filters"} & columns.keys()
    assert started.hparams["optimizer.lr"].number_value == 1e-12 and started.hparams["model"].string_value == "CNN"
    experiment = HParamsPluginData.FromString(content["_hparams_/experiment"]).experiment
    metrics = {info.name.tag for info in experiment.metric_infos}
    assert {"final/test/accuracy", "final/val/loss", "final/test/macro_f1"} <= metrics
    for tag in metrics:
        assert events.Scalars(tag)[-1].value == pytest.approx(run.metrics[tag.removeprefix("final/")], rel=1e-5)


def test_the_hyperparameters_that_usually_vary_are_the_first_columns(configured):
    record = train_settings(configured()).record
    assert list(hyperparameters(record))[:5] == ["model", "task", "optimizer.lr", "batch_size", "seed"]


def test_the_projector_has_a_point_for_each_track_of_validation_and_test(run, predictions):
    config = text_format.Parse((run.folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    vectors = np.loadtxt(run.folder / embedding.tensor_path, delimiter="\t", ndmin=2)
    labels = csv_rows(run.folder / embedding.metadata_path, delimiter="\t")
    assert vectors.shape == tuple(embedding.tensor_shape) == (9, 8)  # 3 and 6 tracks, the dense layer
    assert {row["track"]: row["true"] for row in labels if row["subset"] == "test"} == {
        name: row["true"] for name, row in predictions.items()
    }
    assert [row["subset"] for row in labels].count("val") == 3


@pytest.mark.slow
def test_the_event_file_of_a_long_run_is_small(run, music, cache, tmp_path):
    """An epoch adds scalars only, and a run ten matrices: 100,000 epochs would be 50 MB."""

    def size(folder):
        return sum(path.stat().st_size for path in folder.glob("events.out.tfevents.*"))

    long = trained(
        tmp_path / "long", music, cache, "trainer.max_epochs=40", "optimizer.lr=1e-12", "stopping.patience=null"
    )
    matrices = EventAccumulator(str(long.folder), ALL).Reload().Images("confusion/val")
    assert len(matrices) == 11
    of_matrices = sum(len(image.encoded_image_string) for image in matrices)
    assert size(long.folder) - of_matrices - size(run.folder) < 500 * 40
    assert size(long.folder) < 4_000_000


def test_a_resumed_run_has_one_set_of_final_figures(music, cache, tmp_path):
    folder = trained(tmp_path / "short", music, cache, "trainer.max_epochs=1").folder
    genre.train(genre.compose(f"resume={folder}", "trainer.max_epochs=2"))
    events = EventAccumulator(str(folder), ALL).Reload()
    assert len(events.Images("confusion/test")) == len(events.Images("curves")) == 1


def test_mistakes_of_an_archive_are_listed_without_audio(configured, tmp_path):
    names = [f"{name}.{index:05d}" for name in GENRES for index in range(10)]
    mel = np.random.default_rng(0).integers(0, 256, (len(names), 128, 387), np.uint8)
    np.savez(tmp_path / "mel.npz", mel_u8=mel, track=np.array(names), genre=np.array([n[:-6] for n in names]))
    run = genre.train(configured(f"data.path={tmp_path / 'mel.npz'}", "optimizer.lr=1e-12", data="logmel"))
    events = EventAccumulator(str(run.folder), ALL).Reload()
    assert events.Tags()["audio"] == []
    assert "| 1 | " in text_of(events, "mistakes/test")


@pytest.mark.parametrize("epochs", [-1, "null"])
def test_a_run_without_a_last_epoch_logs_a_confusion_matrix_every_100_epochs(configured, epochs):
    settings = train_settings(configured(f"trainer.max_epochs={epochs}"))
    assert TensorBoardCallback(settings).every == 100


def test_the_most_confident_mistakes_come_first(make_predictions):
    targets = np.eye(3, dtype=bool)[[0, 1, 2, 0]]
    probabilities = np.array([[0.1, 0.6, 0.3], [0.2, 0.7, 0.1], [0.9, 0.0, 0.1], [0.3, 0.3, 0.4]])
    predictions = make_predictions(targets, probabilities)
    assert most_confident_mistakes(predictions) == [(2, 0), (0, 1), (3, 2)]
