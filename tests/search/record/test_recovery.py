"""Running trials that nobody finishes: those of strangers, and of a clock that was set back."""

import time
from datetime import timedelta
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy
from optuna.storages._rdb.models import TrialHeartbeatModel
from records import fill

from pinas_mm.search.record import recovery
from pinas_mm.search.record.encoding import distributions


def asked(url, space):
    """A trial that a user's own script asks for, and the script's study."""
    study = optuna.load_study(study_name="strange", storage=url)
    return study, study.ask(distributions(space))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_strangers_trial_is_waited_for_no_longer_than_the_grace_period(
    open_record, request, space, printed, monkeypatch, database
):
    now = [0.0]
    monkeypatch.setattr(recovery, "time", SimpleNamespace(monotonic=lambda: now[0]))
    url = request.getfixturevalue(database).replace("postgresql:", "postgresql+psycopg:")
    record = open_record(url, study="strange", trials=4)
    study, trial = asked(url, space)
    assert len(fill(record)) == 3
    assert not record.finished()
    now[0] += 61
    # Who comes later knows no better at first.
    later = open_record(url, study="strange", trials=4)
    assert later.claim(1) == []
    fresh = fill(record)
    assert len(fresh) == 1
    assert tuple(fresh[0].arch) != tuple(trial.params.values())
    assert record.finished()
    assert record.claim(1) == []
    assert printed().count("another program has begun, without a sign of life") == 1
    # What it says in the end is a result like others.
    trial.set_user_attr("metrics", {"score": 0.5})
    trial.set_user_attr("costs", {"macs": 1.0})
    study.tell(trial, 0.5)
    assert record.finished()
    assert len(record.findings().evaluated) == 5


def test_a_strangers_trial_with_signs_of_life_is_waited_for(open_record, sqlite, space):
    record = open_record(sqlite, study="strange", trials=2, grace=2)
    _, trial = asked(sqlite, space)
    assert len(fill(record)) == 1
    end = time.monotonic() + 4
    while time.monotonic() < end:
        record._storage.record_heartbeat(trial._trial_id)
        assert record.claim(1) == []
        assert not record.finished()
        time.sleep(0.3)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("ahead", "silent"), [(86_400, True), (30, False), (-86_400, True)])
def test_a_sign_of_life_of_another_day_is_none(open_record, request, database, ahead, silent):
    url = request.getfixturevalue(database)
    record = open_record(url, study=f"clock{ahead}", trials=2)
    (claim,) = record.claim(1)
    # As a worker leaves it that is killed before the clock is set.
    beats = TrialHeartbeatModel.__table__
    mine = beats.c.trial_id == claim.trial._trial_id
    with record._storage.engine.begin() as connection:
        now = connection.execute(sqlalchemy.select(sqlalchemy.func.now())).scalar_one()
        moved = now.replace(tzinfo=None) + timedelta(seconds=ahead)
        connection.execute(beats.update().where(mine).values(heartbeat=moved))
    other = open_record(url, study=f"clock{ahead}", trials=2)
    (taken,) = other.claim(1)
    assert (taken.trial.number == claim.trial.number) == silent
