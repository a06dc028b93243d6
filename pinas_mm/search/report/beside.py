"""The report of a running search, written by a process beside it.

Pictures of thousands of architectures take seconds of plain Python: in a thread they would hold up
each operation of the evaluation that goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, cast

from pinas_mm.errors import UserError
from pinas_mm.search.report.report import write_report

# How much the process yields to those that evaluate, as of the command nice.
NICENESS = 10


class Beside:
    """Writes reports, one at a time, in a process that has the lowest claim on the cores."""

    def __init__(self) -> None:
        self._process: ProcessPoolExecutor | None = None
        self._report: Future[None] | None = None

    def write(self, *report: Any) -> None:
        """Begins to write a report, unless the one before is still being written.

        Args:
            report: arguments of :func:`~pinas_mm.search.report.report.write_report`.

        Raises:
            UserError: the one before could not be written.
        """
        if self._report is not None and not self._report.done():
            return
        self._finish()
        if self._process is None:
            # Forked it would share this process's threads' locks.
            spawn = multiprocessing.get_context("spawn")
            self._process = ProcessPoolExecutor(1, spawn, initializer=_yield_to_others)
        self._report = self._process.submit(write_report, *report)

    def wait(self) -> None:
        """Waits for the report in work, and ends the process.

        Raises:
            UserError: it could not be written.
        """
        try:
            self._finish()
        finally:
            if self._process is not None:
                self._process.shutdown()
                self._process = None

    def _finish(self) -> None:
        report, self._report = self._report, None
        if report is None:
            return
        try:
            report.result()
        except OSError as error:
            said = f"{error.filename}: {error.strerror}"
        except BrokenProcessPool as error:
            self._process, said = None, str(error)
        else:
            return
        raise UserError(f"the report cannot be written now ({said}): the search goes on")


def _yield_to_others() -> None:
    # Ctrl-C is for the search, which waits for a report that has been begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    threading.Thread(target=_end_with_the_search, daemon=True).start()


def _end_with_the_search() -> None:
    cast(Any, multiprocessing.parent_process()).join()
    os._exit(1)
