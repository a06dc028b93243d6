"""Local files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from pinas_mm.errors import UserError


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes to a temporary name beside ``path``, then renames; makes missing folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_output(path: str | Path, content: bytes) -> None:
    """:func:`write_atomically` for a file that the user named.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend for checkpoints: a killed run leaves no truncated file.

    For a config: ``checkpoint=dict(type='CheckpointHook', backend_args=dict(backend='atomic'))``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes a file."""
        write_atomically(filepath, bytes(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Writes a text file."""
        write_atomically(filepath, obj.encode(encoding))


register_backend("atomic", AtomicLocalBackend, force=True)
