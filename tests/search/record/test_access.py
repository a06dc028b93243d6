"""A database that is away for a while: nothing is lost, nothing done twice."""

import gc
import os
import signal
import sqlite3
import threading
import time

import pytest
import sqlalchemy
from postgres import IMMEDIATE

from pinas_mm.errors import UserError
from pinas_mm.search.record.checked_storage import CheckedStorage
from pinas_mm.search.worker import work


def score(arch) -> dict[str, float]:
    return {"score": float(sum(arch))}


class Restarted:
    """Scores; while the second batch is evaluated the server stops, and starts a moment later."""

    def __init__(self, server):
        self.server, self.batches, self.seen = server, 0, []

    def evaluate(self, archs, on_batch=None, progress=None):
        self.batches += 1
        self.seen += archs
        if self.batches == 2:
            self.server.stop()
            self.starting = threading.Timer(1.5, self.server.start)
            self.starting.start()
        return [score(arch) for arch in archs]


def test_a_restart_of_the_server_loses_no_batch(open_record, postgresql_server, printed):
    record = open_record(postgresql_server.url, study="restarted", trials=12)
    other = open_record(postgresql_server.url, study="restarted", trials=12)
    evaluator = Restarted(postgresql_server)
    work(record, evaluator, batch=4)
    evaluator.starting.join()
    assert len(evaluator.seen) == len(set(evaluator.seen)) == 12
    # A connection that the restart ended is found out before it is used.
    assert [trial.state.name for trial in other.study.trials] == ["COMPLETE"] * 12
    assert all("died" not in trial.user_attrs for trial in other.study.trials)
    out = printed()
    assert out.count("database not reachable, trying again until") == 1
    assert "database reachable again" in out


def test_a_connection_dropped_after_its_server_says_nothing(
    open_record, postgresql_server, capfd, caplog
):
    """SQLAlchemy's pool logged a traceback when such a one was collected."""
    engine = open_record(postgresql_server.url, study="dropped")._storage.engine
    connection = engine.connect()
    connection.execute(sqlalchemy.text("SELECT 1"))
    postgresql_server.stop(IMMEDIATE)
    postgresql_server.start()
    del connection
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err + caplog.text


def test_a_connection_that_was_left_within_a_statement_is_replaced(open_record, postgresql_server):
    record = open_record(postgresql_server.url, study="broken off", trials=4)
    engine = record._storage.engine
    pooled = [engine.raw_connection() for _ in range(engine.pool.checkedin())]
    connections = [connection.driver_connection for connection in pooled]
    assert connections
    for one in pooled:
        one.close()
    for one in connections:
        # As a signal leaves it that arrives while the driver waits for the server.
        one.pgconn.send_query(b"SELECT 1")
    assert len(record.claim(4)) == 4


def test_who_comes_while_the_server_restarts_waits(open_record, postgresql_server, monkeypatch):
    opened, creations = CheckedStorage.__init__, []

    def restarting(self, *args, **options):
        creations.append(None)
        opened(self, *args, **options)
        if len(creations) == 1:
            postgresql_server.stop()
            threading.Timer(1.0, postgresql_server.start).start()
            self.get_all_studies()

    monkeypatch.setattr(CheckedStorage, "__init__", restarting)
    assert len(open_record(postgresql_server.url, study="coming").claim(2)) == 2
    assert len(creations) > 1


@pytest.mark.parametrize("step", ["enter", "_keep"])
def test_a_lock_lost_in_the_middle_writes_nothing(open_record, postgresql_server, step):
    record = open_record(postgresql_server.url, study=f"middle{step}", trials=12)
    record.claim(2)
    done, whole = [], getattr(record._claiming, step)

    def restarting(*arguments):
        result = whole(*arguments)
        done.append(result)
        if len(done) == 2:
            postgresql_server.stop()
            postgresql_server.start()
        return result

    setattr(record._claiming, step, restarting)
    claims = record.claim(3)
    assert len(done) == 4
    # What the first try wrote was never in the database.
    assert [claim.trial.number for claim in claims] == [2, 3, 4]
    assert len(record.study.trials) == 5
    assert all(record.finish(claim, score(claim.arch)) for claim in claims)


def test_after_its_time_is_up_a_line_says_what_to_do(open_record, postgresql_server):
    record = open_record(postgresql_server.url, study="late", trials=3, patience=1.5)
    (claim,) = record.claim(1)
    postgresql_server.stop()
    try:
        start = time.monotonic()
        with pytest.raises(UserError, match=r"cannot be reached.*the same command"):
            record.finish(claim, score(claim.arch))
        assert 1.4 < time.monotonic() - start < 20
        # Who gives up does not wait again.
        start = time.monotonic()
        record.release([claim])
        assert time.monotonic() - start < 1.4
    finally:
        postgresql_server.start()
    assert record.finish(claim, score(claim.arch))


def test_a_locked_file_is_waited_for(open_record, tmp_path, monkeypatch, printed):
    monkeypatch.setattr("pinas_mm.search.record.storage.SQLITE_TIMEOUT", 0.1)
    path = tmp_path / "search.db"
    record = open_record(path, trials=3)
    (claim,) = record.claim(1)
    somebody = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    somebody.execute("BEGIN IMMEDIATE")
    threading.Timer(1.0, somebody.execute, ["ROLLBACK"]).start()
    assert record.finish(claim, score(claim.arch))
    assert "trying again until" in printed()


def test_an_outage_makes_nobody_dead(open_record, sqlite):
    record, other = open_record(sqlite, grace=2), open_record(sqlite, grace=2)
    record.claim(1)
    time.sleep(3.2)
    other._access.lost = time.monotonic()
    assert [claim.trial.number for claim in other.claim(2)] == [1, 2]
    other._access.lost = time.monotonic() - 2
    assert [claim.trial.number for claim in other.claim(2)] == [0]


def test_a_result_of_what_was_put_back_is_taken(open_record, sqlite):
    slow, quick = open_record(sqlite, grace=2), open_record(sqlite, grace=2)
    (claim,) = slow.claim(1)
    time.sleep(3.2)
    assert not quick.finished()
    assert slow.finish(claim, score(claim.arch))
    assert [trial.state.name for trial in quick.study.trials] == ["COMPLETE"]


def test_an_interrupt_within_a_transaction_comes_after_it(open_record, tmp_path):
    record = open_record(tmp_path / "search.db")
    done = []

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("the first is put off")
        return done

    with pytest.raises(KeyboardInterrupt):
        record._access.locked(work)
    assert done == ["the first is put off"]
    # The lock is free, and Ctrl-C is what it was.
    assert record._access.locked(lambda: "free", 0) == "free"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def twice():
        work()
        os.kill(os.getpid(), signal.SIGINT)
        done.append("never")

    with pytest.raises(KeyboardInterrupt):
        record._access.locked(twice)
    assert "never" not in done
