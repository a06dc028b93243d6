"""The exception that means: the user can fix this, and the message says how; what others say."""

from __future__ import annotations

import site
import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# Where code lives that a user has not written.
LIBRARIES = (
    *(Path(folder).resolve() for folder in site.getsitepackages()),
    Path(sysconfig.get_path("stdlib")).resolve(),
    PACKAGE,
    PACKAGE.parent / "tools",
)


class UserError(ValueError):
    """Bad input: the text says what was given, what is allowed and what to do.

    The tools print it as a single line and exit with status 2. Libraries on the way (mmengine's
    registries, PyTorch's data workers) re-raise exceptions as ``type(error)(text)``, so it takes
    one string.
    """


def user_line(error: BaseException) -> str:
    """Where in the user's own code an exception was raised: file, line and function; empty where it
    was not.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if file.is_file() and not any(file.resolve().is_relative_to(at) for at in LIBRARIES):
            return f"in {file}:{line}, {frame.f_code.co_name}"
    return ""


def raised_at(error: BaseException) -> str:
    """Where an exception was raised, as ``file.py:12``; empty where that is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def reason(error: BaseException, last: bool = False) -> str:
    """What an exception says, in a line: its text's first, or the name of its type.

    Args:
        error: the exception.
        last: the last line instead, where libraries put theirs after others'.

    Example:
        >>> reason(ValueError('no images\\nin the folder')), reason(KeyError())
        ('no images', 'KeyError')
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1 if last else 0]


def joined(error: BaseException) -> str:
    """All lines that an exception says as one, or the name of its type."""
    return " ".join(str(error).split()) or type(error).__name__
