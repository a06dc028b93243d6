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


@pytest.fixture(scope="session")
def postgresql() -> str:
    """URL of a fresh database of a PostgreSQL server that this session starts and stops."""
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not servers:
        pytest.skip("PostgreSQL is not installed here: bash tools/install_debian.sh")
    # The server refuses to run as root, and other users cannot enter pytest's folders.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pinas_postgresql_"))
    if user:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        subprocess.run(
            command, user=user, cwd=folder, check=True, capture_output=True, env={"LC_ALL": "C"}
        )

    port = free_port()
    data, log = str(folder / "data"), str(folder / "log")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    run(str(servers[-1] / "initdb"), "-E", "UTF8", "-A", "trust", "-U", "pinas", "-D", data)
    run(str(servers[-1] / "pg_ctl"), "-w", "-D", data, "-l", log, "-o", options, "start")
    try:
        yield f"postgresql://pinas@127.0.0.1:{port}/postgres"
    finally:
        run(str(servers[-1] / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


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
