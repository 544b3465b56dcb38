"""Failures that end a worker rather than a point: its device is broken, or point after point fails."""

import torch

from genre.errors import UserError

MAX_FAILURES_IN_A_ROW = 3  # of different points, after which a worker ends
DEVICE_MESSAGES = (  # of plain RuntimeErrors, in lower case
    "cuda error",
    "cuda driver",
    "cuda unknown error",
    "cudnn error",
    "cudnn_status",
    "cublas_status",
    "cufft",
    "hip error",
    "no cuda gpus are available",
    "no cuda-capable device",
    "no nvidia driver",
)
MEMORY_MESSAGES = ("out of memory", "alloc_failed")  # of errors that a smaller point does not have


class DeviceFailure(UserError):
    """The device of this worker cannot compute any more; other points would fail, too."""


def raise_interruption(error: Exception) -> None:
    """Interrupt if an exception has replaced an interruption, which it does where a library's cleaning up fails.

    Raises:
        KeyboardInterrupt: if the exception was raised while one was handled.
    """
    before = error.__context__
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        before = before.__context__


def is_device_failure(error: Exception) -> bool:
    """Return whether an exception says that the device is broken or gone, rather than that its memory is full."""
    message = str(error).lower()
    if isinstance(error, torch.OutOfMemoryError) or any(part in message for part in MEMORY_MESSAGES):
        return False
    raised_by_torch = isinstance(error, RuntimeError) and any(part in message for part in DEVICE_MESSAGES)
    return isinstance(error, torch.AcceleratorError) or raised_by_torch


def device_failure(error: Exception, trials: list[int]) -> DeviceFailure:
    """Return the sentence that ends a worker whose device failed while it trained these trials."""
    return DeviceFailure(
        f"the device failed on {trial_names(trials)} ({first_line(error)}); what this worker had claimed is requeued, "
        "so check the device (nvidia-smi) and run the same command again to continue"
    )


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message; the name of its class if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def trial_names(trials: list[int]) -> str:
    """Name trials: 'trial 3', 'trial 3 and 23 others'."""
    others = len(trials) - 1
    return f"trial {trials[0]}" + (f" and {others} other{'s' if others > 1 else ''}" if others else "")
