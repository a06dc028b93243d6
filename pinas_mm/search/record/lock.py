"""One process at a time may claim or finish trials: what makes "exactly once" true.

Optuna's storages read a trial's state and write it in two steps on SQLite, so two workers could
both take over the trial of a third that died.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from pinas_mm.errors import UserError

Made = TypeVar("Made")
# What databases say where somebody else was a moment earlier.
TAKEN = (
    *("already exists", "duplicate key", "Duplicate entry", "UNIQUE constraint"),
    "database is locked",  # A new SQLite file's first journal is not waited for.
)
TRIES, PAUSE = 10, 0.3
# Seconds that a restart of a server may take.
RESTART = 60.0

_METADATA = sqlalchemy.MetaData()
_LOCKS = sqlalchemy.Table(
    "pinas_mm_locks",
    _METADATA,
    sqlalchemy.Column("study", sqlalchemy.String(255), primary_key=True),
)


class StudyLock:
    """Mutual exclusion among all processes that work on one study of one database.

    A lock file beside a SQLite file, a locked row elsewhere; the operating system or the database
    server releases it when its holder dies, by SIGKILL as well. Not reentrant.

    Args:
        engine: SQLAlchemy's engine of the storage.
        study: name of the study.
        file: the SQLite file, where it is one.

    Raises:
        UserError: when it is taken; the SQLite file's folder has no locks.

    Example:
        >>> lock = StudyLock(sqlalchemy.create_engine('sqlite://'), 'search')
        >>> with lock() as connection:
        ...     connection.exec_driver_sql('SELECT 1').scalar()
        1
    """

    def __init__(self, engine: sqlalchemy.Engine, study: str, file: Path | None = None) -> None:
        self._engine, self._study = engine, study
        self._sqlite = engine.dialect.name == "sqlite"
        # A database in memory has one process, and a lock that nobody else waits for.
        self._file = Path(f"{file}.lock") if self._sqlite and file else None
        if self._sqlite:
            return
        created_once(self._make, reached=True)

    def _make(self) -> None:
        _METADATA.create_all(self._engine)
        with contextlib.suppress(IntegrityError), self._engine.begin() as connection:
            connection.execute(_LOCKS.insert().values(study=self._study))

    @contextlib.contextmanager
    def __call__(self) -> Iterator[sqlalchemy.Connection]:
        """Waits for the lock and holds it through a ``with`` block.

        Yields:
            A connection in a transaction that ends with the block: who loses the lock with the
            connection has written nothing.
        """
        held = _locked(self._file) if self._file else contextlib.nullcontext()
        with held, self._engine.begin() as connection:
            if self._sqlite:
                # Python's driver would begin with the first write, and end with a savepoint.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                row = sqlalchemy.select(_LOCKS).where(_LOCKS.c.study == self._study)
                connection.execute(row.with_for_update()).one()
            yield connection


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits for the system's lock of a file, and holds it in a ``with`` block.

    filelock would do without where there is none, by a file that a killed worker leaves, and that
    others then wait for.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(
                f"{path} cannot be locked ({error.strerror or error}), so that workers might run a "
                "trial twice: put the record on a disk of this machine, or on a database server "
                "(--storage postgresql://...)"
            ) from error
        try:
            yield
        finally:
            # Processes that were forked meanwhile have the file open too.
            fcntl.flock(file, fcntl.LOCK_UN)


def created_once(create: Callable[[], Made], reached: bool = False) -> Made:
    """What ``create`` gives, which makes tables where they are missing.

    Workers that start together all find none and make them; all but the first fail, and find them
    at their next try. Who comes while the server restarts tries again too.

    Args:
        create: makes them.
        reached: whether the server was there a moment ago; an address where there is none is an
            error at once.
    """
    tries, until = TRIES, math.inf
    while True:
        try:
            return create()
        except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
            cause = error.__cause__ or error if isinstance(error, StorageInternalError) else error
            away = is_restarting(cause) or (reached and isinstance(cause, OperationalError))
            taken = any(text in str(cause) for text in TAKEN)
            if away and until == math.inf:
                until, reached = time.monotonic() + RESTART, True
            tries -= taken
            if not (taken and tries) and not (away and time.monotonic() < until):
                raise
            time.sleep(PAUSE)


def is_restarting(error: BaseException) -> bool:
    """Whether a server was there a moment ago, or says that it soon will be."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    # PostgreSQL's class of an operator's intervention: shutting down, starting up.
    return lost or state.startswith("57P")


def sqlite_file(url: str | Path) -> Path | None:
    """The file of a SQLite URL; None for other databases and for SQLite in memory."""
    if isinstance(url, Path):
        return url
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)
