"""What every command shares: paths taken literally, and mistakes told in one sentence."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from genre import resolvers  # noqa: F401  # which Hydra asks when it composes
from genre.errors import UserError
from genre.paths import RECORD, folder_to_resume, literal, quoted

FULL = (errno.ENOSPC, errno.EDQUOT)
MULTIRUN = ("-m", "--multirun")
RESUMED = ("hydra.output_subdir=.hydra/resumed", "hydra.job.name=train")  # a run's record has no Hydra section


class QuietStderr:
    """Standard error without the line in which Hydra repeats the overrides before a mistake is told."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return 0 if text.startswith("Error executing job with overrides") else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def command(main: Callable[[], Any]) -> None:
    """Run a Hydra entry point; a user's mistake becomes one sentence and exit code 1, ``debug=true`` shows it whole."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves exceptions to us
    try:
        sys.argv[1:] = hydra_arguments(sys.argv[1:])
        with contextlib.redirect_stderr(QuietStderr(sys.stderr)):
            main()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if "debug=true" in sys.argv:
            raise
        sys.exit(f"error: {error_message(error)}")
    except OSError as error:
        if error.errno not in FULL or "debug=true" in sys.argv:
            raise
        sys.exit(f"error: no room is left on the disk ({error.filename or 'results'}); make some and start again")
    except KeyboardInterrupt:
        sys.exit(130)


def hydra_arguments(arguments: list[str]) -> list[str]:
    """Arguments as Hydra should see them: paths quoted; to resume a run, its own configuration instead of ``conf/``."""
    if any(argument.startswith("hydra.job.name=train_ddp_process") for argument in arguments):
        return arguments  # Lightning repeats them to the other processes of a run
    arguments = sorted(arguments, key=lambda argument: argument not in MULTIRUN)  # behind its options Hydra takes none
    literally = [literal(argument) for argument in arguments]
    runs = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not runs or runs[-1] in ("", "null"):
        return literally
    folder = folder_to_resume(runs[-1])
    place = ["--config-path", str(folder), "--config-name", Path(RECORD).stem]
    return [*place, *literally, f"hydra.run.dir={quoted(str(folder))}", *RESUMED]


def error_message(error: Exception) -> str:
    """The message of a mistake, without the advice on tracebacks that Hydra appends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(str(error.__cause__).splitlines()[0])
    return " ".join(lines)
