"""What all commands share: literal paths, --help, and one sentence for a user's mistake."""

import contextlib
import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from genre.config.compose import NO_OPTIONS, RESUMED, offer_record, resumed_folder
from genre.config.help import help_text
from genre.config.overrides import error_message
from genre.errors import UserError
from genre.paths import literal, quoted
from genre.redaction import RedactedRecord, redacted
from genre.signals import StopSignals

FULL = (errno.ENOSPC, errno.EDQUOT)
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST)  # of a folder
HELP_FLAGS = {"--help", "-h"}
MULTIRUN = ("-m", "--multirun")


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

    A reader that closes the pipe behind standard output, as ``head`` does, ends the command like the signal SIGPIPE.

    Args:
        config_name: of the command, such as 'evaluate': --help shows its keys, and errors suggest them; None for a
            command without Hydra, which has its own --help.
    """
    logging.setLogRecordFactory(RedactedRecord)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves exceptions to us
    given = sys.argv[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    with ended_by_reader(), StopSignals(config_name == "sweep" or any(map(goes_on, given))):
        run_command(main, config_name, given)


@contextlib.contextmanager
def ended_by_reader() -> Iterator[None]:
    """End the program without a word when nobody reads its standard output any more."""
    try:
        try:
            yield
        except SystemExit as end:
            if end.code:  # an error is said first
                raise
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        sys.exit(128 + signal.SIGPIPE)


def run_command(main: Callable[[], Any], config_name: str | None, given: list[str]) -> None:
    """Run a Hydra entry point with the given arguments of the command line; see ``command``."""
    try:
        if config_name and HELP_FLAGS & set(given):
            print(help_text(config_name, given))
            return
        sys.argv[1:] = hydra_arguments(given, config_name) if config_name else given
        with contextlib.redirect_stderr(QuietStderr(sys.stderr)):
            main()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if "debug=true" in given:
            raise
        sys.exit(f"error: {redacted(error_message(error, given, config_name or 'config'))}")
    except OSError as error:
        if error.errno not in FULL + UNUSABLE or "debug=true" in given:
            raise
        if error.errno in UNUSABLE:
            sys.exit(f"error: cannot use {error.filename} ({error.strerror}); choose another folder or a shorter name")
        sys.exit(f"error: the disk is full ({error.filename or 'results'}); free some space and start again")
    except KeyboardInterrupt:
        sys.exit(130)


def hydra_arguments(arguments: list[str], config_name: str = "config") -> list[str]:
    """Arguments as Hydra should see them: paths quoted; to resume a run, its own configuration instead of ``conf/``."""
    repeated = any(argument.startswith("hydra.job.name=train_ddp_process") for argument in arguments)
    if repeated:  # by Lightning, to the other processes of a run
        literally = arguments
    else:
        in_order = sorted(arguments, key=lambda argument: argument not in MULTIRUN)  # Hydra takes none behind options
        literally = [literal(argument) for argument in in_order]
    folder = resumed_folder(literally)
    if any(map(goes_on, literally)) and any(argument in MULTIRUN for argument in literally):
        raise UserError(f"resume= continues one run; omit {' and '.join(MULTIRUN)}")
    if folder is None:
        return literally
    offer_record(folder)
    place = ["--config-path", str(NO_OPTIONS), "--config-name", RESUMED]
    name = "train" if config_name == "config" else config_name
    job = ["hydra.output_subdir=.hydra/resumed", f"hydra.job.name={name}"]  # a run's record has no Hydra section
    return literally if repeated else [*place, *literally, f"hydra.run.dir={quoted(str(folder))}", *job]


def goes_on(argument: str) -> bool:
    """Whether an argument of the command line makes the same command continue a run."""
    return argument.startswith("resume=") and argument not in ("resume=", "resume=null")
