"""The journal survives a power cut at any byte: what was complete stays complete, the rest is trained again."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.trial import TrialState

from genre.sweeping import record
from genre.sweeping.grid import Grid
from genre.sweeping.journal import last_line
from genre.sweeping.queue import Queue, QueueRules

BASE = {"model.kernel_size": 3, "batch_size": 32}
TRACKS = {"counts": {"train": 3, "val": 1, "test": 1}, "sha256": "0"}
POINTS = list(Grid({"model.kernel_size": [3, 5], "batch_size": [16, 32]}).points())
DAMAGE = (b"", b"\0" * 50, b"\0" * 50 + b"\n")  # what a power cut leaves behind the last bytes that reached the disk


def join(folder):
    queue = Queue(record.open_record(folder, None), "test", BASE, TRACKS, QueueRules(lease=0.01))
    queue.add(POINTS)
    return queue


def work(folder):
    """Train every point that is left; return the points that were trained, in order."""
    queue, trained = join(folder), []
    while claimed := queue.claim() or (queue.running() and time.sleep(0.02) is None and queue.claim()):
        (entry,) = claimed
        trained.append(entry.point)
        assert queue.complete(entry, score(entry.point), {"seconds": 1.0})
    return trained


def score(point):
    return point["model.kernel_size"] / 10 + point["batch_size"] / 1000


def results(folder):
    return sorted((entry.point["model.kernel_size"], entry.point["batch_size"], entry.state, entry.value)
                  for entry in join(folder).entries())  # fmt: skip


def complete_points(journal):
    """The points that the whole lines of a journal record as complete."""
    operations = [json.loads(line) for line in journal.splitlines(keepends=True) if line.endswith(b"\n")]
    points = [operation["user_attrs"]["point"] for operation in operations if "distributions" in operation]
    states = [operation for operation in operations if operation["op_code"] == 6]
    return [points[operation["trial_id"]] for operation in states if operation["state"] == TrialState.COMPLETE]


@pytest.fixture
def unbroken(tmp_path):
    """The folder of a sweep without an interruption."""
    assert len(work(tmp_path / "unbroken")) == 4
    return tmp_path / "unbroken"


def cut_places(journal, count):
    """Random bytes, every third one at or beside the end of a line."""
    draw = random.Random(count)
    ends = [index + 1 for index, byte in enumerate(journal) if byte == ord("\n")]
    anywhere = [draw.randrange(len(journal)) for _ in range(count)]
    return [draw.choice(ends) - number % 2 if number % 3 == 0 else place for number, place in enumerate(anywhere)]


@pytest.mark.parametrize("damage", DAMAGE, ids=["cut", "zeros", "line of zeros"])
@pytest.mark.parametrize("cuts", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_after_a_power_cut_at_any_byte_the_study_ends_as_an_unbroken_one(unbroken, tmp_path, caplog, damage, cuts):
    journal, expected = (unbroken / "journal.log").read_bytes(), results(unbroken)
    for number, place in enumerate(cut_places(journal, cuts)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "journal.log").write_bytes(journal[:place] + damage)
        caplog.clear()
        trained, kept = work(folder), complete_points(journal[:place])
        assert len(kept) + len(trained) == 4 and all(point not in kept for point in trained)
        assert results(folder) == expected
        assert ("incomplete line" in caplog.text) == bool(damage or not journal[:place].endswith(b"\n"))
        assert len(complete_points((folder / "journal.log").read_bytes())) == 4


def test_the_warning_names_the_file_and_the_trial_whose_change_was_lost(unbroken, caplog):
    path = unbroken / "journal.log"
    path.write_bytes(path.read_bytes()[:-2])
    work(unbroken)
    (message,) = caplog.messages
    assert str(path) in message and "what was lost is one change of trial" in message


def test_a_worker_that_runs_goes_on_when_another_leaves_half_a_line(tmp_path):
    running, other = join(tmp_path), join(tmp_path)
    (entry,) = running.claim()
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":6,"worker_id":"x","trial_id":1,"sta')
    assert len(other.entries()) == 4
    assert running.complete(entry, 0.5, {"seconds": 1.0})
    assert [e.value for e in other.entries() if e.state == TrialState.COMPLETE] == [0.5]


def test_a_line_longer_than_a_block_is_kept(tmp_path):
    queue = join(tmp_path)
    queue.study.set_user_attr("long", "x" * 50_000)
    assert queue.study.user_attrs["long"] == join(tmp_path).study.user_attrs["long"]
    with (tmp_path / "journal.log").open("rb") as file:
        begin, line = last_line(file)
    assert (tmp_path / "journal.log").read_bytes()[begin:] == line


HOLD = "import sys, time; from pathlib import Path; from genre.sweeping.journal import JournalLock; " \
       "JournalLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"  # fmt: skip


def test_a_worker_killed_while_it_appends_holds_up_nobody(tmp_path):
    queue = join(tmp_path)
    path = tmp_path / "journal.log"
    JournalFileSymlinkLock(str(path)).acquire()  # left by a version that used Optuna's lock
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    begin = time.monotonic()
    assert queue.claim() and time.monotonic() - begin < 5
