"""A PostgreSQL server of one's own, which can be stopped and started again."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
# What ending it means to PostgreSQL: its clients are told, or find their connections closed.
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


class Server:
    """A server with an empty database; runs through a ``with`` block.

    Args:
        port: that it listens on.
        before: called in the server's process before it is one.
    """

    def __init__(self, port: int, before=None) -> None:
        self._port, self._before = port, before
        # The server refuses to run as root, and other users cannot enter pytest's folders.
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="pinas_postgresql_"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self._process = None

    @property
    def url(self) -> str:
        return f"postgresql://pinas@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> "Server":
        command = [
            "initdb",
            "-E",
            "UTF8",
            "-A",
            "trust",
            "-U",
            "pinas",
            "-D",
            self._folder / "data",
        ]
        self._start(command).wait()
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop(IMMEDIATE)
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Returns when it takes connections."""
        command = ["postgres", "-D", self._folder / "data", "-h", "127.0.0.1", "-p", self._port]
        self._process = self._start([*command, "-k", self._folder, "-c", "fsync=off"])
        end = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < end:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self, how: signal.Signals = FAST) -> None:
        """Returns when it is down."""
        self._process.send_signal(how)
        self._process.wait()

    def _start(self, command: list) -> subprocess.Popen:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [FOLDERS[-1] / command[0], *map(str, command[1:])],
                user=self._user,
                cwd=self._folder,
                env={"LC_ALL": "C"},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._before,
            )
