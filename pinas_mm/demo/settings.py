"""What decides a result is written where the result lies; nothing else is built on it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from pinas_mm.errors import UserError
from pinas_mm.files import write_json
from pinas_mm.model_index import REPOSITORY

FILE = "settings.json"


def sign(folder: Path, settings: Mapping[str, str]) -> None:
    """Writes into a folder what it is begun with; makes the folder."""
    write_json(folder / FILE, settings)


def begun_with(folder: Path) -> dict[str, str]:
    """What a folder was begun with; empty where it does not say."""
    file = folder / FILE
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def check_begun(
    folder: Path,
    settings: Mapping[str, str],
    option: str = "--work-dir",
    traces: str = "[!.]*",
) -> None:
    """Checks that a folder was begun with the same settings, or not at all.

    Args:
        folder: it need not be there.
        settings: that are asked for: all that decides the result.
        option: that gave the folder.
        traces: pattern of files by which a folder that says nothing was begun all the same.

    Raises:
        UserError: it was begun with others, or does not say with which.
    """
    was = begun_with(folder)
    if was == settings or not (was or any(folder.glob(traces))):
        return
    mend = f"give another {option}, or remove it"
    if not was:
        raise UserError(f"{folder} does not say with which settings it was begun: {mend}")
    others = [key for key in {**was, **settings} if was.get(key) != settings.get(key)]
    before, wanted = (
        ", ".join(f"{key} {some.get(key, 'none')}" for key in others) for some in (was, settings)
    )
    raise UserError(f"{folder} was begun with {before}: for {wanted} {mend}")


def told_command(words: Sequence[str], work_dir: Path) -> str:
    """A command with its configs' contents, and with places as seen from its work dir.

    So it reads the same where all of it was moved.
    """
    seen_from = work_dir.resolve()
    return " ".join(_told_word(word, seen_from) for word in words)


def told_config(config: str) -> str:
    """A config's name and a digest of what it says, wherever the images lie.

    Args:
        config: from the repository's root.
    """
    return f"{config} (content {_digest(REPOSITORY / config)})"


def _told_word(word: str, seen_from: Path) -> str:
    key, equals, value = word.rpartition("=")
    if os.path.isabs(value):
        return f"{key}{equals}{os.path.relpath(value, seen_from)}"
    is_config = word.endswith(".py") and "configs" in Path(word).parts
    return told_config(word) if is_config else word


@functools.cache
def _digest(file: Path) -> str:
    cfg = Config.fromfile(file, use_environment_variables=False)
    return hashlib.sha256(repr(cfg.to_dict()).encode()).hexdigest()[:8]
