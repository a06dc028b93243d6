"""mmengine's checkpoints as files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from pinas_mm.files import write_atomically


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
