"""splits.csv lists the subset and the content of each track."""

import pytest

from genre.data.content import Content
from genre.data.split_record import SplitRecord, read_split, write_split
from genre.errors import UserError
from helpers import csv_rows

RECORD = SplitRecord(
    {"b": "train", "a": "test", "c": "val"},
    {"b": "artist B", "a": "artist A", "c": "track c"},
    {"a": Content("fa", "da"), "b": Content("fb", "db"), "c": Content("", "dc")},
)


def test_what_was_written_is_read(tmp_path):
    write_split(tmp_path, RECORD)
    assert [row["track"] for row in csv_rows(tmp_path / "splits.csv")] == ["a", "b", "c"]
    assert read_split(tmp_path) == RECORD
    assert read_split(tmp_path / "nowhere") is None


def test_training_and_validation_tracks_are_found_by_either_hash():
    assert RECORD.seen_track(Content("fb", "x")) == ("b", "train")
    assert RECORD.seen_track(Content("x", "dc")) == ("c", "val")
    assert RECORD.seen_track(Content("fa", "da")) is None
    assert RECORD.seen_track(Content("", "x")) is None


def test_a_changed_track_is_one_whose_hashes_both_changed():
    now = {"a": Content("x", "da"), "b": Content("x", "x"), "c": Content("", "dc"), "new": Content("n", "n")}
    assert RECORD.changed(now) == ["b"]


@pytest.mark.parametrize(
    ("text", "message"), [("track\na\n", "has no column 'subset'"), ("track,subset\na,exam\n", "the subset 'exam'")]
)
def test_another_file_is_a_user_error(tmp_path, text, message):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_split(tmp_path)
