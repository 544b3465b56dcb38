"""Every genre that a model has a class for has training tracks; what is missing elsewhere is said."""

import json
import logging

import pytest

import genre
from genre.data.catalogue import Catalogue, Track
from genre.data.splits import Split
from genre.data.targets import genre_counts, trained_genres, warn_of_missing_genres, with_genres_only
from genre.errors import SkipKind, UserError
from genre.models.checkpoint import read_checkpoint
from genre.tasks import Multiclass, Multilabel
from helpers import csv_rows, csv_rows_by_key

TRACKS = {
    "a": (("pop",), "train"),
    "b": (("rock", "ska"), "train"),
    "c": (("pop", "polka"), "val"),
    "d": (("rock", "polka"), "test"),
}
CATALOGUE = Catalogue(tuple(Track(name, genres) for name, (genres, _) in TRACKS.items()))
SUBSETS = {name: subset for name, (_, subset) in TRACKS.items()}


def test_a_genre_without_training_tracks_is_refused_with_its_tracks():
    counts = genre_counts(CATALOGUE, SUBSETS, Multilabel())
    with pytest.raises(UserError, match=r"for dub \(none usable\), polka \(1 in val, 1 in test\); add some"):
        trained_genres(counts, ["dub", "pop"], Split("column"))


def test_a_genre_without_training_tracks_is_dropped_on_request(caplog):
    counts, drop = genre_counts(CATALOGUE, SUBSETS, Multilabel()), Split("column", untrained_genres="drop")
    genres = trained_genres(counts, ["pop"], drop)
    assert genres == ("pop", "rock", "ska")
    assert "dropped genres without training tracks: polka (1 in val, 1 in test)" in caplog.text
    rest = with_genres_only(CATALOGUE, genres, Multilabel())
    assert [track.name for track in rest.tracks] == ["a", "b"]
    assert [(item.path, item.kind) for item in rest.skipped] == [
        ("c", SkipKind.UNTRAINED_GENRE),
        ("d", SkipKind.UNTRAINED_GENRE),
    ]


def test_only_the_first_genre_counts_if_a_track_has_one():
    assert trained_genres(genre_counts(CATALOGUE, SUBSETS, Multiclass()), [], Split("column")) == ("pop", "rock")


def test_one_genre_with_training_tracks_is_too_few():
    counts = genre_counts(Catalogue(CATALOGUE.tracks[:1]), SUBSETS, Multiclass())
    with pytest.raises(UserError, match=r"only one genre \(pop\) has training tracks"):
        trained_genres(counts, [], Split("column"))


def test_second_genres_that_miss_a_subset_are_named_in_one_warning(caplog):
    counts = genre_counts(CATALOGUE, SUBSETS, Multilabel())
    warn_of_missing_genres(counts, ("pop", "polka", "rock", "ska"))
    (message,) = caplog.messages
    assert message.endswith("train lacks polka; val lacks rock, ska; test lacks pop, ska")


def test_an_empty_subset_lacks_no_genre_by_name(caplog):
    warn_of_missing_genres(genre_counts(Catalogue(CATALOGUE.tracks[:2]), SUBSETS, Multiclass()), ("pop", "rock"))
    assert not caplog.messages


@pytest.fixture
def table(music, tmp_path):
    """Overrides for the small music by a CSV in which no training track is rock."""
    rows = []
    for file in sorted(music.rglob("*.wav")):
        number = int(file.stem[-5:])
        split = "test" if number > 7 or file.parent.name == "rock" else "val" if number > 6 else "train"
        rows.append(f"{file},{file.parent.name},{split}")
    (tmp_path / "songs.csv").write_text("\n".join(["path,genres,split", *rows]) + "\n")
    return ["split=column", f"data.path={tmp_path / 'songs.csv'}", "view.seconds=4"]


def test_a_run_refuses_a_class_that_it_cannot_learn(configured, table):
    with pytest.raises(UserError, match=r"no training tracks with split=column for rock \(10 in test\)"):
        genre.train(configured(*table, data="csv"))


def test_a_run_without_the_class_that_it_cannot_learn(configured, table, caplog):
    with caplog.at_level(logging.WARNING, "genre.data"):
        run = genre.train(configured("split.untrained_genres=drop", *table, data="csv"))
    assert read_checkpoint(run.folder).genres == ("blues", "jazz")
    assert json.loads((run.folder / "metrics.json").read_text())["tracks"] == {"train": 14, "val": 2, "test": 4}
    skipped = csv_rows(run.folder / "skipped.csv")
    assert [row["reason"] for row in skipped] == ["the genre rock is not learnt"] * 10
    assert f"skipped {len(skipped)} files, rows or tracks: 10 genre without training tracks" in caplog.text
    genre.evaluate(genre.compose(f"run={run.folder}", f"folder={run.folder / 'again'}", config_name="evaluate"))
    again = csv_rows_by_key(run.folder / "again" / "predictions.csv")
    assert again == csv_rows_by_key(run.folder / "predictions.csv")


def test_a_held_out_genre_that_the_catalogue_lacks_is_refused(configured, music, tmp_path):
    (tmp_path / "held.csv").write_text("track,genres\njazz/jazz.00003.wav,polka\n")
    with pytest.raises(UserError, match=r"no training tracks with split=random for polka \(1 in test\)"):
        genre.train(configured(f"split.hold_out={tmp_path / 'held.csv'}"))


def test_the_report_of_a_split_by_artist_counts_the_tracks_without_one(configured, music, tmp_path):
    files = sorted(music.rglob("*.wav"))
    rows = [f"{file},{file.parent.name},{'' if file.stem.endswith('3') else file.stem}" for file in files]
    (tmp_path / "songs.csv").write_text("\n".join(["path,genres,artist", *rows]) + "\n")
    run = genre.train(configured("split=artist", f"data.path={tmp_path / 'songs.csv'}", "view.seconds=4", data="csv"))
    title = (run.folder / "report.txt").read_text().splitlines()[0]
    assert title == "test, split artist (seed 0, 3 of 30 tracks without artist), 6 tracks"
    assert json.loads((run.folder / "metrics.json").read_text())["without_artist"] == 3
