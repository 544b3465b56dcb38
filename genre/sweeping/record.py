"""The record of a sweep: an Optuna storage, and locks between processes and machines."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from genre.errors import UserError
from genre.sweeping.journal import JournalLock

LockFactory = Callable[[str, bool], AbstractContextManager[bool]]  # (name, wait) -> context: True if acquired
SERVER_LOCKS = {  # backend -> statements that wait for a lock, and that try it once; a session's end releases it
    "postgresql": ("select pg_advisory_lock(:number) is not null", "select pg_try_advisory_lock(:number)"),
    "mysql": ("select get_lock(:name, -1)", "select get_lock(:name, 0)"),
}
ONE_CONNECTION = {"pool_size": 1}  # kept open per worker: PostgreSQL accepts 100 by default


@dataclass(frozen=True)
class SweepRecord:
    """A storage and its locks.

    Args:
        storage: Optuna's.
        lock: takes a name and whether to wait; returns a context that holds the inter-process lock of that name and
            yields whether it was acquired.
    """

    storage: BaseStorage
    lock: LockFactory


def open_record(folder: Path, address: str | None) -> SweepRecord:
    """Open the record of a sweep: a journal file in its folder, or a database.

    Args:
        folder: of the sweep.
        address: SQLAlchemy URL of a database; None for the journal.

    Raises:
        UserError: if the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    if address is None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "journal.log"
        path.touch()
        lock_of_appends: Any = JournalLock(path)  # the class that Optuna declares is not public
        with lock_of_appends:
            backend = JournalFileBackend(str(path), lock_of_appends)
        return SweepRecord(JournalStorage(backend), file_locks(path))
    url = with_driver(parse_address(address))
    try:
        lock = database_locks(url)
        with lock("tables", True):  # two processes that create the tables at the same time fail
            return SweepRecord(RDBStorage(url.render_as_string(hide_password=False), ONE_CONNECTION), lock)
    except (SQLAlchemyError, ImportError) as error:
        reason, shown = str(error).splitlines()[0], url.render_as_string(hide_password=True)
        raise UserError(
            f"grid.storage={shown} cannot be used ({reason}); correct it, start the server, or leave it out for a "
            "journal in the sweep's folder"
        ) from None


def parse_address(address: str) -> URL:
    """A database's URL; the message about a wrong one does not show it, since its password could be anywhere.

    Raises:
        UserError: if it cannot be read as a URL.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise UserError(
            "grid.storage is not a URL such as postgresql://user:password@host/name, in which @ : / of user and "
            "password are %40 %3A %2F; correct it, or leave it out for a journal in the sweep's folder"
        ) from None
    return url


def with_driver(url: URL) -> URL:
    """Name the installed driver in a PostgreSQL URL; SQLAlchemy's default differs between its versions."""
    installed = [name for name in ("psycopg2", "psycopg") if find_spec(name)]
    return url.set(drivername=f"postgresql+{installed[0]}") if url.drivername == "postgresql" and installed else url


def database_locks(url: URL) -> LockFactory:
    """Return the lock factory of a database.

    Raises:
        UserError: if the database is not supported.
    """
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database:
        return file_locks(Path(url.database))
    if kind not in SERVER_LOCKS:
        raise UserError(
            f"grid.storage: {kind} is not one of sqlite (one machine), {', '.join(SERVER_LOCKS)}; choose one"
        )
    return server_locks(url, *SERVER_LOCKS[kind])


def file_locks(path: Path) -> LockFactory:
    """Lock files next to a file; the system releases them when the process ends."""

    @contextmanager
    def lock(name: str, wait: bool) -> Iterator[bool]:
        file = FileLock(path.with_name(f"{path.name}.{name}.guard"))
        try:
            file.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            file.release()

    return lock


def server_locks(url: URL, wait_for: str, try_for: str) -> LockFactory:
    """Advisory locks of a database server; the server releases them when the session ends."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @contextmanager
    def lock(name: str, wait: bool) -> Iterator[bool]:
        digest = hashlib.sha256(f"genre {name}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        with engine.connect() as session:
            parameters = {"number": number, "name": digest.hex()[:32]}
            yield bool(session.execute(text(wait_for if wait else try_for), parameters).scalar())

    return lock
