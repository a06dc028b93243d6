"""Tools in processes of their own that need no time to start, and what was done to them."""

import contextlib
import ctypes
import dataclasses
import multiprocessing
import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FORK = multiprocessing.get_context("fork")
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """What a killed campaign started does not go on without it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


class Run:
    """A tool's ``main`` in a process forked from this one, which has imported everything.

    Args:
        tool: a file in ``tools/``.
        arguments: of its command line.
        log: file for what it prints.
    """

    def __init__(self, tool: str, arguments: list, log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        command = [str(REPOSITORY / "tools" / tool), *map(str, arguments)]
        self.process = FORK.Process(target=self._main, args=(command,))
        self.began = time.monotonic()
        self.process.start()
        self.pid = self.process.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.process.exitcode

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float, event: Callable[[], bool] = lambda: False) -> bool:
        """Whether it still runs after some time, or when an event came before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not event():
            self.process.join(0.002)
            if self.status is not None:
                return False
        return self.status is None

    def helpers(self) -> list[int]:
        """Processes that it started and that run."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return list(map(int, children.read_text().split())) if children.exists() else []

    def kill(self, pid: int | None = None) -> None:
        """Kills it or one of its helpers."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or self.pid, signal.SIGKILL)
        if pid is None:
            self.process.join()

    def kill_all(self) -> None:
        """Kills it with its helpers, as when a machine goes down."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    def left_behind(self, seconds: float) -> bool:
        """Whether helpers of it go on after some time; they are killed then."""
        end = time.monotonic() + seconds
        while self._group_lives():
            if time.monotonic() > end:
                self.kill_all()
                return True
            time.sleep(0.1)
        return False

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _main(self, command: list[str]) -> None:
        os.setpgid(0, 0)
        die_with_parent()
        output = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


@dataclasses.dataclass
class Round:
    """What was done to one run and what came of it; everything after ``restarts`` should be 0.

    Attributes:
        kills, stops, restarts: of processes, of processes that went on or were killed, of
            databases.
        starts: of the tool.
        lost, doubled: iterations, validations or trials that are missing or there twice.
        differing: losses, metrics and weights that are not those of the unbroken run.
        half_written: files that are not whole, or left behind.
        not_gone_on: starts that ended by themselves with another status than 0, or not at all.
        faults: what was wrong, in words.
    """

    kills: int = 0
    stops: int = 0
    restarts: int = 0
    starts: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    half_written: int = 0
    not_gone_on: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def fault(self, kind: str, text: str, number: int = 1) -> None:
        """Counts faults of a kind."""
        if number:
            setattr(self, kind, getattr(self, kind) + number)
            self.faults.append(f"{kind}: {text}")

    def ended(self, run: Run) -> None:
        """Looks at how a start ended that nobody ended."""
        if run.status:
            lines = run.printed.strip().splitlines() or ["nothing printed"]
            self.fault("not_gone_on", f"status {run.status}: {lines[-1][:300]}")

    def stop(self, run: Run, pid: int, rng: random.Random, longest: float) -> None:
        """Stops a process for a while and lets it go on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.stops += 1
            time.sleep(rng.uniform(0, longest))
            os.kill(pid, signal.SIGCONT)
