"""Opening a search's database."""

import multiprocessing

import psycopg
import pytest

from pinas_mm.errors import UserError
from pinas_mm.search.record.storage import _with_driver

TOGETHER = 4


def fresh(request, database: str, number: int) -> str:
    """URL of a database without tables."""
    if database == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path') / f'{number}.db'}"
    url = request.getfixturevalue("postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE together_{number}")
    return url.replace("/postgres", f"/together_{number}")


def open_at(start, open_record, url: str, told) -> None:
    start.wait()
    try:
        open_record(url)
        told.put("")
    except Exception as error:
        told.put(repr(error))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_workers_that_start_together_make_one_database(database, open_record, request):
    context = multiprocessing.get_context("fork")
    for number in range(2):
        url = fresh(request, database, number)
        start, told = context.Barrier(TOGETHER), context.Queue()
        arguments = start, open_record, url, told
        workers = [context.Process(target=open_at, args=arguments) for _ in range(TOGETHER)]
        for worker in workers:
            worker.start()
        assert [told.get(timeout=120) for _ in workers] == [""] * TOGETHER
        for worker in workers:
            worker.join()


@pytest.mark.parametrize("name", ["a%20b", "a?b=c", "a#b", "a b", "Größe", "50%"])
def test_a_record_is_where_its_path_says(open_record, tmp_path, monkeypatch, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = tmp_path / name / "search.db"
    record = open_record(path, trials=2)
    (claim,) = record.claim(1)
    assert record.finish(claim, {"score": 1.0})
    assert len(open_record(path, trials=2).findings().evaluated) == 1
    assert path.is_file()
    assert (tmp_path / name / "search.db.lock").is_file()
    assert not list(elsewhere.iterdir())
    with pytest.raises(UserError, match=r"the record search\.db holds another search: made was"):
        open_record(path, identity={"made": "otherwise"})


def test_postgresql_means_the_driver_that_is_named_for_it():
    # SQLAlchemy before 2.1 takes psycopg2 for a URL without a driver.
    assert _with_driver("postgresql://me:p%40ss@host/name") == (
        "postgresql+psycopg://me:p%40ss@host/name"
    )
    for url in ("postgresql+psycopg2://me@host/name", "mysql+pymysql://me@host/name", "sqlite://"):
        assert _with_driver(url) == url
