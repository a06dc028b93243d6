"""The files of a data set on this machine, listed and read without surprises."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.fileio import BaseStorageBackend, LocalBackend, get_file_backend, register_backend

from pinas_mm.errors import UserError


class DataBackend(LocalBackend):
    """mmengine's local backend for data sets.

    Lists no hidden files and folders (``.ipynb_checkpoints``) and ends where a link leads back to
    a folder that it lies in; links that lead nowhere are listed, so that whoever reads them names
    them. Reads files alone: a pipe would have its reader wait for ever.

    For a config: ``dataset=dict(backend_args=dict(backend='data'), ...)``.
    """

    def get(self, filepath: str | Path) -> bytes:
        """Content of a file.

        Raises:
            OSError: it cannot be read, or is no file.
        """
        if not stat.S_ISREG(os.stat(filepath).st_mode):
            raise OSError("it is no file but a folder, a pipe or a device")
        return super().get(filepath)

    def list_dir_or_file(
        self,
        dir_path: str | Path,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """Paths in a folder, relative to it; arguments as mmengine's.

        Raises:
            UserError: a folder cannot be listed.
        """
        for path, is_folder in _walk(Path(dir_path), recursive, frozenset()):
            wanted = list_dir if is_folder else list_file and (not suffix or path.endswith(suffix))
            if wanted:
                yield os.path.relpath(path, dir_path)


register_backend("data", DataBackend, force=True)


def data_backend(path: str | Path, backend_args: dict[str, Any] | None = None) -> Any:
    """The backend for a path: :class:`DataBackend` for this machine's unless another is named."""
    backend: BaseStorageBackend = get_file_backend(
        str(path), backend_args=backend_args, enable_singleton=True
    )
    return DataBackend() if type(backend) is LocalBackend else backend


def _walk(folder: Path, recursive: bool, around: frozenset[Any]) -> Iterator[tuple[str, bool]]:
    """Paths, and whether they are folders."""
    try:
        found = os.stat(folder)
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"folder {folder} of a data set cannot be listed: {error}") from error
    here = around | {(found.st_dev, found.st_ino)}
    for entry in visible:
        is_folder = os.path.isdir(entry)
        yield entry.path, is_folder
        if is_folder and recursive:
            inner = os.stat(entry)
            if (inner.st_dev, inner.st_ino) not in here:
                yield from _walk(Path(entry.path), recursive, here)
