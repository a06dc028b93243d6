"""The one way to a record's database: what is done there is done once, or tried again."""

from __future__ import annotations

import contextlib
import math
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from mmengine.logging import print_log
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study
from sqlalchemy.exc import (
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from pinas_mm.search.record.lock import StudyLock, is_restarting, sqlite_file
from pinas_mm.search.record.storage import cause_of, database_error, storage_errors

Made = TypeVar("Made")
ERRORS = (SQLAlchemyError, StorageInternalError, sqlite3.Error)
# Seconds between two tries.
PAUSE = 1.0


class Access:
    """Runs what reads or writes a record; where its database is away, again until it is back.

    Args:
        url: of the database, or the path of a SQLite file.
        storage: Optuna's, of it.
        study: name of the study.
        patience: seconds that a database may be away.

    Attributes:
        study: Optuna's, once it is open. Its memory of trials is dropped after each failure: what
            it remembers may never have been written.
        lost: when the database was last found to be away, by :func:`time.monotonic`.
    """

    def __init__(self, url: str | Path, storage: RDBStorage, study: str, patience: float) -> None:
        self._url, self._storage, self._patience = url, storage, patience
        self.lost = -math.inf
        self.study: Study | None = None
        with storage_errors(url):
            self._lock = StudyLock(storage.engine, study, sqlite_file(url))

    def locked(self, work: Callable[[], Made], patience: float | None = None) -> Made:
        """Runs ``work`` under the study's lock, in one transaction: all of it is written, or none.

        Args:
            work: it may be run several times; all but the last time in vain.
            patience: seconds to try again; None are those of all.

        Raises:
            UserError: the database is away for longer, or refuses.
        """

        def attempt() -> Made:
            with _undivided(), self._lock() as connection, self._inside(connection):
                return work()

        return self._again(attempt, patience)

    def unlocked(self, work: Callable[[], Made], patience: float | None = None) -> Made:
        """Runs what reads, or writes what may be written twice; as :meth:`locked` otherwise."""
        return self._again(work, patience)

    def away(self, error: BaseException) -> None:
        """Notes that the database was found to be away."""
        if is_away(error, self._storage.engine):
            self.lost = time.monotonic()

    @contextlib.contextmanager
    def _inside(self, connection: sqlalchemy.Connection) -> Iterator[None]:
        """Makes Optuna's transactions in this thread parts of the connection's own."""
        session = self._storage.scoped_session
        session.remove()
        session(bind=connection, join_transaction_mode="create_savepoint")
        try:
            yield
        finally:
            session.remove()

    def _again(self, attempt: Callable[[], Made], patience: float | None) -> Made:
        patience = self._patience if patience is None else patience
        until = None
        with storage_errors(self._url):
            while True:
                try:
                    made = attempt()
                except BaseException as error:
                    if self.study is not None:
                        self.study._storage = optuna.storages.get_storage(self._storage)
                    if not isinstance(error, ERRORS) or not is_away(error, self._storage.engine):
                        raise
                    self.lost = time.monotonic()
                    if until is None:
                        until = self.lost + patience
                        if patience:
                            self._say(error, patience)
                    if self.lost >= until:
                        raise
                    time.sleep(min(PAUSE, until - self.lost))
                else:
                    if until is not None:
                        print_log("database reachable again", "current")
                    return made

    def _say(self, error: BaseException, patience: float) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(time.time() + patience))
        shown = f"database not reachable, trying again until {clock} ({cause_of(error)})"
        print_log(shown, "current")


@contextlib.contextmanager
def _undivided() -> Iterator[None]:
    """Puts the first Ctrl-C off to the end of the block.

    Within a transaction it could leave a connection behind that holds the database's lock, and the
    release of what was claimed would wait for that.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[Any, ...]] = []

    def note(*details: Any) -> None:
        came.append(details)
        if len(came) > 1:
            before(*details)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if len(came) == 1:
            before(*came[0])


def is_away(error: BaseException, engine: sqlalchemy.Engine) -> bool:
    """Whether an error may be gone at the next try: a lost connection, a lock held too long."""
    cause = database_error(error)
    if engine.dialect.name == "sqlite":
        # All else, such as a full disk, a file's server cannot mend by itself.
        return any(text in str(cause) for text in ("is locked", "is busy"))
    # The last one follows a lost connection, on all that was to be done on it.
    lost = isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError))
    # A signal broke off a statement: SQLAlchemy drops its connection and makes a new one.
    broken_off = "in transaction status" in str(cause)
    return lost or broken_off or is_restarting(cause)
