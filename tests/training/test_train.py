"""A run writes its whole folder, is the same under the same seed, and says what is missing."""

import json

import pytest
import torch

import genre
from genre.errors import UserError
from helpers import csv_rows

GENRES = ("blues", "jazz", "rock")


@pytest.fixture
def run(configured):
    return genre.train(configured("trainer.max_epochs=2"))


def test_the_run_folder_is_whole(run):
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert files >= {
        "metrics.json",
        "history.csv",
        "splits.csv",
        "predictions.csv",
        "report.txt",
        "report.json",
        "figures/confusion.png",
        "figures/curves.png",
        "figures/genres.png",
        "figures/reliability.png",
        "figures/gradcam.png",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "skipped.csv",
    }
    assert any(name.startswith("events.out.tfevents.") for name in files)
    assert not any("=" in name for name in files)


def test_the_metrics_are_those_of_the_written_predictions(run):
    metrics = json.loads((run.folder / "metrics.json").read_text())
    predictions = csv_rows(run.folder / "predictions.csv")
    tested = {row["track"] for row in csv_rows(run.folder / "splits.csv") if row["subset"] == "test"}
    assert {row["track"] for row in predictions} == tested
    right = sum(row["true"] == row["predicted"] for row in predictions) / len(predictions)
    assert metrics["test/accuracy"] == pytest.approx(right)
    for row in predictions:
        probabilities = {name: float(row[name]) for name in ("blues", "jazz", "rock")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=lambda name: probabilities[name]) == row["predicted"]
    assert metrics["tracks"] == {"train": 21, "val": 3, "test": 6}
    low, high = metrics["test/accuracy_ci95"]
    assert low <= metrics["test/accuracy"] <= high
    assert (metrics["split"], metrics["split_seed"], metrics["seed"]) == ("random", 0, 0)
    assert metrics["missing"] == [] and metrics["seconds"] > 0 and metrics["parameters"] > 1000


def test_the_history_has_a_row_an_epoch(run):
    history = csv_rows(run.folder / "history.csv")
    assert [row["epoch"] for row in history] == ["0", "1"]
    assert list(history[0]) == ["epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert all(float(row["learning_rate"]) == 1e-3 and float(row["val_loss"]) > 0 for row in history)


def test_the_figures_of_the_run_are_those_of_the_epoch_with_the_lowest_validation_loss(run):
    lowest = min(float(row["val_loss"]) for row in csv_rows(run.folder / "history.csv"))
    assert run.metrics["val/loss"] == pytest.approx(lowest, rel=1e-4)
    assert run.objective == run.metrics["val/accuracy"]


def test_best_loads_with_weights_only_and_carries_what_it_needs(run):
    content = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["genre"]["genres"] == ["blues", "jazz", "rock"]
    assert set(content["genre"]["config"]) >= {"spectrogram", "view", "task", "model"}
    assert "optimizer_states" not in content
    assert "optimizer_states" in torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_the_same_seed_gives_the_same_run_and_another_another(configured, tmp_path):
    same = [genre.train(configured("seed=1", f"folder={tmp_path / name}")) for name in "ab"]
    other = genre.train(configured("seed=2", f"folder={tmp_path / 'c'}"))
    histories = [(result.folder / "history.csv").read_text() for result in (*same, other)]
    assert histories[0] == histories[1] != histories[2]
    assert (same[0].folder / "splits.csv").read_text() == (other.folder / "splits.csv").read_text()


@pytest.mark.parametrize(
    ("overrides", "stage"),
    [
        (("augment=document",), "picture"),
        (("augment=strong",), "logmel"),
        (("view=segments", "view.seconds=1", "augment=strong"), "waveform"),
    ],
)
def test_training_reads_the_last_stage_that_does_not_change_between_epochs(configured, overrides, stage):
    result = genre.train(configured(*overrides))
    assert result.metrics["training_reads"] == stage
    assert result.objective == result.metrics["val/accuracy"]


def test_several_genres_have_their_metrics(configured):
    metrics = genre.train(configured("task=multilabel")).metrics
    for name in ("exact", "jaccard", "micro_f1", "macro_f1", "map", "roc_auc", "lrap"):
        assert 0 <= metrics[f"test/{name}"] <= 1 and len(metrics[f"test/{name}_ci95"]) == 2
    assert metrics["test/accuracy"] == metrics["test/exact"]


def column_split(music, path, words):
    lines = [
        f"{file},{file.parent.name},{words[n % len(words)]}" for n, file in enumerate(sorted(music.rglob("*.wav")))
    ]
    path.write_text("\n".join(["path,genres,split", *lines]) + "\n")
    return [f"data.path={path}", "split=column", "view.seconds=4"]


@pytest.mark.parametrize("missing", ["test", "val"])
def test_an_empty_subset_is_named_and_its_keys_are_absent(configured, music, tmp_path, missing):
    words = ["train", "train", "val" if missing == "test" else "test"]
    result = genre.train(configured(*column_split(music, tmp_path / "songs.csv", words), data="csv"))
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["missing"] == [missing]
    assert not any(key.startswith(f"{missing}/") for key in metrics)
    assert (result.folder / "figures" / "confusion.png").exists() == (missing != "test")


def test_a_folder_that_holds_a_run_is_not_overwritten(configured):
    genre.train(configured())
    with pytest.raises(UserError, match="holds a run already"):
        genre.train(configured())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stopping.monitor=val/f1", "stopping.monitor=val/f1 is not logged"),
        ("trainer.precision=8", "trainer.precision=8 must be one of"),
        ("+trainer.epochs=3", "there is no key trainer.epochs"),
    ],
)
def test_a_wrong_trainer_key_is_a_mistake(configured, override, message):
    with pytest.raises(UserError, match=message):
        genre.train(configured(override))


def test_early_stopping_and_the_plateau_follow_the_document(configured):
    result = genre.train(
        configured("trainer.max_epochs=30", "optimizer.lr=1e-30", "stopping.patience=3", "scheduler.patience=1")
    )
    assert result.metrics["epochs"] == 4


def test_thresholds_are_tuned_and_travel_with_the_checkpoint(configured):
    run = genre.train(configured("task=multilabel", "task.thresholds=per_genre", "augment.mix=0.5"))
    about = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)["genre"]
    assert len(about["thresholds"]) == 3 and sum(about["most_common_set"]) == 1
    assert {"test/exact", "test/exact_tuned", "test/exact_tuned_ci95", "test/lrap_tuned"} <= run.metrics.keys()
    assert {f"test/jaccard_{name}" for name in ("commonest_set", "top_1", "top_2")} <= run.metrics.keys()
    assert all((run.folder / "figures" / f"{name}.png").exists() for name in ("thresholds", "cooccurrence"))
    for row in csv_rows(run.folder / "predictions.csv"):
        said = [name for name, t in zip(GENRES, about["thresholds"], strict=True) if float(row[name]) > t]
        assert row["predicted"] == ";".join(said)


def test_a_run_starts_from_another_tasks_network(configured, tmp_path):
    first = genre.train(configured(f"folder={tmp_path / 'first'}"))
    started = genre.train(configured("task=multilabel", f"init_from={first.folder}", "optimizer.lr=1e-30"))
    weights = [
        torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for run in (first, started)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_another_network_cannot_be_started_from(configured, tmp_path):
    first = genre.train(configured(f"folder={tmp_path / 'first'}"))
    with pytest.raises(UserError, match=r"is another network \(CNN\)"):
        genre.train(configured(f"init_from={first.folder}", "model.dense_units=9"))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("model", ["cnn", "vgg16", "resnet", "crnn"])
def test_every_pair_of_model_and_task_trains_a_step(configured, model, task):
    weights = ["model.weights=random", "augment=none"] if model == "vgg16" else []
    cfg = configured(f"model={model}", f"task={task}", "+trainer.limit_train_batches=1", *weights, network=model)
    run = genre.train(cfg)
    network = genre.load(run.folder).network
    assert run.metrics["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert (run.folder / "figures" / "gradcam.png").exists()


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_class_weights_change_training_unless_all_genres_weigh_the_same(configured, tmp_path, task):
    """Of three genres with equally many tracks all weigh 1 in cross-entropy, but a yes weighs as much as two noes."""
    histories = []
    for weights in ("true", "false"):
        folder = tmp_path / weights
        run = genre.train(configured(f"task={task}", f"task.class_weights={weights}", f"folder={folder}"))
        histories.append((run.folder / "history.csv").read_text())
    assert (histories[0] == histories[1]) == (task == "multiclass")


@pytest.mark.slow
def test_the_cnn_learns_the_synthetic_set_to_90_percent(tmp_path):
    """The command of the README's demonstration."""
    cfg = genre.compose(
        "data=synthetic", f"data.cache={tmp_path}", f"folder={tmp_path / 'run'}", "name=demo", "trainer.max_epochs=30"
    )
    torch.set_num_threads(2)
    assert genre.train(cfg).metrics["val/accuracy"] >= 0.9


@pytest.mark.slow
def test_a_hundred_real_tracks_train(shared, configured, tmp_path):
    result = genre.train(
        configured(f"data.root={shared / 'gtzan_mini'}", "trainer.max_epochs=5", "model=cnn", data="gtzan")
    )
    assert result.metrics["tracks"] == {"train": 70, "val": 10, "test": 20}
