"""The files to write, before any work is done for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinas_mm.errors import UserError


def check_targets(targets: Sequence[str | None], sources: Sequence[str | None] = ()) -> None:
    """Checks that at least one file is to be written, and none over another or over a source.

    Args:
        targets: files to write; None is none.
        sources: files or folders that are read; None is none.

    Raises:
        UserError: names the one at fault.
    """
    paths = [Path(target) for target in targets if target]
    if not paths:
        raise UserError("nothing to write: give at least one of --out, --onnx and --torchscript")
    for number, path in enumerate(paths):
        if path.is_dir():
            raise UserError(f"{path} is a folder: give a file name")
        for other in paths[:number]:
            if path.resolve() == other.resolve():
                raise UserError(f"{path} is to be written twice: give every file its own name")
        for source in sources:
            if source and path.resolve() == Path(source).resolve():
                raise UserError(f"{path} is to be read and written: give another name")
