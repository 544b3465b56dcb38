"""What a user can put right."""


class UserError(Exception):
    """A user's mistake: one sentence that says what, where and what to do.

    ``genre.command`` prints it without a traceback and ends with exit code 1.
    """


class BadAudio(Exception):
    """One file that cannot be used, with the reason; it is skipped and listed, and never stops a run."""
