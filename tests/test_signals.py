"""A signal ends a command with its own exit code, and SLURM starts a job again that can go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import genre
from genre.signals import StopSignals

ROOT = Path(__file__).parents[1]
NUMBERS = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 138}


def send(name):
    """What a command does when it gets a signal."""
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(5)
    pytest.fail("the signal did not interrupt")


@pytest.mark.parametrize(("name", "code"), NUMBERS.items())
def test_a_signal_ends_a_command_with_128_and_its_number(monkeypatch, name, code):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as ended:
        genre.command(lambda: send(name))
    assert ended.value.code == code


def test_what_lightning_makes_of_an_interrupt_does_not_change_the_exit_code():
    with pytest.raises(SystemExit) as ended, StopSignals(goes_on=False):
        try:
            send("SIGTERM")
        except KeyboardInterrupt:
            sys.exit(1)
    assert ended.value.code == 143


def test_a_process_that_hangs_while_it_cleans_up_is_ended_with_the_same_code():
    code = """
import os, signal, time
from genre import signals
signals.GRACE = 0.1
with signals.StopSignals(goes_on=False):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    finally:
        time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=30)
    assert done.returncode == 143


def test_a_second_sigterm_does_not_interrupt_what_the_first_one_started():
    with pytest.raises(SystemExit), StopSignals(goes_on=False):
        try:
            send("SIGTERM")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned = True
    assert cleaned


def test_handlers_are_as_before_afterwards_and_those_of_others_stay():
    own = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    before = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    try:
        with StopSignals(goes_on=False):
            assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, own)
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A job of SLURM whose scontrol notes what it is told."""
    program = tmp_path / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    return lambda: (tmp_path / "told").read_text() if (tmp_path / "told").exists() else ""


@pytest.mark.parametrize(
    ("argv", "name", "told"),
    [
        (["train.py", "resume=auto"], "SIGUSR1", "requeue 17\n"),
        (["train.py"], "SIGUSR1", ""),  # would begin anew each time
        (["train.py", "resume=auto"], "SIGTERM", ""),  # a job that is preempted is queued by SLURM, a cancelled one not
    ],
)
def test_a_job_is_queued_again_ahead_of_its_limit_if_its_command_goes_on(monkeypatch, slurm, argv, name, told):
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit):
        genre.command(lambda: send(name))
    assert slurm() == told


def test_an_element_of_an_array_is_queued_again_alone_and_by_one_process(monkeypatch, slurm):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    for rank in "01":
        monkeypatch.setenv("SLURM_PROCID", rank)
        with pytest.raises(SystemExit), StopSignals(goes_on=True):
            send("SIGUSR1")
    assert slurm() == "requeue 16_3\n"


def test_a_failed_requeue_is_said(monkeypatch, slurm, tmp_path, caplog):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")
    with pytest.raises(SystemExit), StopSignals(goes_on=True):
        send("SIGUSR1")
    assert "scontrol requeue 17 failed (Access denied); submit the job again" in caplog.text
