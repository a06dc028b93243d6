"""A PostgreSQL server of one's own, which can be stopped and started again."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from conftest import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
# What ending it means to PostgreSQL: its clients are told, or find their connections closed.
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


class Server:
    """A PostgreSQL server of its own, which can be stopped and started.

    Args:
        binaries: folder of PostgreSQL's programs.
        before: called in the server's process before it is one.

    Attributes:
        url: of its database.
    """

    def __init__(self, binaries: Path, before: Callable[[], None] | None = None) -> None:
        self._binaries, self._before = binaries, before
        # The server refuses to run as root, and other users cannot enter pytest's folders.
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder, port = Path(tempfile.mkdtemp(prefix="pinas_postgresql_")), free_port()
        if self._user:
            shutil.chown(self._folder, self._user)
        data = str(self._folder / "data")
        self._command = ["postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port)]
        self._command += ["-k", str(self._folder), "-c", "fsync=off"]
        self.url = f"postgresql://pinas@127.0.0.1:{port}/postgres"
        self._run("initdb", "-E", "UTF8", "-A", "trust", "-U", "pinas", "-D", data).wait()

    def start(self) -> None:
        """Returns when it takes connections."""
        self._process = self._run(*self._command)
        end = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < end:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self, how: signal.Signals = IMMEDIATE) -> None:
        """At once, as a crash does, or in order; returns when it is down."""
        self._process.send_signal(how)
        self._process.wait()

    def remove(self) -> None:
        """Stops it for good."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, name: str, *arguments: str) -> subprocess.Popen:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / name, *arguments],
                user=self._user,
                cwd=self._folder,
                env={"LC_ALL": "C"},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._before,
            )
