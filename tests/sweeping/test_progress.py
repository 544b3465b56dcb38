"""The progress of a sweep on a terminal and in a log."""

import logging
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from genre.sweeping import progress
from genre.sweeping.finalists import Selection
from genre.sweeping.progress import SweepProgress, describe_progress, time_left
from genre.sweeping.queue import QueueEntry

BEST = Selection("val/accuracy", 1, (0,))


def entry(trial, state, value=None, **attributes):
    known = {"val/loss": 1.0, "val/accuracy": value, "parameters": 1} if value is not None else {}
    return QueueEntry(trial, state, {"model.kernel_size": 2 * trial + 1}, value, known | attributes)


HALFWAY = [
    entry(0, TrialState.COMPLETE, 0.5, seconds=60.0),
    entry(1, TrialState.COMPLETE, 0.75, seconds=120.0),
    entry(2, TrialState.FAIL),
    entry(3, TrialState.RUNNING, worker="a"),
    entry(4, TrialState.RUNNING, worker="b"),
    *(entry(number, TrialState.WAITING) for number in range(5, 9)),
]


def test_the_best_point_is_named_with_its_values_and_failures_are_counted():
    assert describe_progress(HALFWAY, BEST) == "best val/accuracy 0.75, trial 1 (model.kernel_size=3); 1 failed"
    assert describe_progress(HALFWAY[5:], BEST) == "no point is complete yet"


def test_the_time_left_is_estimated_from_finished_points_and_running_workers():
    assert time_left(HALFWAY) == "about 4 min left"  # six points of a minute and a half, two workers
    assert time_left([*HALFWAY, *(entry(number, TrialState.WAITING) for number in range(9, 400))]) == "about 5.0 h left"


@pytest.mark.parametrize("entries", [HALFWAY[:3], HALFWAY[3:]])
def test_no_time_is_estimated_before_the_first_or_after_the_last_point(entries):
    assert time_left(entries) == ""


def test_a_log_gets_one_line_per_minute(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO)
    with SweepProgress(SimpleNamespace(entries=lambda: HALFWAY), BEST, True) as bar:
        for now[0] in (30.0, 59.0, 61.0, 90.0):
            bar.show()
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("3 of 9 points; best val/accuracy 0.75") and "4 min left" in caplog.messages[0]
