"""Opening a search's database."""

import multiprocessing

import psycopg
import pytest

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
