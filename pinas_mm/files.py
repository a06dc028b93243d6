"""Files that are there whole or not at all, and folders that can be written."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pinas_mm.errors import UserError

LEFT_OVER = re.compile(r"\..+\.\d+\.tmp")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes to a temporary name beside ``path``, then renames; makes missing folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            with contextlib.suppress(OSError):  # Some file systems have no locks.
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_over(folder: str | Path) -> list[Path]:
    """Removes the temporary files of :func:`write_atomically` that killed processes left.

    A process that is at it holds a lock, which ends with it.

    Args:
        folder: where they lie; it need not be there.

    Returns:
        What was removed.
    """
    removed = []
    for path in Path(folder).glob(".*.tmp"):
        if not LEFT_OVER.fullmatch(path.name) or not path.is_file():
            continue
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            removed.append(path)
    return removed


def write_output(path: str | Path, content: bytes) -> None:
    """:func:`write_atomically` for a file that the user named.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: str | Path, content: object) -> None:
    """Writes JSON, whole or not at all; makes missing folders."""
    write_atomically(path, json.dumps(content, indent=2).encode() + b"\n")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def check_writable(folder: Path, option: str) -> None:
    """Makes a folder and writes to it, before work is spent on what shall go there.

    Raises:
        UserError: that fails; names the option that gave the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Of a name of its own, or of none: ranks and workers look at the same time.
        tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".writable").close()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name.
        reason = getattr(error, "strerror", error)
        raise UserError(
            f"{folder} cannot be written ({reason}): choose another {option}"
        ) from error


def check_output(path: str | Path) -> None:
    """Checks that a file that the user named can be written, before work is spent on its content.

    Raises:
        UserError: it is a folder, or its folder cannot be made or written.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file name")
    check_writable(path.parent, "file name")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name ``folder`` at the end, or vanishes on an error.

    Raises:
        UserError: it cannot be written.
    """
    work = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        work.mkdir(parents=True)
        yield work
        if folder.exists():
            folder.rename(old)
        work.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
