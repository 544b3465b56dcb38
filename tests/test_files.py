"""A file is whole or the one before it; a CSV is read back as it was written, and no spreadsheet computes it."""

import csv
import json
import os
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.files import escaped_cell, plain_cell, read_csv_records, read_csv_rows, write_bytes, write_csv, write_json


@pytest.fixture
def synced(monkeypatch):
    """What reaches the disk or its name, in order: 'file', 'folder' and 'rename'."""
    events, replace = [], os.replace

    def record(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr("os.fsync", record)
    monkeypatch.setattr("os.replace", lambda *paths: (events.append("rename"), replace(*paths)))
    return events


def test_a_file_reaches_the_disk_before_its_name_and_its_folder_after_it(tmp_path, synced):
    write_bytes(tmp_path / "a", b"1")
    assert synced == ["file", "rename", "folder"]


def test_what_is_computed_again_anyway_does_not_wait_for_the_disk(tmp_path, synced):
    write_bytes(tmp_path / "a", b"1", durable=False)
    assert synced == ["rename"]


def test_two_processes_with_the_same_number_do_not_tear_a_file(tmp_path, monkeypatch):
    """As in two containers on one volume."""
    monkeypatch.setattr("os.getpid", lambda: 1)
    values = [{"text": letter * 100_000} for letter in "ab"]
    threads = [
        threading.Thread(target=lambda v=v: [write_json(tmp_path / "x.json", v) for _ in range(20)]) for v in values
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((tmp_path / "x.json").read_text()) in values
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_name_of_255_bytes_is_written(tmp_path):
    write_bytes(tmp_path / ("é" * 127), b"1")
    assert (tmp_path / ("é" * 127)).read_bytes() == b"1"


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-a", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-"])
def test_a_formula_becomes_text_and_is_read_back(tmp_path, cell):
    write_csv(tmp_path / "a.csv", ("track", cell), [(cell, "x")])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file))[1] == f"'{cell}"
    assert read_csv_rows(tmp_path / "a.csv") == [("track", cell), (cell, "x")]
    assert read_csv_records(tmp_path / "a.csv") == [{"track": cell, cell: "x"}]


@pytest.mark.parametrize("cell", [-1, -0.5, "-0.5", "+3", "-1e-05", "-inf", "'tis", "rock", "", None, "1-2"])
def test_numbers_and_plain_texts_stay_as_they_are(cell):
    assert escaped_cell(cell) is cell


@given(st.text())
def test_any_text_is_read_back(text):
    assert plain_cell(escaped_cell(text)) == text
