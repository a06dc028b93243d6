"""The files to write, before any work is done for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinas_mm.errors import UserError
from pinas_mm.files import check_output


def check_targets(
    targets: Sequence[str | None], sources: Sequence[str | None] = (), force: bool = False
) -> None:
    """Checks that at least one file is to be written, and each can be, over nothing that is there.

    Args:
        targets: files to write; None is none.
        sources: files or folders that are read; None is none.
        force: write over files that are there, but for sources.

    Raises:
        UserError: names the one at fault.
    """
    paths = [Path(target) for target in targets if target]
    if not paths:
        raise UserError("nothing to write: give at least one of --out, --onnx and --torchscript")
    for number, path in enumerate(paths):
        check_output(path)
        for other in paths[:number]:
            if path.resolve() == other.resolve():
                raise UserError(f"{path} is to be written twice: give every file its own name")
        for source in sources:
            if source and path.resolve() == Path(source).resolve():
                raise UserError(f"{path} is to be read and written: give another name")
        if path.exists() and not force:
            raise UserError(f"{path} is there already: give another name, or --force to replace it")
