"""Files that are there whole or not at all, and folders that can be written."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pinas_mm.errors import UserError

# Name, process, and what makes it one of its own, which earlier versions left out.
LEFT_OVER = re.compile(r"\..+\.\d+(\.[0-9a-f]{8})?\.tmp")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes to a temporary name beside ``path``, then renames; makes missing folders."""
    with _written(Path(path), content) as temporary:
        temporary.replace(path)


@contextlib.contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """A file of this content under a temporary name beside ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, "tmp")
    try:
        # Never another's: a container's processes have the numbers of the next one's.
        with temporary.open("xb") as file:
            with contextlib.suppress(OSError):  # Some file systems have no locks.
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            # Held until it has its name: else another's remove_left_over takes it.
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    """A name that nothing else has: neither another thread nor a process of another machine."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.{suffix}")


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


def write_output(path: str | Path, content: bytes, replace: bool = True) -> None:
    """:func:`write_atomically` for a file that the user named.

    Args:
        path: the file.
        content: what it shall hold.
        replace: write over a file that is there; False is of one that was not when it was looked
            at, and may have come since.

    Raises:
        UserError: it cannot be written, or is there and not to be replaced.
    """
    try:
        if replace:
            write_atomically(path, content)
        else:
            _write_new(Path(path), content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _write_new(path: Path, content: bytes) -> None:
    with _written(path, content) as temporary:
        try:
            os.link(temporary, path)
        except OSError as error:  # Some file systems have no second names.
            if os.path.lexists(path):
                raise UserError(
                    f"{path} was not there before, and is now: it stays as it is; give another "
                    "name, or --force (from Python force=True)"
                ) from error
            temporary.replace(path)


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
        UserError: it cannot be written, or what has its name is not what had it at the start, and
            stays as it is; says where what was made is then.
    """
    put_back(folder)
    work, old = (_beside(folder, suffix) for suffix in ("new", "old"))
    try:
        before = _content(folder)
        work.mkdir(parents=True)
        yield work
        with _held(folder):
            if _content(folder) != before:
                made = _beside(folder, "made")
                work.rename(made)
                raise UserError(
                    f"{folder} has changed since this began, and stays as it is: what was made is "
                    f"in {made}, to be moved to where you want it"
                )
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


def put_back(folder: Path) -> None:
    """Gives a folder its name again that a process was killed over replacing, by
    :func:`whole_folder`, when the old one was out of the way and the new one not yet there. Where
    it was there, the old one goes: later it would come back for a folder that somebody deleted.
    """
    name = re.escape(folder.name)
    aside = re.compile(rf"\.{name}\.\d+(\.[0-9a-f]{{8}})?\.old")
    with contextlib.suppress(OSError):
        found = [one for one in folder.parent.iterdir() if aside.fullmatch(one.name)]
        if found and not folder.exists():
            newest = max(found, key=lambda one: one.stat().st_ctime)
            # Held by who is at it. A rename over what came meanwhile fails, unless that is empty.
            with _held(newest, wait=False):
                newest.rename(folder)
            found.remove(newest)
        for one in found:
            with _held(one, wait=False):
                shutil.rmtree(one, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path, wait: bool = True) -> Iterator[None]:
    """A lock on a folder, whatever its name becomes; none where there is no folder.

    Raises:
        OSError: another has it, and it is not to be waited for.
    """
    if not folder.is_dir():
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:  # Some file systems have no locks.
            if isinstance(error, BlockingIOError):
                raise
        yield
    finally:
        os.close(held)


def _content(folder: Path) -> object:
    """What tells a folder, or file, from what is there later; None where nothing is."""
    if not os.path.lexists(folder):
        return None
    found = [folder, *sorted(folder.rglob("*"))]
    return [(one, (stat := one.lstat()).st_ino, stat.st_size, stat.st_mtime_ns) for one in found]
