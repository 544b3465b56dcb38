"""User errors, and the reasons for which a file or row is skipped."""

from enum import StrEnum
from typing import NamedTuple

from genre.redaction import redacted


class UserError(Exception):
    """A mistake that the user can correct: one sentence with what, where and what to do, and no secret.

    ``genre.command`` prints it without a traceback and ends with exit code 1. Line breaks, which names in it may have,
    become spaces.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(redacted(" ".join(sentence.splitlines())))


class SkipKind(StrEnum):
    """Why a file, row or track is not used."""

    UNREADABLE = "unreadable"
    NOT_READ = "not readable now"
    TRUNCATED = "truncated"
    SILENT = "silent"
    TOO_SHORT = "too short"
    NOT_A_NUMBER = "not a number"
    SAMPLE_RATE = "impossible sample rate"
    START_BEYOND_END = "start beyond the end"
    NOT_AUDIO = "not audio by its name"
    OTHER_FORMAT = "in a format that is not read"
    OUTSIDE_GENRES = "outside the genre folders"
    NO_GENRE = "without a genre in the tags"
    NO_TOP_GENRE = "without a top genre"
    FEW_TRACKS = "of genres with too little music"
    NO_AUDIO = "genre folder without audio"
    OTHER_FOLDER = "folder of another name than GTZAN's genres"
    HIDDEN = "hidden file"
    NOT_A_FILE = "not a file"
    NO_SUCH_FILE = "no such file"
    ADDRESS = "address of a network"
    INVALID_ROW = "invalid row"
    DUPLICATE_ROW = "duplicate row"
    COPY = "copy of another track"
    CUT_WRONGLY = "excerpt cut at the wrong place"
    NOT_SELECTED = "not in the catalogue"
    NOT_IN_DATA = "not in the data"
    NOT_IN_SPLIT = "not in the split"
    HELD_OUT = "leaks a held-out track"
    LEFT_OUT = "not in the share of the training tracks"
    UNKNOWN_GENRE = "unknown genre"
    UNTRAINED_GENRE = "genre without training tracks"
    SEEN_IN_TRAINING = "seen in training"
    NOT_MEASURED = "not measured"
    NOT_WRITTEN = "not written"


class SkipReason(NamedTuple):
    """Why something is not used: the kind for programs, the text for people."""

    kind: SkipKind
    text: str


class Unusable(Exception):
    """A file or row that cannot be used; it is skipped and listed, and never stops a run."""

    def __init__(self, kind: SkipKind, text: str) -> None:
        super().__init__(kind, text)
        self.reason = SkipReason(kind, text)

    def __str__(self) -> str:
        return self.reason.text


class BadAudio(Unusable):
    """An audio file that cannot be used."""


class BadRow(Unusable):
    """A row of a table that cannot be used."""
