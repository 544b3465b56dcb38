"""A store is built once, an interrupted build resumes, and an unfinished one is never opened."""

import errno
import os
import threading

import numpy as np
import pytest

from genre.data import store_builder
from genre.data.store import Key, open_store
from genre.data.store_builder import build_store
from genre.errors import SkipKind, SkipReason, UserError

KEY = Key("waveform", {"sample_rate": 4}, list("abcdef"))
UNREADABLE = SkipReason(SkipKind.UNREADABLE, "unreadable: no music")
SILENT = SkipReason(SkipKind.SILENT, "silent (peak under 0.0001)")
ITEMS = (
    np.arange(5, dtype=np.int16),
    UNREADABLE,
    np.arange(10, 13, dtype=np.int16),
    np.arange(20, 24, dtype=np.int16),
    SILENT,
    np.arange(30, 31, dtype=np.int16),
)
WHOLE = [*range(5), *range(10, 13), *range(20, 24), 30]


def build(folder, items=None, group=1):
    return build_store(folder, KEY, 4, KEY.inputs, items or (lambda begin: ITEMS[begin:]), "making", group)


def failing_at(index, error):
    def items(begin):
        yield from ITEMS[begin:index]
        raise error

    return items


def recording(begun):
    def items(begin):
        begun.append(begin)
        return ITEMS[begin:]

    return items


def test_a_store_is_built_once(tmp_path):
    begun = []
    for _ in range(2):
        assert build(tmp_path, recording(begun)).names == ["a", "c", "d", "f"]
    assert begun == [0]


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("group", [1, 2, 4])
def test_an_interrupted_build_is_not_opened_and_resumes_at_a_whole_group(tmp_path, index, group):
    begun = []
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, failing_at(index, KeyboardInterrupt), group)
    assert open_store(tmp_path, KEY) is None
    store = build(tmp_path, recording(begun), group)
    assert begun == [index // group * group]
    assert store.data.tolist() == WHOLE
    assert store.skipped == {"b": UNREADABLE, "e": SILENT}


@pytest.mark.parametrize(("file", "cut"), [("data.bin", 1), ("data.bin", 9), ("journal", 1), ("journal", 30)])
def test_what_a_killed_process_wrote_incompletely_is_computed_again(tmp_path, file, cut):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, failing_at(4, KeyboardInterrupt))
    damaged = tmp_path / f"{KEY.name}.partial" / file
    os.truncate(damaged, damaged.stat().st_size - cut)
    begun = []
    assert build(tmp_path, recording(begun)).data.tolist() == WHOLE
    assert 0 < begun[0] < 4


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"5", b'[3, "int16", [], 0, null]', b'[-1, "int16", [], 0, null]', b'[0, "x", [], 0, ["y"]]', b"\xff"],
)
def test_a_damaged_line_of_the_journal_and_what_follows_it_are_computed_again(tmp_path, line, caplog):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, failing_at(5, KeyboardInterrupt))
    journal = tmp_path / f"{KEY.name}.partial" / "journal"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    begun = []
    assert build(tmp_path, recording(begun)).data.tolist() == WHOLE
    assert begun == [2]
    assert "making: 3 of 5 tracks of an interrupted build are damaged; computed again" in caplog.text


def test_data_that_never_reached_the_disk_is_computed_again(tmp_path):
    """Some file systems keep the length of a file, but zeros in it."""
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, failing_at(4, KeyboardInterrupt))
    data = tmp_path / f"{KEY.name}.partial" / "data.bin"
    data.write_bytes(data.read_bytes()[:12] + bytes(data.stat().st_size - 12))
    begun = []
    assert build(tmp_path, recording(begun)).data.tolist() == WHOLE
    assert begun == [2]


@pytest.fixture
def synced(monkeypatch):
    """Paths of what reaches the disk, and 'rename' where a folder is renamed, in order."""
    events, rename = [], os.rename
    monkeypatch.setattr("os.fsync", lambda descriptor: events.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    monkeypatch.setattr("os.rename", lambda *paths: (events.append("rename"), rename(*paths)))
    return events


def test_a_power_cut_costs_the_last_seconds_of_a_build(tmp_path, monkeypatch, synced):
    monkeypatch.setattr(store_builder, "SYNC_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, failing_at(2, KeyboardInterrupt))
    assert [os.path.basename(path) for path in synced] == ["data.bin", "journal"] * 2


def test_a_store_is_on_the_disk_before_it_has_its_name(tmp_path, synced):
    build(tmp_path)
    before = {os.path.basename(path) for path in synced[: synced.index("rename")]}
    assert before == {"data.bin", "offsets.npy", "index.json", "journal", f"{KEY.name}.partial"}
    assert synced[synced.index("rename") + 1 :] == [str(tmp_path)]


def test_a_damaged_store_is_told_and_built_again(tmp_path, caplog):
    build(tmp_path)
    (tmp_path / KEY.name / "index.json").write_text('{"shape": 5}')
    assert build(tmp_path).data.tolist() == WHOLE
    assert f"{KEY.name} is damaged and built again" in caplog.text


def refuse(*arguments, **options):
    """What a read-only disk answers; root may write where a mode forbids it."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_cache_that_is_a_file_or_read_only_is_a_user_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*file \(.*\); make room or set data.cache to a folder that"):
        build(tmp_path / "file")
    monkeypatch.setattr(store_builder, "exclusive_lock", refuse)
    with pytest.raises(UserError, match="Read-only file system"):
        build(tmp_path)


def test_a_store_in_a_read_only_cache_is_used(tmp_path, monkeypatch):
    build(tmp_path)
    monkeypatch.setattr("os.utime", refuse)
    monkeypatch.setattr(store_builder, "exclusive_lock", refuse)
    assert build(tmp_path).data.tolist() == WHOLE


def test_a_full_disk_is_a_user_error_and_loses_nothing(tmp_path):
    with pytest.raises(UserError, match=r"cannot write to .* \(No space left on device\); make room or set data.cache"):
        build(tmp_path, failing_at(3, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    begun = []
    assert build(tmp_path, recording(begun)).data.tolist() == WHOLE
    assert begun == [3]


def test_one_of_several_threads_builds_while_the_others_wait(tmp_path):
    begun = []
    threads = [threading.Thread(target=build, args=(tmp_path, recording(begun))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun == [0]
    assert {name for name in os.listdir(tmp_path) if not name.endswith(".lock")} == {KEY.name}


def test_no_usable_track_is_a_user_error_with_counts_per_kind(tmp_path):
    reasons = [SILENT, UNREADABLE, UNREADABLE]
    with pytest.raises(UserError, match="none of 3 tracks can be used: 2 unreadable, 1 silent"):
        build_store(tmp_path, KEY, 4, list("abc"), lambda begin: reasons[begin:], "making")
