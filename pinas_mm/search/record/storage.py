"""Opening a search's database, and what its errors mean to a person."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from pinas_mm.errors import UserError
from pinas_mm.search.record.lock import created_once, sqlite_file

# Seconds that a SQLite connection waits for another process's write.
SQLITE_TIMEOUT = 120


def open_storage(url: str | Path, heartbeat: int, grace: int) -> RDBStorage:
    """Opens or creates an Optuna storage.

    Args:
        url: a database URL, such as ``sqlite:///search.db`` or ``postgresql://user@host/name``; or
            the path of a SQLite file, whose name may have any characters.
        heartbeat, grace: in seconds, see :class:`~pinas_mm.search.record.record.Record`.

    Raises:
        UserError: the URL is none, its driver is not installed, or it cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        file = sqlite_file(url)
    except ArgumentError:
        raise UserError(
            f"--storage {url} is no database URL: write sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    options = {}
    # Of a file only the dialect is asked: a path is no part of a URL, where %, ? and # mean more.
    address = "sqlite:///search.db" if isinstance(url, Path) else url
    with storage_errors(url):
        if file is not None:
            options = {"creator": lambda: _connect(file)}
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"cannot make the folder of {file}: {error.strerror}") from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return created_once(
                lambda: RDBStorage(
                    address, engine_kwargs=options, heartbeat_interval=heartbeat, grace_period=grace
                )
            )


@contextlib.contextmanager
def storage_errors(url: str | Path) -> Iterator[None]:
    """Turns a database's errors into a :class:`UserError` that says what to do.

    What was finished is in the database: each trial is written in one transaction.
    """
    try:
        yield
    except (ImportError, NoSuchModuleError) as error:
        raise UserError(
            f"no driver for {_shown(url)} ({error}): install it, psycopg[binary] for PostgreSQL, "
            "pymysql for MySQL"
        ) from error
    except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.OptunaError) else error
        text = str(getattr(cause, "orig", None) or cause or error).strip().splitlines()[0]
        away = isinstance(cause, (OperationalError, sqlite3.Error))
        kind = "cannot be reached or written" if away else "failed"
        raise UserError(
            f"storage {_shown(url)} {kind}: {text}. Finished trials are kept there; mend it and "
            "run the same command to go on"
        ) from error


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=SQLITE_TIMEOUT, check_same_thread=False)
    # A write-ahead log: a commit costs microseconds where the rollback journal waits for the disk
    # several times. What a power cut can cost is the last trials, never the file.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _shown(url: str | Path) -> str:
    """The URL without its password."""
    if isinstance(url, Path):
        return str(url)
    return sqlalchemy.make_url(url).render_as_string(hide_password=True)
