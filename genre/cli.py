"""What all commands share: literal paths, --help, and one sentence for a user's mistake."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from genre.config.help import help_text
from genre.config.overrides import error_message
from genre.errors import UserError
from genre.paths import AUTO, RECORD, folder_to_resume, literal, quoted
from genre.signals import StopSignals

FULL = (errno.ENOSPC, errno.EDQUOT)
HELP_FLAGS = {"--help", "-h"}
MULTIRUN = ("-m", "--multirun")
RESUMED = ("hydra.output_subdir=.hydra/resumed", "hydra.job.name=train")  # a run's record has no Hydra section


class QuietStderr:
    """Standard error without the line in which Hydra repeats the overrides before an error."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return 0 if text.startswith("Error executing job with overrides") else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def command(main: Callable[[], Any], config_name: str | None = "config") -> None:
    """Run a Hydra entry point; a user's mistake becomes one sentence and exit code 1, a signal N exit code 128 + N.

    Args:
        config_name: of the command, such as 'evaluate': --help shows its keys, and errors suggest them; None for a
            command without Hydra, which has its own --help.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves exceptions to us
    given = sys.argv[1:]
    with StopSignals(config_name == "sweep" or bool(runs_to_resume(given))):
        run_command(main, config_name, given)


def run_command(main: Callable[[], Any], config_name: str | None, given: list[str]) -> None:
    """Run a Hydra entry point with the given arguments of the command line; see ``command``."""
    try:
        if config_name and HELP_FLAGS & set(given):
            print(help_text(config_name, given))
            return
        sys.argv[1:] = hydra_arguments(given)
        with contextlib.redirect_stderr(QuietStderr(sys.stderr)):
            main()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if "debug=true" in given:
            raise
        sys.exit(f"error: {error_message(error, given, config_name or 'config')}")
    except OSError as error:
        if error.errno not in FULL or "debug=true" in given:
            raise
        sys.exit(f"error: the disk is full ({error.filename or 'results'}); free some space and start again")
    except KeyboardInterrupt:
        sys.exit(130)


def hydra_arguments(arguments: list[str]) -> list[str]:
    """Arguments as Hydra should see them: paths quoted; to resume a run, its own configuration instead of ``conf/``."""
    if any(argument.startswith("hydra.job.name=train_ddp_process") for argument in arguments):
        return arguments  # Lightning repeats them to the other processes of a run
    arguments = sorted(arguments, key=lambda argument: argument not in MULTIRUN)  # behind its options Hydra takes none
    literally = [literal(argument) for argument in arguments]
    runs = runs_to_resume(arguments)
    if runs and any(argument in MULTIRUN for argument in arguments):
        raise UserError(f"resume={runs[-1]} continues one run; omit {' and '.join(MULTIRUN)}")
    if not runs or runs[-1] == AUTO:
        return literally
    folder = folder_to_resume(runs[-1])
    place = ["--config-path", str(folder), "--config-name", Path(RECORD).stem]
    return [*place, *literally, f"hydra.run.dir={quoted(str(folder))}", *RESUMED]


def runs_to_resume(arguments: list[str]) -> list[str]:
    """The values of ``resume=`` among arguments; the last one counts. None if that continues no run."""
    runs = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    return runs if runs and runs[-1] not in ("", "null") else []
