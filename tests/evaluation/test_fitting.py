"""Post-processing is fitted on validation tracks alone, and every command uses it."""

import json

import numpy as np
import pytest
import soundfile
import torch

import genre
from helpers import csv_rows_by_key

SMALL = (
    "trainer.precision=32-true", "trainer.enable_progress_bar=false", "model.filters=[4,4,8]", "model.dense_units=8",
    "name=test",
)  # fmt: skip


def metadata(run):
    return torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)["genre"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, music, cache):
    """One finished run with a temperature, over crops; no test changes it."""
    folder = tmp_path_factory.mktemp("postprocessing") / "run"
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={folder}", "view=segments",
            "view.seconds=1", "view.crops=3", "trainer.max_epochs=4", "task.calibrate=true", "task.certain=0.6", *SMALL,
        )
    )  # fmt: skip


def test_the_temperature_is_in_the_checkpoint_and_lowers_the_validation_loss(run):
    assert metadata(run)["temperature"] != pytest.approx(1, abs=1e-3)
    history = csv_rows_by_key(run.folder / "history.csv", "epoch")
    assert run.metrics["val/loss"] <= min(float(row["val_loss"]) for row in history.values()) + 0.01


def test_a_run_without_calibration_has_no_temperature(configured):
    plain = genre.train(configured())
    assert "temperature" not in metadata(plain) and 0 <= metadata(plain)["uncertain_below"] <= 1
    assert genre.load(plain.folder).postprocessing.temperature is None


def test_a_track_is_uncertain_if_its_highest_probability_is_below_the_threshold(run):
    uncertain_below = metadata(run)["uncertain_below"]
    predictions = csv_rows_by_key(run.folder / "predictions.csv")
    for row in predictions.values():
        best = max(float(row[name]) for name in ("blues", "jazz", "rock"))
        assert row["uncertain"] == ("yes" if best < uncertain_below else "no")
    assert list(next(iter(predictions.values())))[-1] == "uncertain"


def test_evaluation_loading_and_prediction_use_the_same_temperature_and_threshold(run, music, tmp_path):
    expected = csv_rows_by_key(run.folder / "predictions.csv")
    again = genre.evaluate(genre.compose(f"run={run.folder}", f"folder={tmp_path / 'a'}", config_name="evaluate"))
    assert csv_rows_by_key(again.folder / "predictions.csv") == expected
    assert again.metrics["test/ece"] == pytest.approx(run.metrics["test/ece"])
    model = genre.load(run.folder)
    for name, row in expected.items():
        probabilities = model(torch.from_numpy(soundfile.read(music / name, dtype="float32")[0])[None])[0].tolist()
        assert probabilities == pytest.approx([float(row[genre]) for genre in model.genres], abs=1e-5)
        assert model.is_uncertain(probabilities) == (row["uncertain"] == "yes")
    prediction = genre.predict(
        genre.compose(
            f"run={run.folder}", f"input={music / 'blues'}", f"folder={tmp_path / 'b'}", config_name="predict"
        )
    )
    predicted = csv_rows_by_key(prediction.folder / "predictions.csv", "path")
    for name in (name for name in expected if name.startswith("blues")):
        assert predicted[str(music / name)]["uncertain"] == expected[name]["uncertain"]
        assert predicted[str(music / name)]["predicted"] == expected[name]["predicted"]


def catalogue(path, music, other_test_labels):
    """Write a CSV with subsets and two genres in every fourth track; test labels are rotated if asked for."""
    turned = {"blues": "jazz", "jazz": "rock", "rock": "blues"}
    lines = ["path,genres,split"]
    for number, file in enumerate(sorted(music.rglob("*.wav"))):
        subset = ("train", "train", "val", "test", "train")[number % 5]
        genres = [file.parent.name] + [turned[file.parent.name]] * (number % 4 == 0)
        if subset == "test" and other_test_labels:
            genres = [turned[name] for name in genres]
        lines.append(f"{file},{';'.join(genres)},{subset}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "task",
    [
        ("task=multiclass", "task.calibrate=true"),
        ("task=multilabel", "task.calibrate=true", "task.thresholds=per_genre", "augment=strong", "augment.mix=0.5"),
    ],
    ids=["one genre", "several genres"],
)
def test_test_labels_change_test_metrics_only(configured, music, tmp_path, task):
    """Neither weights, choice of epoch, thresholds, temperature nor certainty changes when the test labels do."""
    runs = []
    for other in (False, True):
        path = catalogue(tmp_path / f"{other}.csv", music, other)
        own = [f"data.path={path}", "split=column", "view.seconds=4", f"folder={tmp_path / str(other)}"]
        runs.append(genre.train(configured(*own, *task, "trainer.max_epochs=3", data="csv")))
    one, other = (torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True) for run in runs)
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    assert (one["epoch"], one["global_step"]) == (other["epoch"], other["global_step"])
    fitted = {"temperature", "uncertain_below"} | (
        {"thresholds", "most_common_set"} if "task=multilabel" in task else set()
    )
    assert {key: one["genre"].get(key) for key in fitted} == {key: other["genre"].get(key) for key in fitted}
    assert fitted <= one["genre"].keys()
    assert len({(run.folder / "history.csv").read_text() for run in runs}) == 1
    metrics = [json.loads((run.folder / "metrics.json").read_text()) for run in runs]
    changed = {key for key in metrics[0] if metrics[0][key] != metrics[1][key]} - {"seconds"}
    assert changed and all(key.startswith("test/") for key in changed)
    predictions = [csv_rows_by_key(run.folder / "predictions.csv") for run in runs]
    for name, row in predictions[0].items():
        assert row["true"] != predictions[1][name]["true"]
        assert {**row, "true": ""} == {**predictions[1][name], "true": ""}


FROZEN = (
    "model=musicnn", "model.stride=1", "model.cached_views=1", "model.dense_units=8", "spectrogram.size=64",
    "view.seconds=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def far_catalogue(tmp_path_factory, music):
    """A CSV with subsets, whose test tracks are noise if asked for."""
    folder = tmp_path_factory.mktemp("noise")

    def write(noise):
        path = catalogue(folder / f"{noise}.csv", music, False)
        if noise:
            lines = path.read_text().splitlines()
            for number, line in enumerate(lines):
                if line.endswith(",test"):
                    samples = 0.1 * np.random.default_rng(number).standard_normal(4 * 22_050)
                    soundfile.write(folder / f"{number}.wav", samples, 22_050)
                    lines[number] = ",".join([str(folder / f"{number}.wav"), *line.split(",")[1:]])
            path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture(scope="module")
def frozen_runs(far_catalogue, tmp_path_factory, cache):
    """Two runs of a network with frozen features, whose test tracks are music, and noise; no test changes them."""
    folder, runs = tmp_path_factory.mktemp("frozen"), []
    for noise in (False, True):
        own = [f"data.path={far_catalogue(noise)}", f"data.cache={cache}", f"folder={folder / str(noise)}"]
        quick = ["trainer.max_epochs=10", "trainer.precision=32-true", "trainer.enable_progress_bar=false", "name=test"]
        runs.append(genre.train(genre.compose("data=csv", "split=column", *own, *quick, *FROZEN)))
    return runs


def test_other_test_tracks_change_neither_weights_nor_thresholds(frozen_runs):
    one, other = (torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True) for run in frozen_runs)
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    fitted = [{key: each["genre"][key] for key in ("uncertain_below", "uncertain_beyond")} for each in (one, other)]
    assert fitted[0] == fitted[1]


def test_a_track_is_uncertain_if_it_is_far_from_the_training_tracks(frozen_runs):
    for run in frozen_runs:
        model, rows = genre.load(run.folder), csv_rows_by_key(run.folder / "predictions.csv")
        beyond, answers = metadata(run)["uncertain_beyond"], {name: model.predict(name) for name in rows}
        for name, row in rows.items():
            uncertain = answers[name].distance > beyond or model.is_uncertain(answers[name].probabilities)
            assert answers[name].uncertain is uncertain and row["uncertain"] == ("yes" if uncertain else "no")
        if run is frozen_runs[1]:
            assert all(answer.distance > beyond for answer in answers.values())


def test_evaluation_on_other_music_uses_the_distance(frozen_runs, far_catalogue, tmp_path):
    data = [f"data.path={far_catalogue(True)}", "data=csv", "exclude_seen=false"]
    overrides = [f"run={frozen_runs[0].folder}", *data, f"folder={tmp_path}"]
    result = genre.evaluate(genre.compose(*overrides, config_name="evaluate"))
    rows = csv_rows_by_key(result.folder / "predictions.csv")
    noise = [row["uncertain"] for name, row in rows.items() if "noise" in name]
    assert noise and set(noise) == {"yes"}
    assert "distance from the training tracks above" in (result.folder / "report.txt").read_text()


def test_without_validation_tracks_no_distance_is_too_large(frozen_runs, music, tmp_path, cache):
    path = catalogue(tmp_path / "tracks.csv", music, False)
    path.write_text(path.read_text().replace(",val", ",train"))
    own = [f"data.path={path}", f"data.cache={cache}", f"folder={tmp_path / 'run'}", "name=test", "data=csv"]
    run = genre.train(genre.compose(*own, "split=column", "trainer.max_epochs=1", "trainer.precision=32-true", *FROZEN))
    assert not {"uncertain_below", "uncertain_beyond"} & metadata(run).keys()
    assert genre.load(run.folder).predict(music / "rock" / "rock.00000.wav").uncertain is None


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_an_impossible_share_of_certain_tracks_is_a_user_error(configured, task):
    with pytest.raises(genre.UserError, match=r"task.certain=1.5 must be a number of at least 0 and at most 1"):
        genre.train(configured(f"task={task}", "task.certain=1.5"))
