"""A run is evaluated on the subsets that it recorded, and on other music without what it has seen."""

import json
import shutil

import numpy as np
import pytest
import soundfile

import genre
from genre.errors import UserError
from helpers import csv_rows, csv_rows_by_key

RATE = 22_050


def train(root, cache, folder, *overrides):
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={root}", f"data.cache={cache}", f"folder={folder}", "name=test",
            "view.seconds=4", "trainer.max_epochs=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
            "trainer.enable_model_summary=false", "model.filters=[4,4,8]", "model.dense_units=8", *overrides,
        )
    ).folder  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, music, cache):
    """The folder of a run on a copy of the music, and the folder of the copy."""
    root = shutil.copytree(music, tmp_path_factory.mktemp("own") / "music")
    return train(root, cache, tmp_path_factory.mktemp("runs") / "run"), root


@pytest.fixture
def run(trained):
    return trained[0]


@pytest.fixture
def own(trained, music):
    """The folder of the run's music, which a test may change."""
    yield trained[1]
    shutil.rmtree(trained[1])
    shutil.copytree(music, trained[1])


@pytest.fixture
def evaluated(tmp_path):
    """Evaluate a run and return the folder of the results."""

    def evaluate(run, *overrides):
        folder = tmp_path / "evaluation"
        return genre.evaluate(
            genre.compose(f"run={run}", f"folder={folder}", *overrides, config_name="evaluate")
        ).folder

    return evaluate


def noise(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).standard_normal(4 * RATE) * 0.1, RATE)


def tracks_in(run, subset):
    return sorted(row["track"] for row in csv_rows(run / "splits.csv") if row["subset"] == subset)


def test_the_test_tracks_are_those_of_the_run_although_files_were_added(run, own, evaluated, caplog):
    for name in ("blues/aaa.wav", "rock/zzz.wav", "polka/new.wav"):
        noise(own / name, 50 + len(name))
    folder = evaluated(run)
    assert (folder / "predictions.csv").read_text() == (run / "predictions.csv").read_text()
    assert "left out 3 tracks (blues/aaa.wav, polka/new.wav, rock/zzz.wav), new since the run was trained" in (
        caplog.text
    )
    skipped = {row["path"]: row["reason"] for row in csv_rows(folder / "skipped.csv")}
    assert skipped[str(own / "blues" / "aaa.wav")] == "in no subset of the run"
    assert skipped[str(own / "polka" / "new.wav")] == "the run does not know the genre polka"


def test_an_unchanged_collection_is_evaluated_without_a_warning(run, own, evaluated, caplog):
    evaluated(run)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_missing_tracks_are_counted_named_and_in_the_title(run, own, evaluated, caplog):
    gone, *rest = tracks_in(run, "test")
    (own / gone).unlink()
    (own / tracks_in(run, "train")[0]).write_bytes(b"")
    folder = evaluated(run)
    assert list(csv_rows_by_key(folder / "predictions.csv")) == rest
    assert "missing 2 tracks (" in caplog.text and "of the run's 30" in caplog.text
    assert {row["path"]: row["reason"] for row in csv_rows(folder / "skipped.csv")}[gone] == "missing (test track)"
    assert (folder / "report.txt").read_text().startswith("test, split random (seed 0), 5 of 6 tracks\n")


def test_a_changed_track_is_refused_in_its_subset_and_counted_in_others(run, own, evaluated, caplog):
    changed = tracks_in(run, "test")[0]
    noise(own / changed, 7)
    with pytest.raises(UserError, match=rf"^1 track \({changed}\) of subset=test changed since the run was trained; "):
        evaluated(run)
    evaluated(run, "subset=val")
    assert f"1 track ({changed}) of other subsets changed since the run was trained" in caplog.text


def test_a_track_with_other_bytes_and_the_same_samples_has_not_changed(run, own, evaluated):
    track = own / tracks_in(run, "test")[0]
    samples, rate = soundfile.read(track, dtype="int16")
    soundfile.write(track, samples, rate, subtype="PCM_24")
    assert (evaluated(run) / "predictions.csv").read_text() == (run / "predictions.csv").read_text()


def test_a_track_of_an_archive_that_changed_is_refused(tmp_path, cache, evaluated):
    rng = np.random.default_rng(0)
    mel = rng.integers(0, 256, (20, 128, 387), dtype=np.uint8)
    arrays = {"mel_u8": mel, "track": np.array([f"t{n:02d}" for n in range(20)]), "genre": np.array(["a", "b"] * 10)}
    archive = tmp_path / "mel.npz"
    np.savez(archive, **arrays)
    own = ["data=logmel", f"data.path={archive}", f"data.cache={cache}", f"folder={tmp_path / 'run'}", "name=test"]
    quick = ["trainer.max_epochs=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false"]
    run = genre.train(genre.compose(*own, *quick, "model.filters=[4,4,8]", "model.dense_units=8")).folder
    changed = tracks_in(run, "test")[0]
    mel[int(changed[1:])] = rng.integers(0, 256, (128, 387))
    np.savez(archive, **arrays)
    with pytest.raises(UserError, match=rf"1 track \({changed}\) of subset=test changed"):
        evaluated(run)


def test_a_run_of_a_version_without_contents_is_evaluated_with_a_warning(run, evaluated, tmp_path, caplog):
    old = shutil.copytree(run, tmp_path / "old")
    lines = [f"{row['track']},{row['subset']}" for row in csv_rows(run / "splits.csv")]
    (old / "splits.csv").write_text("\n".join(["track,subset", *lines]) + "\n")
    assert (evaluated(old) / "predictions.csv").read_text() == (run / "predictions.csv").read_text()
    assert "whether one has changed since training is unknown" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no splits.csv, so the subsets are unknown"), ("track,subset\nx,exam\n", "has the subset 'exam'")],
)
def test_a_run_without_its_subsets_is_a_user_error(run, evaluated, tmp_path, content, message):
    damaged = shutil.copytree(run, tmp_path / "damaged")
    (damaged / "splits.csv").unlink()
    if content:
        (damaged / "splits.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        evaluated(damaged)


def test_a_limit_of_tracks_per_genre_does_not_push_out_tracks_of_the_run(own, cache, evaluated, tmp_path):
    run = train(own, cache, tmp_path / "run", "data.limit_tracks=5")
    noise(own / "blues" / "aaa.wav", 60)
    assert (evaluated(run) / "predictions.csv").read_text() == (run / "predictions.csv").read_text()


def renamed(run, own, root, subset):
    """Copies of a subset's tracks under other names; returns the overrides for them."""
    for number, name in enumerate(tracks_in(run, subset)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).with_name(f"copy {number}.wav").write_bytes((own / name).read_bytes())
    return ["data=folder", f"data.root={root}"]


def test_training_files_under_new_names_are_seen(run, own, cache, evaluated, tmp_path):
    other = renamed(run, own, tmp_path / "other", "train")
    noise(tmp_path / "other" / "rock" / "new.wav", 70)
    folder = evaluated(run, *other, f"data.cache={cache}")
    assert list(csv_rows_by_key(folder / "predictions.csv")) == ["rock/new.wav"]
    reasons = [row["reason"] for row in csv_rows(folder / "skipped.csv")]
    assert len(reasons) == 21 and f"seen by the run as {tracks_in(run, 'train')[0]} (train)" in reasons


def test_training_files_are_recognised_where_the_run_s_own_music_is_gone(run, own, cache, evaluated, tmp_path, caplog):
    other = renamed(run, own, tmp_path / "other", "train")
    noise(tmp_path / "other" / "rock" / "new.wav", 70)
    shutil.move(own, tmp_path / "moved")
    own.mkdir()
    folder = evaluated(run, *other, f"data.cache={cache}")
    assert list(csv_rows_by_key(folder / "predictions.csv")) == ["rock/new.wav"]
    assert "not compared with the recordings that the run was trained on" in caplog.text


def test_a_quieter_and_shorter_copy_of_a_training_file_is_seen(tmp_path, cache, evaluated):
    """Noise rather than tones: those of different tracks would correlate as well."""
    for name in ("blues", "rock"):
        for number in range(10):
            noise(tmp_path / "music" / name / f"{number}.wav", 100 + number + 20 * (name == "rock"))
    run = train(tmp_path / "music", cache, tmp_path / "run")
    copied = tracks_in(run, "train")[0]
    samples, rate = soundfile.read(tmp_path / "music" / copied)
    (tmp_path / "other" / "blues").mkdir(parents=True)
    soundfile.write(tmp_path / "other" / "blues" / "copy.ogg", samples[RATE // 10 :] * 0.5, rate)
    noise(tmp_path / "other" / "blues" / "new.wav", 200)
    folder = evaluated(run, "data=folder", f"data.root={tmp_path / 'other'}", f"data.cache={cache}")
    assert list(csv_rows_by_key(folder / "predictions.csv")) == ["blues/new.wav"]
    (row,) = csv_rows(folder / "skipped.csv")
    assert row["reason"].startswith(f"the same recording as {copied} (train), correlation 0.9")


def test_other_music_that_was_all_seen_is_a_user_error(run, own, cache, evaluated, tmp_path):
    other = renamed(run, own, tmp_path / "other", "val")
    with pytest.raises(UserError, match="the run has seen every track of this catalogue"):
        evaluated(run, *other, f"data.cache={cache}")


@pytest.fixture
def lone(run, tmp_path):
    """The best checkpoint in a folder by itself, under a name of its own."""
    (tmp_path / "from a friend").mkdir()
    return shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "from a friend" / "model.bin")


def test_a_checkpoint_by_itself_is_evaluated_on_other_music(lone, own, cache, evaluated, tmp_path, caplog):
    noise(tmp_path / "other" / "rock" / "new.wav", 70)
    folder = evaluated(lone, "data=folder", f"data.root={tmp_path / 'other'}", f"data.cache={cache}")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["run"] == str(lone) and metrics["tracks"] == {"all": 1}
    assert "which of these tracks it was trained on is unknown" in caplog.text
    assert (folder / "report.txt").read_text().startswith("catalogue other, 1 track\n")


def test_a_checkpoint_by_itself_knows_no_subsets(lone, evaluated):
    with pytest.raises(UserError, match="lies outside of its run folder, so the subsets are unknown; give the run"):
        evaluated(lone)


def test_a_checkpoint_inside_its_run_folder_is_the_run(run, own, evaluated, monkeypatch):
    monkeypatch.chdir(run / "checkpoints")
    assert (evaluated("best.ckpt") / "predictions.csv").read_text() == (run / "predictions.csv").read_text()
