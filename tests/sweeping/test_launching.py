"""A signal to the command reaches the workers that joblib started, and each of them ends as a failed job."""

import multiprocessing
import os
import pickle
import signal
import threading
from types import SimpleNamespace

import pytest

from genre.errors import UserError
from genre.signals import StopSignals
from genre.sweeping.launching import ForwardSignals, job_of_a_launcher


@pytest.fixture
def sent(monkeypatch):
    """Signals that are sent to other processes; the grace period never ends."""
    monkeypatch.setattr(threading, "Timer", lambda *given: SimpleNamespace(start=lambda: None, cancel=lambda: None))
    signals, kill = [], os.kill
    monkeypatch.setattr(os, "kill", lambda pid, n: kill(pid, n) if pid == os.getpid() else signals.append((pid, n)))
    return signals


def start_workers(monkeypatch, *pids):
    workers = [SimpleNamespace(pid=pid) for pid in pids]
    monkeypatch.setattr(multiprocessing, "active_children", lambda: workers)


def test_the_first_signal_is_forwarded_and_the_command_ends_with_its_code_after_the_workers(monkeypatch, sent):
    start_workers(monkeypatch, 1_000_001, 1_000_002)
    with pytest.raises(SystemExit) as ended, StopSignals(goes_on=False):
        ForwardSignals().on_multirun_start(None)
        os.kill(os.getpid(), signal.SIGTERM)
        assert sent == [(1_000_001, signal.SIGTERM), (1_000_002, signal.SIGTERM)]
        raise UserError("interrupted")  # what joblib returns of the workers
    assert ended.value.code == 143


def test_another_ctrl_c_does_not_wait_for_the_workers(monkeypatch, sent):
    start_workers(monkeypatch, 1_000_001)
    with pytest.raises(SystemExit) as ended, StopSignals(goes_on=False):
        ForwardSignals().on_multirun_start(None)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise KeyboardInterrupt
    assert ended.value.code == 130 and len(sent) == 1


def test_launchers_can_send_it_to_their_workers():
    with StopSignals(goes_on=False):
        forward = ForwardSignals()
        forward.on_multirun_start(None)
        assert pickle.loads(pickle.dumps(forward)).handlers == {}


def test_without_workers_of_joblib_the_command_is_interrupted_at_once(monkeypatch, sent):
    with pytest.raises(SystemExit) as ended, StopSignals(goes_on=False):
        ForwardSignals().on_multirun_start(None)
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143 and sent == []


def test_a_worker_of_joblib_ends_as_a_failed_job(monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=1))
    with pytest.raises(UserError, match="interrupted; run the same command again to continue"), job_of_a_launcher():
        os.kill(os.getpid(), signal.SIGTERM)


def test_another_worker_passes_the_signal_on():
    with pytest.raises(KeyboardInterrupt), job_of_a_launcher():
        raise KeyboardInterrupt
