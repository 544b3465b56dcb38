"""Signals to a command whose workers joblib started: every worker releases its point before the command ends.

joblib kills all workers as soon as one of them, or the command itself, ends by a signal; their points would wait for
their lease. So the command only forwards a first signal, and an interrupted worker counts as a failed job, of which
joblib waits for the others.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from genre.errors import UserError
from genre.signals import GRACE, STOP_SIGNALS, StopSignals

GRACE_PERIOD = GRACE - 5  # seconds in which workers may release their points, before joblib kills them


class ForwardSignals(Callback):
    """Hydra's callback that forwards the first signal to the workers that joblib started.

    The command's own handlers are called as well, but they interrupt it only at another Ctrl-C, after the grace period,
    or if joblib has started no worker.
    """

    def __init__(self) -> None:
        self.handlers: dict[int, Any] = {}
        self.forwarded = False

    def __reduce__(self) -> tuple[type["ForwardSignals"], tuple[()]]:
        """Launchers send the callbacks to their workers, where the command's handlers mean nothing."""
        return ForwardSignals, ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Replace the handlers of the command's process."""
        for number in STOP_SIGNALS:
            if callable(handler := signal.getsignal(number)):
                self.handlers[number] = handler
                signal.signal(number, self.forward)

    def forward(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the workers receive SIGTERM, and Python's other thread notices when they are done."""
        workers = [process.pid for process in multiprocessing.active_children() if process.pid]
        if self.forwarded or not workers:
            self.handlers[number](number, frame)
            return
        self.forwarded = True
        with suppress(KeyboardInterrupt):
            self.handlers[number](number, frame)
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        timer = threading.Timer(GRACE_PERIOD, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()


@contextmanager
def job_of_a_launcher() -> Iterator[None]:
    """Let a signal interrupt a worker that joblib started, as a failed job; nothing changes for other workers.

    Raises:
        UserError: if the worker was interrupted, so that joblib waits for the others.
    """
    if multiprocessing.parent_process() is None:
        yield
        return
    try:
        with StopSignals(goes_on=False):  # the command asks SLURM to start its job again
            yield
    except (KeyboardInterrupt, SystemExit):
        raise UserError("interrupted; run the same command again to continue") from None
