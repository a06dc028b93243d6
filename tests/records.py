"""Records of small searches, and a real PostgreSQL server."""

import pytest
from made_findings import counted
from postgres import BINARIES, Server

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.record import Record
from pinas_mm.search.samplers import build_sampler


@pytest.fixture(scope="session")
def postgresql_server() -> Server:
    """A PostgreSQL server that this session starts and stops."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed here: bash tools/install_debian.sh")
    server = Server(BINARIES[-1])
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


def fill(record: Record, number: int = 50) -> list:
    """Finishes what there is to claim, ``number`` at a time, each scored by its numbers' sum."""
    claims = []
    while batch := record.claim(number):
        claims += batch
        assert all(record.finish(claim, {"score": float(sum(claim.arch))}) for claim in batch)
    return claims
