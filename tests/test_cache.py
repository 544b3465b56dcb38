"""The cache is listed, and what was not used lately, or what killed builds left, is removed; nothing else ever is."""

import errno
import os
import sys
import time

import numpy as np
import pytest
import torch
from filelock import FileLock

from genre import cache as caching
from genre.commands import cache_command
from genre.data.duplicates import cached_duplicates
from genre.data.store import Key, related_stores
from genre.data.store_builder import build_store
from genre.errors import UserError

WAVEFORMS = Key("waveform", {"sample_rate": 4}, [["a", "/music/x/a.wav", 1], ["b", "/music/y/b.wav", 1]])
LOG_MELS = Key("logmel", {}, WAVEFORMS.name)
PICTURES = Key("picture", {"size": 2}, LOG_MELS.name)
VIEWS = Key("views", {}, [[LOG_MELS.name, ["b"]], ["a"], [[0.0]]])
PARTIAL = Key("waveform", {"sample_rate": 8}, WAVEFORMS.inputs)
DAY = 86_400


def build(folder, key, rows=100):
    store = build_store(folder, key, 1.0, ["a", "b"], lambda _: [np.zeros((rows, 1), np.uint8)] * 2, "making")
    assert store.names == ["a", "b"]
    return store


@pytest.fixture
def full(tmp_path):
    """A cache with something of every kind, each used one day before the next, and two files of another program."""
    for key in (WAVEFORMS, PICTURES, VIEWS):
        build(tmp_path, key)
    cached_duplicates(build(tmp_path, LOG_MELS), tmp_path)
    names = [key.name for key in (WAVEFORMS, LOG_MELS, PICTURES, VIEWS)]
    partial = tmp_path / f"{PARTIAL.name}.partial"
    for folder in (partial, tmp_path / "tracks", tmp_path / "synthetic-1-0-1s-0", tmp_path / ".synthetic-2.00"):
        folder.mkdir()
    for file in (partial / "data.bin", tmp_path / "tracks" / "1.json", tmp_path / "tracks" / f".{'0' * 16}.scratch"):
        file.write_bytes(bytes(1_000))
    (tmp_path / "precision").mkdir()
    (tmp_path / f"content-{'0' * 16}.json").write_text("{}")
    (tmp_path / f"tags-{'0' * 16}.json").write_text("{}")
    (tmp_path / "other").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (duplicates,) = (path.name for path in tmp_path.glob("duplicates-*.json"))
    names += [
        duplicates,
        partial.name,
        f"tracks/.{'0' * 16}.scratch",
        "tracks",
        "synthetic-1-0-1s-0",
        ".synthetic-2.00",
        "precision",
        f"content-{'0' * 16}.json",
        f"tags-{'0' * 16}.json",
    ]
    for age, name in enumerate(names):
        os.utime(tmp_path / name, times=(0, time.time() - age * DAY - 60))
    return tmp_path, names


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cache", *arguments])
    caching.manage_cache()


def left(folder, names):
    return [name for name in names if (folder / name).exists()]


def test_every_entry_is_listed_with_its_size_its_last_use_and_its_music(full, monkeypatch, capsys):
    folder, names = full
    run(monkeypatch, f"data.cache={folder}")
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit(maxsplit=1)[1] for line in lines[:-1]] == [name.rpartition("/")[2] for name in names]
    expected = [
        "today decoded music of", "yesterday log-mels of", "2 days ago pictures of", "features of random views of",
        "duplicates of", "interrupted build of decoded music", "unfinished file", "results of single tracks",
        "8 days ago synthetic music", "9 days ago synthetic music", "measured precision", "hashes of tracks",
    ]  # fmt: skip
    for line, words in zip(lines, expected, strict=False):
        shown = " ".join(line.split()).replace("2 tracks of /music", "of")
        assert words in shown
    assert lines[-1].startswith(f"{len(names)} entries, 0.0 MB: ")


def test_what_was_not_used_for_some_days_is_removed(full, monkeypatch, capsys):
    folder, names = full
    run(monkeypatch, f"data.cache={folder}", "days=3.5")
    assert left(folder, names) == names[:4]
    assert "removed 9 entries" in capsys.readouterr().out


def test_what_was_used_longest_ago_is_removed_until_the_rest_is_small_enough(full, monkeypatch):
    folder, names = full
    sizes = [caching.size_of(folder / name) for name in names]
    run(monkeypatch, f"data.cache={folder}", f"gb={(sum(sizes[:3]) + 1) / 1e9}")
    assert left(folder, names) == names[:3]


def test_what_interrupted_builds_left_is_removed_on_request(full, monkeypatch):
    folder, names = full
    run(monkeypatch, f"data.cache={folder}", "interrupted=true")
    assert set(names) - set(left(folder, names)) == {names[5], names[6], names[9]}


def test_everything_is_removed_but_what_this_program_did_not_make(full, monkeypatch):
    folder, _ = full
    run(monkeypatch, f"data.cache={folder}", "all=true")
    assert sorted(os.listdir(folder)) == ["notes.txt", "other"]


def test_what_is_being_built_stays(full, monkeypatch, capsys):
    folder, names = full
    os.utime(folder / names[9])
    with FileLock(folder / f"{PARTIAL.name}.lock"):
        run(monkeypatch, f"data.cache={folder}", "all=true")
    assert left(folder, names) == [names[5], names[9]]
    assert "2 are being written by another process, and stay" in capsys.readouterr().out


def test_opening_a_store_is_a_use_and_copying_from_it_is_none(full):
    folder, names = full
    before = (folder / names[2]).stat().st_mtime
    assert len(list(related_stores(folder, PICTURES))) == 1
    assert (folder / names[2]).stat().st_mtime == before
    build(folder, PICTURES)
    assert (folder / names[2]).stat().st_mtime > before + DAY


def test_a_damaged_store_is_listed_without_its_music(full, monkeypatch, capsys):
    folder, names = full
    (folder / names[0] / "index.json").write_text("{")
    run(monkeypatch, f"data.cache={folder}")
    assert "decoded music" in capsys.readouterr().out


def test_the_installed_command_takes_the_folder_literally(full, monkeypatch, capsys):
    folder, names = full
    monkeypatch.setattr(sys, "argv", ["genre-cache", f"data.cache={folder}"])
    cache_command()
    assert f"{len(names)} entries" in capsys.readouterr().out


def test_an_absent_cache_is_empty(tmp_path, monkeypatch, capsys):
    run(monkeypatch, f"data.cache={tmp_path / 'absent'}")
    assert capsys.readouterr().out.startswith("0 entries")


def test_the_cache_is_that_of_the_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run(monkeypatch)
    assert str(tmp_path / "genre") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("days=x", "days=x is not a number of days"),
        ("gb=-1", "gb=-1 is not a number of gigabytes"),
        ("gb=nan", "gb=nan is not a number"),
        ("all=yes", "all=yes must be true or false"),
        ("size=3", "the argument 'size=3' is not known; use: python -m genre.cache"),
    ],
)
def test_a_mistake_is_one_sentence_and_removes_nothing(full, monkeypatch, argument, words):
    folder, names = full
    with pytest.raises(UserError, match=words):
        run(monkeypatch, f"data.cache={folder}", argument)
    assert left(folder, names) == names


def test_a_cache_that_is_a_file_or_read_only_is_one_sentence(full, monkeypatch):
    folder, _ = full
    with pytest.raises(UserError, match=r"cannot read data.cache=.*notes.txt \(Not a directory\)"):
        run(monkeypatch, f"data.cache={folder / 'notes.txt'}")

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("os.unlink", refuse)
    with pytest.raises(UserError, match=r"cannot remove .* \(Read-only file system\)"):
        run(monkeypatch, f"data.cache={folder}", "all=true")


def test_a_removed_store_that_is_open_stays_readable(tmp_path, monkeypatch):
    store = build(tmp_path, WAVEFORMS)
    run(monkeypatch, f"data.cache={tmp_path}", "all=true")
    assert torch.equal(store.data, torch.zeros(200, 1, dtype=torch.uint8))
