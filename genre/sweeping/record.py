"""Where a sweep is recorded: an Optuna storage, and the locks under which processes and machines take turns."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

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

Lock = Callable[[str, bool], AbstractContextManager[bool]]  # name, whether to wait -> whether it is ours
SERVERS = {  # how a server's session takes a lock, which it gives back when it ends, however it ends
    "postgresql": ("select pg_advisory_lock(:number) is not null", "select pg_try_advisory_lock(:number)"),
    "mysql": ("select get_lock(:name, -1)", "select get_lock(:name, 0)"),
}


@dataclass(frozen=True)
class Record:
    """A storage and its locks.

    Args:
        storage: of Optuna's.
        lock: a context in which no other process of any machine is that asks for the same name.
    """

    storage: BaseStorage
    lock: Lock


def open_record(folder: Path, address: str | None) -> Record:
    """The record of a sweep: the journal in its folder, or a database.

    Args:
        address: of a database, as SQLAlchemy has it; None for the journal.

    Raises:
        UserError: if the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    if address is None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "journal.log"
        return Record(JournalStorage(JournalFileBackend(str(path))), file_locks(path))
    try:
        url = with_driver(make_url(address))
        lock = lock_of(url)
        with lock("tables", True):  # two processes that make the tables at once fail
            return Record(RDBStorage(url.render_as_string(hide_password=False)), lock)
    except (SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"grid.storage={redacted(address)} cannot be used ({reason}); correct it, start the server, or "
                      "leave it out for a journal in the sweep's folder") from None  # fmt: skip


def with_driver(url: URL) -> URL:
    """An address of PostgreSQL with the driver that is installed: which one is taken else changes with SQLAlchemy."""
    found = [name for name in ("psycopg2", "psycopg") if find_spec(name)]
    return url.set(drivername=f"postgresql+{found[0]}") if url.drivername == "postgresql" and found else url


def redacted(address: str) -> str:
    """An address without its password."""
    try:
        return make_url(address).render_as_string(hide_password=True)
    except ArgumentError:
        return address


def lock_of(url: URL) -> Lock:
    """The locks of a database.

    Raises:
        UserError: if it has none that we know.
    """
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database:
        return file_locks(Path(url.database))
    if kind not in SERVERS:
        raise UserError(f"grid.storage: {kind} is none of sqlite (one machine), {', '.join(SERVERS)}; choose one")
    return server_locks(url, *SERVERS[kind])


def file_locks(path: Path) -> Lock:
    """Locks that are files beside a file; a killed process gives them back."""

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


def server_locks(url: URL, wait_for: str, try_for: str) -> Lock:
    """Locks of a session with a database server; a killed process' session ends, and its locks with it."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @contextmanager
    def lock(name: str, wait: bool) -> Iterator[bool]:
        digest = hashlib.sha256(f"genre {name}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        with engine.connect() as session:
            asked = {"number": number, "name": digest.hex()[:32]}
            yield bool(session.execute(text(wait_for if wait else try_for), asked).scalar())

    return lock
