"""A store is built once, an interrupted build resumes, and an unfinished one is never opened."""

import errno
import multiprocessing
import os
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from filelock import FileLock

from genre.data import store_builder
from genre.data.store import Key, open_store
from genre.data.store_builder import Build, build_store
from genre.errors import SkipKind, SkipReason, UserError
from genre.files import SizeAndTime
from genre.progress import track_bar

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
    return build_store(folder, KEY, 4, KEY.inputs, items or (lambda span: ITEMS[span]), "making", group)


def failing_at(index, error):
    def items(span):
        yield from ITEMS[span.start : index]
        raise error

    return items


def recording(begun):
    def items(span):
        begun.append(span.start)
        return ITEMS[span]

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
    assert before == {"data.bin", "offsets.npy", "index.json", "journal", "complete", f"{KEY.name}.partial"}
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
    monkeypatch.setattr(store_builder, "FileLock", refuse)
    with pytest.raises(UserError, match="Read-only file system"):
        build(tmp_path)


def test_a_store_in_a_read_only_cache_is_used(tmp_path, monkeypatch):
    build(tmp_path)
    monkeypatch.setattr("os.utime", refuse)
    monkeypatch.setattr(store_builder, "FileLock", refuse)
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


def test_a_shard_that_another_finishes_just_before_its_lock_is_taken_is_not_built_again(tmp_path, monkeypatch):
    begun = []

    class LateLock(FileLock):
        def acquire(self, *arguments, **options):
            if self.lock_file.endswith(".0.lock"):
                other = Build(tmp_path, KEY, 4, KEY.inputs, recording(begun), "making", 1, SizeAndTime(0, 0))
                with track_bar() as bar:
                    other.write_shard(0, slice(0, len(ITEMS)), bar, bar.add_task("making"))
            return super().acquire(*arguments, **options)

    monkeypatch.setattr(store_builder, "FileLock", LateLock)
    assert build(tmp_path, recording(begun)).data.tolist() == WHOLE
    assert begun == [0]


MANY = [f"{number:03d}" for number in range(1_000)]
MANY_KEY = Key("waveform", {"sample_rate": 4}, MANY)


def many_items(span, pause=0.0):
    """Of every length, and now and then none."""
    for number in range(len(MANY))[span]:
        time.sleep(pause)
        yield SILENT if number % 50 == 7 else np.arange(number, number + number % 9 + 1, dtype=np.int16)


def build_many(folder, pause=0.0):
    return build_store(folder, MANY_KEY, 4, MANY, partial(many_items, pause=pause), "making")


def files_of(folder):
    return {path.name: path.read_bytes() for path in (folder / MANY_KEY.name).iterdir()}


@pytest.fixture
def worker():
    """Start processes that help to build a store, slowly."""
    processes = []

    def start(folder, pause=0.002):
        processes.append(multiprocessing.get_context("fork").Process(target=build_many, args=(folder, pause)))
        processes[-1].start()
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.join()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_three_workers_of_which_two_are_killed_make_the_8_shards_of_one_process_byte_for_byte(tmp_path, worker):
    build_many(tmp_path / "alone")
    folder = tmp_path / "together"

    def begun():
        return sorted((folder / f"{MANY_KEY.name}.partial").glob("journal*"))

    first, second, third = (worker(folder) for _ in range(3))
    wait_until(lambda: len(begun()) == 3 and all(path.read_bytes().count(b"\n") > 5 for path in begun()))
    first.kill()
    second.kill()
    third.join()
    assert files_of(folder) == files_of(tmp_path / "alone")
    assert sorted(files_of(folder)) == [
        "data.bin",
        *(f"data.bin.{n}" for n in range(1, 8)),
        "index.json",
        "offsets.npy",
    ]


def test_whoever_waits_for_a_store_builds_its_free_shards(tmp_path, worker):
    other = worker(tmp_path, pause=0.01)
    wait_until(lambda: list(tmp_path.glob("*.partial/journal")))
    begin = time.monotonic()
    build_many(tmp_path)
    other.join()
    assert other.exitcode == 0 and time.monotonic() - begin < 5  # alone it takes 10 s


def test_a_store_of_shards_is_read_as_one(tmp_path):
    store = build_many(tmp_path)
    whole = [array for array in many_items(slice(None)) if not isinstance(array, SkipReason)]
    assert len(store.data.parts) == 8
    assert [store.track(row).tolist() for row in range(len(store.names))] == [array.tolist() for array in whole]
    assert store.data.to(torch.device("cpu")).tolist() == store.data[:].tolist() == np.concatenate(whole).tolist()
    rows = torch.tensor([979, 0, 400, 401])
    spans = store.gather(rows, torch.tensor([-1, 0, 1, 2]), torch.tensor([3, 1, 4, 9]))
    for row, begin, length, span in zip(rows, (-1, 0, 1, 2), (3, 1, 4, 9), spans, strict=True):
        padded = np.concatenate([[0], whole[row], np.zeros(9, int)])
        assert span[:length].tolist() == padded[begin + 1 : begin + 1 + length].tolist()


def test_tracks_of_equal_length_are_taken_from_their_shards(tmp_path):
    key = Key("picture", {}, MANY)
    values = np.random.default_rng(0).standard_normal((len(MANY), 2, 3)).astype(np.float32)
    store = build_store(tmp_path, key, 0.0, MANY, lambda span: values[span], "making")
    rows = torch.tensor([999, 3, 128, 127, 3])
    assert torch.equal(store.take(rows), torch.from_numpy(values)[rows])
    assert store.take(rows[:0]).shape == (0, 2, 3)


@pytest.mark.parametrize("tracks", [0, 1, 128, 129, 8_192, 8_193, 1_000_000])
def test_shards_cover_all_tracks_and_are_few(tracks):
    spans = store_builder.shard_spans(tracks)
    assert [row for span in spans for row in (span.start, span.stop)][1:-1] == [
        end for span in spans[1:] for end in (span.start, span.start)
    ]
    assert (spans[0].start, spans[-1].stop) == (0, tracks) and len(spans) <= store_builder.MAX_SHARDS
    assert all(span.start % 16 == 0 for span in spans)  # whole groups


def test_no_usable_track_is_a_user_error_with_counts_per_kind(tmp_path):
    reasons = [SILENT, UNREADABLE, UNREADABLE]
    with pytest.raises(UserError, match="none of 3 tracks can be used: 2 unreadable, 1 silent"):
        build_store(tmp_path, KEY, 4, list("abc"), lambda span: reasons[span], "making")
