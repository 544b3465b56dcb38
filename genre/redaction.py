"""Passwords and tokens are masked wherever a text is shown or kept: one function for messages, logs and records."""

import logging
import re
from collections.abc import Mapping
from typing import Any, TypeVar

Masked = TypeVar("Masked")
MASK = "***"
SECRET = r"(?:[\w.-]*[._-])?(?:token|password|passwd|secret|api_?key)"
ADDRESS = r"(?:[\w.-]*\.)?storage"  # of a database: a URL, or one with a mistake, whose password could be anywhere
SECRET_KEY, ADDRESS_KEY = re.compile(SECRET, re.IGNORECASE), re.compile(ADDRESS)
REFERENCE = r"\$\{|null\b"  # to an environment variable, or to nothing
SHOWN_SECRET, SHOWN_ADDRESS = re.compile(REFERENCE), re.compile(rf"{REFERENCE}|\w\S*://\S*$")
ASSIGNED = re.compile(
    rf"(?i)(?<![\w.?&;#-])({SECRET}|{ADDRESS}(?!=\w\S*://|='\w\S*://[^\s']*'))=(?!{REFERENCE})(\*+|'[^']*'|\"[^\"]*\"|\S+)"
)
URL = re.compile(r"[A-Za-z][\w+.-]*://(?:(?![A-Za-z][\w+.-]*://)\S)+")
LOGIN = re.compile(r"//([^/?#@:]*):.*@|//[^/?#@:]+@")  # greedy: an unescaped password may hold any character
PARAMETERS = re.compile(r"[?#][^'\"]+")
PARAMETER = re.compile(r"([^&;=#?]+=)?[^&;=#?]+=*")


def redacted(value: Masked) -> Masked:
    """The same value, at any depth, without the secrets in its texts.

    Masked are the password or token before a URL's host, the values of its query and fragment, and what has the key of
    a secret, in a mapping or as ``key=value``: token, hub_token, password, secret, api_key.

    >>> redacted("https://me:pw@host/song.mp3?sig=1f")
    'https://me:***@host/song.mp3?sig=***'
    """
    plain: Any = value
    if isinstance(plain, str):
        plain = ASSIGNED.sub(rf"\1={MASK}", URL.sub(lambda found: redacted_url(found[0]), plain))
    elif isinstance(plain, Mapping):
        plain = {key: redacted_entry(str(key), inner) for key, inner in plain.items()}
    elif isinstance(plain, list | tuple):
        plain = type(plain)([redacted(inner) for inner in plain])
    masked: Masked = plain
    return masked


def redacted_url(url: str) -> str:
    """A URL without password and parameters; a user's name stays where a password follows it."""
    url = LOGIN.sub(lambda found: f"//{MASK}@" if found[1] is None else f"//{found[1]}:{MASK}@", url, count=1)
    return PARAMETERS.sub(lambda found: PARAMETER.sub(rf"\g<1>{MASK}", found[0]), url, count=1)


def redacted_entry(key: str, value: Any) -> Any:
    """The value of a key in a mapping."""
    for secret, shown in ((SECRET_KEY, SHOWN_SECRET), (ADDRESS_KEY, SHOWN_ADDRESS)):
        if isinstance(value, str) and secret.fullmatch(key) and not shown.match(value):
            return MASK
    return redacted(value)


def is_redacted(value: Any) -> bool:
    """Return whether a value of a record has lost a secret, so that it cannot be used again."""
    if isinstance(value, list | tuple):
        return any(map(is_redacted, value))
    return isinstance(value, str) and (value == MASK or (MASK in value and "://" in value))


class RedactedRecord(logging.LogRecord):
    """A line of the log; as ``logging.setLogRecordFactory`` it masks other libraries' lines, too."""

    def getMessage(self) -> str:
        return redacted(super().getMessage())
