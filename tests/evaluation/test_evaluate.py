"""A run's best checkpoint on a subset of its own, or on other music."""

import json

import numpy as np
import pytest
import soundfile

import genre
from genre.errors import UserError
from genre.files import write_csv
from helpers import csv_rows_by_key

RATE = 22_050


def evaluated(run, folder, *overrides):
    cfg = genre.compose(f"run={run}", f"folder={folder}", *overrides, config_name="evaluate")
    return genre.evaluate(cfg)


@pytest.fixture
def run(configured):
    return genre.train(configured())


@pytest.mark.parametrize("subset", ["train", "val", "test"])
def test_a_subset_has_the_metrics_of_training(run, tmp_path, subset):
    metrics = evaluated(run.folder, tmp_path / "again", f"subset={subset}").metrics
    for name in ("loss", "accuracy", "macro_f1"):
        assert metrics[f"{subset}/{name}"] == pytest.approx(run.metrics[f"{subset}/{name}"], abs=1e-6)
    assert len(metrics[f"{subset}/accuracy_ci95"]) == 2


def test_it_writes_the_same_files_into_its_own_folder(run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    folder = evaluated(run.folder, tmp_path / "again").folder
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {"metrics.json", "predictions.csv", "report.txt", "report.json", "splits.csv", "skipped.csv"}
    assert names >= {f"figures/{name}.png" for name in ("confusion", "curves", "genres", "reliability", "gradcam")}
    assert (folder / "report.txt").read_text() == (run.folder / "report.txt").read_text()
    assert (folder / "predictions.csv").read_text() == (run.folder / "predictions.csv").read_text()
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


@pytest.fixture
def other_music(tmp_path, music, cache):
    """Ten blues tracks of the training music and two new tracks, one of them of an unknown genre."""
    root = tmp_path / "other"
    for name in ("blues", "rock", "polka"):
        (root / name).mkdir(parents=True)
    for file in sorted((music / "blues").iterdir()):
        (root / "blues" / file.name).write_bytes(file.read_bytes())
    for name in ("rock", "polka"):
        soundfile.write(root / name / "new.wav", np.random.default_rng(99).standard_normal(4 * RATE) * 0.1, RATE)
    return ["data=folder", f"data.root={root}", f"data.cache={cache}"]


def test_other_music_is_evaluated_without_seen_tracks_and_unknown_genres(run, tmp_path, other_music, caplog):
    caplog.set_level("INFO")
    folder = evaluated(run.folder, tmp_path / "again", *other_music).folder
    tested = {name for name, row in csv_rows_by_key(run.folder / "splits.csv").items() if row["subset"] == "test"}
    expected = {name for name in tested if name.startswith("blues/")} | {"rock/new.wav"}
    assert set(csv_rows_by_key(folder / "predictions.csv")) == expected
    assert "skipped 8 of 11 tracks that the run trained or validated on" in caplog.text
    assert "polka" in (folder / "skipped.csv").read_text()
    assert json.loads((folder / "metrics.json").read_text())["tracks"] == {"all": 3}
    assert (folder / "report.txt").read_text().startswith("catalogue other, 3 tracks\n")


def test_seen_tracks_are_evaluated_on_request(run, tmp_path, other_music):
    folder = evaluated(run.folder, tmp_path / "again", *other_music, "exclude_seen=false").folder
    again, first = csv_rows_by_key(folder / "predictions.csv"), csv_rows_by_key(run.folder / "predictions.csv")
    assert len(again) == 11
    for name in again.keys() & first.keys():
        assert again[name] == first[name]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(["subset=tests"], "subset=tests must be one of train, val, test, all"), (["run=nowhere"], "not a finished run")],
)
def test_user_errors_name_the_key_or_the_run(run, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        evaluated(run.folder, tmp_path / "again", *overrides)


def test_other_music_of_unknown_genres_only_is_a_user_error(run, tmp_path):
    (tmp_path / "m" / "polka").mkdir(parents=True)
    (tmp_path / "m" / "polka" / "a.wav").write_bytes(b"")
    with pytest.raises(UserError, match="the run knows blues, jazz, rock; the catalogue has polka"):
        evaluated(run.folder, tmp_path / "again", "data=folder", f"data.root={tmp_path / 'm'}")


@pytest.mark.slow
def test_a_run_on_the_archive_predicts_the_same_for_the_wavs(shared, configured, tmp_path):
    archive = f"data.path={shared / 'gtzan_logmel_dev.npz'}"
    cfg = configured(archive, "trainer.max_epochs=3", "model.filters=[16,16,32]", data="logmel")
    run = genre.train(cfg)
    everything = csv_rows_by_key(evaluated(run.folder, tmp_path / "all", "subset=all").folder / "predictions.csv")
    wavs = ["data=gtzan", f"data.root={shared / 'gtzan_mini'}", f"data.cache={cfg.data.cache}", "exclude_seen=false"]
    of_wavs = csv_rows_by_key(evaluated(run.folder, tmp_path / "wavs", *wavs).folder / "predictions.csv")
    common = of_wavs.keys() & everything.keys()
    assert len(common) == 96
    names = [name for name in everything["blues.00000"] if name not in ("track", "true", "predicted", "uncertain")]
    difference = [abs(float(of_wavs[t][name]) - float(everything[t][name])) for t in common for name in names]
    assert max(difference) < 0.02


@pytest.mark.slow
def test_the_network_that_comes_with_the_program_gives_the_same_genres_for_the_archive_and_the_wavs(shared, tmp_path):
    path = shared / "gtzan_logmel_dev.npz"
    with np.load(path) as archive:
        names = {wav.stem for wav in (shared / "gtzan_mini").rglob("*.wav")} & set(archive["track"].tolist())
    assert len(names) == 96
    write_csv(tmp_path / "names.csv", ["track"], [[name] for name in sorted(names)])
    archived = ["data=logmel", f"data.path={path}", f"data.catalogue={tmp_path / 'names.csv'}", "exclude_seen=false"]
    wavs = ["data=gtzan", f"data.root={shared / 'gtzan_mini'}"]

    genres = genre.load().genres

    def probabilities(name, *music):
        own = [f"data.cache={tmp_path / 'cache'}", f"folder={tmp_path / name}"]
        evaluation = genre.evaluate(genre.compose(*music, *own, config_name="evaluate"))
        rows = csv_rows_by_key(evaluation.folder / "predictions.csv")
        return {track: np.array([float(row[each]) for each in genres]) for track, row in rows.items()}

    of_archive, of_wavs = probabilities("archive", *archived), probabilities("wavs", *wavs, "exclude_seen=false")
    pairs = [(of_archive[name], of_wavs[name]) for name in names]
    # A crop of samples picks its own frames for its columns, up to a frame from those of the archive.
    assert np.mean([np.abs(one - other).mean() for one, other in pairs]) < 0.006
    assert all(one.argmax() == other.argmax() for one, other in pairs)
    assert probabilities("unseen", *wavs).keys() == of_wavs.keys() - names  # it was trained on the others
