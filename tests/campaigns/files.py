"""Files that a kill left cut off, or that nobody removed."""

import json
import sqlite3
from pathlib import Path

from pinas_mm.errors import UserError
from pinas_mm.weights.checkpoint import read_checkpoint

LEFT_BEHIND = (".tmp", ".part", ".writable")


def damaged_files(folder: Path) -> list[str]:
    """What is wrong in a folder after its last start has ended."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                found += [f"{path} is left behind"] if path.name.endswith(LEFT_BEHIND) else []
                _read(path)
            except (OSError, ValueError, UserError, sqlite3.Error) as error:
                found.append(f"{path}: {error}")
    return found


def _read(path: Path) -> None:
    if path.suffix == ".pth":
        read_checkpoint(path)
    elif path.parent.name == "vis_data" and path.suffix == ".json":
        text = path.read_text()
        if text and not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        for line in text.splitlines():
            json.loads(line)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".db":
        with sqlite3.connect(path) as connection:
            (result,) = connection.execute("PRAGMA integrity_check").fetchone()
        if result != "ok":
            raise ValueError(result)
