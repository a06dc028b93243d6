"""The report of a running search, written by a process beside it.

Pictures of thousands of architectures take seconds of plain Python: in a thread they would hold up
each operation of the evaluation that goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

from pinas_mm.errors import UserError
from pinas_mm.handing import handed, received
from pinas_mm.search.report.report import Report

# How much the process yields to those that evaluate, as of the command nice.
NICENESS = 10


class ReportProcess:
    """Writes reports, one at a time, in processes that have the lowest claim on the cores.

    They are started as programs of their own: a process of a pool runs the caller's script again,
    and a script that searches has trained before.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        # A file: a pipe that nobody reads would stop who warns a lot.
        self._said = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  As long as this is there.

    def write(self, report: Report) -> None:
        """Begins to write a report, unless the one before is still being written.

        Args:
            report: it.

        Raises:
            UserError: the one before could not be written.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.wait()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._said.seek(0)
        self._said.truncate()
        with handed(report) as stdin:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                env=environment,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
            )

    def wait(self) -> None:
        """Waits for the report in work.

        Raises:
            UserError: it could not be written.
        """
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.wait():
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
            last = lines[-1] if lines else f"its process ended with status {process.returncode}"
            raise UserError(f"the report cannot be written now ({last}): the search goes on")


def main() -> None:
    """Writes the report that standard input has."""
    # Ctrl-C is for the search, which waits for a report that has been begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        report: Report = received()
    except EOFError:
        sys.exit("the search is gone")
    try:
        report.write()
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
