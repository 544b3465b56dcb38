"""Signals that ask a program to stop: it ends with their exit code, and SLURM starts it again where it can go on."""

import logging
import os
import signal
import subprocess
import threading
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
GRACE = 25.0  # seconds for cleaning up; SLURM and Kubernetes wait for 30
UNHANDLED = (signal.SIG_DFL, signal.default_int_handler)  # others stay: a launcher's own, or those that are ignored


class StopSignals:
    """Turn the first signal inside the context into KeyboardInterrupt, and what that leads to into exit code 128 + N.

    Later ones are ignored, so that cleaning up is not interrupted; but for SIGINT, which a person insists with. If
    cleaning up takes too long, or hangs, the process ends without: every file is written so that this harms none.

    Args:
        goes_on: whether the same command goes on with the work; SLURM then queues its job again after SIGUSR1, which
            ``sbatch --signal=USR1@90`` sends ahead of the time limit.

    Attributes:
        received: the first signal, or None.
    """

    def __init__(self, goes_on: bool) -> None:
        self.goes_on = goes_on
        self.received: signal.Signals | None = None
        self.before: dict[signal.Signals, Any] = {}
        self.deadline = threading.Timer(GRACE, self.leave)
        self.deadline.daemon = True

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self.before = {number: own for number in STOP_SIGNALS if (own := signal.getsignal(number)) in UNHANDLED}
        for number in self.before:
            signal.signal(number, self.receive)
        return self

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread."""
        if self.received is None:
            self.received = signal.Signals(number)
            self.deadline.start()
        elif number != signal.SIGINT:
            return
        raise KeyboardInterrupt

    def leave(self) -> None:
        """End the process at once."""
        self.requeue()
        os._exit(128 + (self.received or 0))

    def requeue(self) -> None:
        """Let SLURM start the job again, if it has announced its limit and the command goes on."""
        if self.goes_on and self.received and self.received.name == "SIGUSR1":
            requeue_job()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.deadline.cancel()
        if self.received is None or kind is None:
            return
        self.requeue()
        raise SystemExit(128 + self.received) from None


def requeue_job() -> None:
    """Let SLURM start this job again; one of its processes asks for it."""
    job, array, task = (os.environ.get(f"SLURM_{name}") for name in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID"))
    if job is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    command = ["scontrol", "requeue", f"{array}_{task}" if array else job]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        log.warning("SLURM starts job %s again", command[-1])
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        log.warning("%s failed (%s); submit the job again", " ".join(command), str(reason).strip())
