"""Objects for a process that is started as a program, through its standard input."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any


@contextlib.contextmanager
def handed(content: Any) -> Iterator[int]:
    """While open, a file descriptor that a process takes as its standard input.

    Nobody waits for it to read, which it may do when it has loaded its libraries; where it is gone
    by then, its status says so.

    Args:
        content: what :func:`received` gives there; it can be pickled.

    Example:
        >>> import subprocess, sys
        >>> code = "from pinas_mm.handing import received; print(sum(received()))"
        >>> with handed([1, 2]) as stdin:
        ...     process = subprocess.Popen(
        ...         [sys.executable, "-c", code], stdin=stdin, stdout=subprocess.PIPE
        ...     )
        >>> int(process.communicate()[0])
        3
    """
    reading, writing = multiprocessing.Pipe(duplex=False)
    with reading:
        try:
            yield reading.fileno()
        except BaseException:
            writing.close()
            raise
    threading.Thread(target=_send, args=(writing, content), daemon=True).start()


def received() -> Any:
    """What the process that started this one has handed over.

    Raises:
        EOFError: it is gone, and nothing will come.
    """
    try:
        return Connection(os.dup(sys.stdin.fileno()), writable=False).recv()
    except OSError as error:  # It went away while it was sending.
        raise EOFError(str(error)) from error


def _send(writing: Connection, content: Any) -> None:
    with writing, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        writing.send(content)
