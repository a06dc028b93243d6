"""Opening a search's database, and what its errors mean to a person."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from pinas_mm.errors import UserError
from pinas_mm.search.record.checked_storage import CheckedStorage
from pinas_mm.search.record.lock import created_once, sqlite_file

# Seconds that a SQLite connection waits for another process's write.
SQLITE_TIMEOUT = 120
# Where a SQLite file says whether its writes go to a log beside it.
LOGS = slice(18, 20)
# Seconds between a worker's signs of life, and without one until its trials are taken over.
HEARTBEAT, GRACE = 20, 90
# What Optuna says of a trial or study that was there before.
NOT_FOUND = "Record does not exist"


def open_storage(
    url: str | Path, heartbeat: int = HEARTBEAT, grace: int = GRACE, reads: bool = False
) -> CheckedStorage:
    """Opens or creates an Optuna storage.

    Args:
        url: a database URL, such as ``sqlite:///search.db`` or ``postgresql://user@host/name``; or
            the path of a SQLite file, whose name may have any characters.
        heartbeat, grace: in seconds, see :class:`~pinas_mm.search.record.record.Record`.
        reads: nothing will be written: a SQLite file must be there, and is left as it is, also
            where it or its folder may not be written.

    Raises:
        UserError: the URL is none, its driver is not installed, it cannot be reached, or it was
            made by a version of Optuna that has other tables; there is no file to read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A connection whose server is gone cannot be put back into its pool, which says so with a
    # traceback; whoever needs the server next finds out.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        file = sqlite_file(url)
    except ArgumentError:
        raise UserError(
            f"--storage {url} is no database URL: write sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    # A connection that the server has closed meanwhile is found out before it is used.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if str(url).startswith("mysql"):
        # What others have committed is seen as soon as the lock is held, as elsewhere.
        options["isolation_level"] = "READ COMMITTED"
    # Of a file only the dialect is asked: a path is no part of a URL, where %, ? and # mean more.
    address = "sqlite:///search.db" if isinstance(url, Path) else _with_driver(url)
    with storage_errors(url):
        if file is not None:
            options["creator"] = lambda: _connect_to_read(file) if reads else _connect(file)
            if reads and not file.is_file():
                raise UserError(f"{file} does not exist: give the work dir of a search")
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"cannot make the folder of {file}: {error.strerror}") from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            reached = file is None and sqlalchemy.make_url(address).get_backend_name() != "sqlite"
            if reached:
                created_once(lambda: _reach(address, options))
            try:
                return created_once(
                    lambda: CheckedStorage(
                        address,
                        engine_kwargs=options,
                        heartbeat_interval=heartbeat,
                        grace_period=grace,
                    ),
                    reached,
                )
            except RuntimeError as error:
                raise UserError(_other_tables(url, str(error))) from error


def _with_driver(url: str) -> str:
    """PostgreSQL's driver is psycopg 3 where it is installed; SQLAlchemy before 2.1 asks for 2."""
    parsed = sqlalchemy.make_url(url)
    if parsed.drivername == "postgresql" and find_spec("psycopg"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


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
        away = isinstance(database_error(error), (OperationalError, sqlite3.Error))
        kind = "cannot be reached or written" if away else "failed"
        raise UserError(
            f"storage {_shown(url)} {kind}: {cause_of(error)}. Finished trials are kept there; "
            "mend it and run the same command to go on"
        ) from error
    except json.JSONDecodeError as error:
        raise UserError(_damaged(url, error)) from error
    except KeyError as error:
        if NOT_FOUND not in str(error):
            raise
        # Somebody deleted the study, or put an older copy of the database in its place.
        raise UserError(_damaged(url, error)) from error


@contextlib.contextmanager
def damages(url: str | Path) -> Iterator[None]:
    """Turns what Optuna raises on a damaged database into a :class:`UserError`; for opening it."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # An attribute that is no JSON, a state that is none, a row that should be there.
        raise UserError(_damaged(url, error)) from error


def _damaged(url: str | Path, error: Exception) -> str:
    return (
        f"storage {_shown(url)} is damaged ({error or type(error).__name__}): mend it, or take "
        "another --work-dir or --study-name"
    )


def database_error(error: BaseException) -> BaseException:
    """What the database or its driver raised, where Optuna raised something else on it."""
    wrapped = isinstance(error, optuna.exceptions.StorageInternalError)
    return error.__cause__ or error if wrapped else error


def cause_of(error: BaseException) -> str:
    """What the database says, in one line."""
    cause = database_error(error)
    lines = str(getattr(cause, "orig", None) or cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _other_tables(url: str | Path, text: str) -> str:
    """What to do where Optuna says that its tables are of another version."""
    address = f"sqlite:///{url}" if isinstance(url, Path) else _shown(url)
    upgrade = f"`optuna storage upgrade --storage {address}`, after a copy of it"
    mend = upgrade if "storage upgrade" in text else "a newer Optuna, `pip install -U optuna`"
    made = text.split(" Please ")[0].rstrip(". ")
    return f"storage {_shown(url)} is of another version of Optuna ({made}): it takes {mend}"


def _reach(address: str, options: dict[str, Any]) -> None:
    """Raises SQLAlchemy's error where there is no server of this address."""
    engine = sqlalchemy.create_engine(address, **options)
    engine.connect().close()
    engine.dispose()


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=SQLITE_TIMEOUT, check_same_thread=False)
    # A write-ahead log: a commit costs microseconds where the rollback journal waits for the disk
    # several times. What a power cut can cost is the last trials, never the file.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _connect_to_read(file: Path) -> sqlite3.Connection:
    # Where nobody has it open to write there is no log, and SQLite would make one beside it. A
    # database without logs may have a journal, by which what is half written is undone.
    with file.open("rb") as content:
        logs = content.read(LOGS.stop)[LOGS] == b"\x02\x02"
    alone = logs and not Path(f"{file}-wal").exists()
    address = f"{file.resolve().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(address, SQLITE_TIMEOUT, check_same_thread=False, uri=True)


def _shown(url: str | Path) -> str:
    """The URL without its password."""
    if isinstance(url, Path):
        return str(url)
    return sqlalchemy.make_url(url).render_as_string(hide_password=True)
