"""A store is built once, an interrupted build resumes, and an unfinished one is never opened."""

import errno
import os
import threading

import numpy as np
import pytest

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
