"""Records of small searches, and a real PostgreSQL server."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import free_port
from made_findings import counted

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.record import Record
from pinas_mm.search.samplers import build_sampler


class Server:
    """A PostgreSQL server of its own, which can be stopped and started.

    Attributes:
        url: of its database.
    """

    def __init__(self, binaries: Path) -> None:
        # The server refuses to run as root, and other users cannot enter pytest's folders.
        self._user = "postgres" if os.getuid() == 0 else None
        self._binaries, port = binaries, free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pinas_postgresql_"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self._data, self._log = str(self._folder / "data"), str(self._folder / "log")
        self._options = f"-h 127.0.0.1 -p {port} -k {self._folder} -c fsync=off"
        self._run("initdb", "-E", "UTF8", "-A", "trust", "-U", "pinas", "-D", self._data)
        self.url = f"postgresql://pinas@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        control = ("-w", "-D", self._data, "-l", self._log, "-o", self._options)
        self._run("pg_ctl", *control, "start")

    def stop(self) -> None:
        """At once, as a crash does."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, name: str, *arguments: str) -> None:
        command = (str(self._binaries / name), *arguments)
        options = dict(check=True, capture_output=True, env={"LC_ALL": "C"})
        subprocess.run(command, user=self._user, cwd=self._folder, **options)


@pytest.fixture(scope="session")
def postgresql_server() -> Server:
    """A PostgreSQL server that this session starts and stops."""
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not servers:
        pytest.skip("PostgreSQL is not installed here: bash tools/install_debian.sh")
    server = Server(servers[-1])
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgresql(postgresql_server) -> str:
    """URL of the server's database."""
    return postgresql_server.url


@pytest.fixture
def sqlite(tmp_path) -> str:
    """URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'search.db'}"


@pytest.fixture
def open_record(space):
    """Opens a record on the small space, by default one that evolution fills with 20 trials."""

    def build(url: str, **changes) -> Record:
        objectives = parse_objectives(changes.pop("objectives", "score"))
        costs = list(counted(space).costs.values())
        budget = Budget(space, costs, changes.pop("constraints", ()))
        sampler = changes.pop("sampler", "EvolutionSampler")
        settings = dict(study="search", trials=20, identity={"made": "for tests"}, heartbeat=1)
        settings |= dict(grace=60) | changes
        built = build_sampler(sampler, space, budget, objectives, 0)
        return Record(url, objectives=objectives, budget=budget, sampler=built, **settings)

    return build
