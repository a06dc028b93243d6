"""The record: claims, ends, retries, refusals."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest
from sqlalchemy import event

from pinas_mm.errors import UserError


def score(arch) -> dict[str, float]:
    return {"score": float(sum(arch)), "other": 1.0}


def fill(record, number: int) -> list:
    claims = record.claim(number)
    for claim in claims:
        assert record.finish(claim, score(claim.arch))
    return claims


def test_claims_are_different_and_end_with_the_trials(open_record, sqlite):
    record = open_record(sqlite)
    first = fill(record, 8)
    second = fill(record, 50)
    assert len(first) == 8
    assert len(second) == 12
    assert len({claim.arch for claim in first + second}) == 20
    assert record.claim(1) == []
    assert record.finished()


def test_one_process_sees_the_claims_of_another(open_record, sqlite):
    one, other = open_record(sqlite), open_record(sqlite)
    mine, theirs = one.claim(10), other.claim(20)
    assert len(mine) == len(theirs) == 10
    assert len({claim.arch for claim in mine + theirs}) == 20
    assert one.claim(1) == []
    assert not one.finished()


def test_findings_have_metrics_costs_and_states(open_record, sqlite, space):
    record = open_record(sqlite)
    claims = fill(record, 5)
    record.claim(1)
    found = record.findings("checkpoint.pth", "EvolutionSampler")
    assert {e.arch for e in found.evaluated} == {claim.arch for claim in claims}
    best = found.best(1)[0]
    assert best.values == (max(sum(claim.arch) for claim in claims),)
    assert best.metrics == score(best.arch)
    assert best.costs == record.costs(best.arch)
    assert found.states["complete"] == 5
    assert found.states["running"] == 1
    json.dumps(found.to_dict())


def test_released_claims_are_claimed_again_first(open_record, sqlite):
    record = open_record(sqlite)
    claims = record.claim(4)
    record.release(claims[:3])
    again = record.claim(3)
    assert [claim.arch for claim in again] == [claim.arch for claim in claims[:3]]
    assert len(record.study.trials) == 4


def test_what_is_entered_when_interrupted_is_put_back(open_record, sqlite, monkeypatch):
    record = open_record(sqlite)
    locked, calls = record._access.locked, []

    def interrupted(work, **options):
        # Ctrl-C within a transaction is put off to its end.
        found = locked(work, **options)
        calls.append(work)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(record._access, "locked", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record.claim(4)
    # Of two one had its architecture.
    assert [trial.state.name for trial in record.study.trials] == ["WAITING"] * 2


def test_trial_without_heartbeat_is_taken_over_and_its_late_result_dropped(open_record, sqlite):
    slow, quick = open_record(sqlite, grace=2), open_record(sqlite, grace=2)
    claim = slow.claim(1)[0]
    time.sleep(3.2)
    taken = quick.claim(1)[0]
    assert taken.arch == claim.arch
    assert quick.finish(taken, score(taken.arch))
    assert not slow.finish(claim, score(claim.arch))
    assert [trial.state.name for trial in quick.study.trials] == ["COMPLETE"]


def test_beating_claims_are_not_taken_over(open_record, sqlite):
    one, other = open_record(sqlite, grace=2), open_record(sqlite, grace=2)
    claim = one.claim(1)[0]
    with one.beating([claim]):
        time.sleep(4.2)
        assert claim.arch not in {c.arch for c in other.claim(5)}
    assert one.finish(claim, score(claim.arch))


def test_database_that_is_away_for_a_moment_stops_no_heartbeat(open_record, sqlite):
    record = open_record(sqlite)
    claim = record.claim(1)[0]
    beats = []

    def away(connection, *_) -> None:
        beats.append(None)
        if len(beats) == 1:
            raise sqlite3.OperationalError("disk I/O error")

    event.listen(record._storage.engine, "before_cursor_execute", away, named=False)
    with record.beating([claim]):
        deadline = time.monotonic() + 30
        while len(beats) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert len(beats) >= 4


def test_killed_while_choosing_nothing_is_lost(open_record, sqlite):
    record = open_record(sqlite)
    # As a process killed between Optuna's new trial and its parameters leaves it.
    record.study.ask()
    claims = fill(record, 20)
    assert len(claims) == 20
    assert [t.state.name for t in record.study.trials] == ["COMPLETE"] * 20


@pytest.mark.slow
def test_architecture_that_kills_its_workers_is_given_up(open_record, sqlite):
    record = open_record(sqlite, grace=1)
    poison = record.claim(1)[0].arch
    for _ in range(4):
        time.sleep(2.2)
        assert record.claim(1)[0].arch == poison
    time.sleep(2.2)
    fresh = fill(record, 20)
    assert poison not in {claim.arch for claim in fresh}
    assert len(fresh) == 20
    assert record.finished()


def test_small_space_ends_when_all_is_evaluated(open_record, sqlite, space):
    record = open_record(sqlite, trials=1000, sampler="RandomSampler")
    assert len(fill(record, 1000)) == space.size
    assert record.finished()


def test_budget_may_change_between_runs(open_record, sqlite):
    record = open_record(sqlite, sampler="RandomSampler")
    fill(record, 20)
    costs = sorted(e.costs["macs"] for e in record.findings().evaluated)
    narrow = open_record(sqlite, trials=30, constraints=[f"macs<={costs[9]}"])
    assert len(narrow.findings().evaluated) == 10
    assert all(narrow.costs(c.arch)["macs"] <= costs[9] for c in fill(narrow, 30))


def test_what_waits_and_is_outside_a_new_budget_is_not_evaluated(open_record, sqlite):
    record = open_record(sqlite, sampler="RandomSampler")
    claims = record.claim(8)
    record.release(claims)
    costs = sorted(record.costs(claim.arch)["macs"] for claim in claims)
    narrow = open_record(sqlite, sampler="RandomSampler", constraints=[f"macs<={costs[3]}"])
    evaluated = fill(narrow, 20)
    assert len(evaluated) == 20
    assert all(narrow.costs(claim.arch)["macs"] <= costs[3] for claim in evaluated)
    assert narrow.finished()


def test_other_search_is_refused_with_the_difference(open_record, sqlite):
    open_record(sqlite, identity={"checkpoint": "aaaa", "space": [1]})
    with pytest.raises(UserError, match=r"checkpoint was aaaa and is now bbbb.*--study-name"):
        open_record(sqlite, identity={"checkpoint": "bbbb", "space": [1]})
    open_record(sqlite, identity={"checkpoint": "bbbb", "space": [1]}, study="another")


def test_refusal_names_what_differs_deep_inside(open_record, sqlite):
    space = {"candidates": [{"radix": 1, "groups": 1, "base_width": w} for w in range(64, 72)]}
    other = json.loads(json.dumps(space))
    other["candidates"][7]["groups"] = 2
    open_record(sqlite, identity={"space": space, "seed": 0})
    differs = r"search: space\.candidates\[7\]\.groups was 1 and is now 2\. Take"
    with pytest.raises(UserError, match=differs):
        open_record(sqlite, identity={"space": other, "seed": 0})


def test_somebody_elses_study_is_refused(open_record, sqlite):
    foreign = optuna.create_study(storage=sqlite, study_name="search")
    foreign.add_trial(optuna.create_trial(value=0.0))
    with pytest.raises(UserError, match="holds another search"):
        open_record(sqlite)


def test_missing_objective_is_an_error(open_record, sqlite):
    record = open_record(sqlite)
    claim = record.claim(1)[0]
    with pytest.raises(UserError, match=r"objective score is not among .*other"):
        record.finish(claim, {"other": 1.0})


def test_architecture_without_a_number_fails_and_a_supernet_without_any_is_an_error(
    open_record, sqlite
):
    record = open_record(sqlite)
    first, second = record.claim(2)
    with pytest.raises(UserError, match="nan, and no architecture a number so far"):
        record.finish(first, {"score": float("nan")})
    assert record.finish(second, score(second.arch))
    assert record.finish(first, {"score": float("nan")})
    assert record.findings().states["fail"] == 1
    rest = fill(record, 20)
    assert len(rest) == 19
    assert first.arch not in {claim.arch for claim in rest}
    assert record.finished()


def test_costs_can_be_objectives(open_record, sqlite):
    record = open_record(sqlite, objectives=["score", "macs"])
    claims = fill(record, 20)
    found = record.findings()
    cheapest = min(record.costs(claim.arch)["macs"] for claim in claims)
    assert min(e.values[1] for e in found.front()) == cheapest


def test_full_disk_is_an_error_and_the_record_stays_valid(open_record, sqlite):
    record = open_record(sqlite, trials=60)
    fill(record, 5)
    pages = []

    def limit(connection, *_) -> None:
        pages[:] = pages or connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages[0] + 2}")

    event.listen(record._storage.engine, "checkout", limit)
    with pytest.raises(UserError, match=r"full.*Finished trials are kept.*the same command"):
        fill(record, 50)
    record._storage.engine.dispose()
    after = open_record(sqlite, trials=60, grace=2)
    found = after.findings()
    assert len(found.evaluated) >= 5
    assert all(e.metrics == score(e.arch) for e in found.evaluated)
    time.sleep(3.2)
    # What was in work when the disk was full may have to be evaluated alone.
    while fill(after, 60):
        pass
    assert after.finished()
    assert after.findings().states["complete"] == 60


def test_resumed_search_proposes_what_the_unbroken_one_would(open_record, tmp_path):
    def archs(name: str, breaks: list[int]) -> list:
        for stop in [*breaks, 20]:
            record = open_record(f"sqlite:///{tmp_path / name}")
            fill(record, stop)
        trials = sorted(record.study.trials, key=lambda trial: trial.number)
        return [tuple(trial.params.values()) for trial in trials]

    whole = archs("whole.db", [4, 4, 4, 4])
    assert archs("broken.db", [4, 4, 4, 4]) == whole


def test_times_are_right_across_time_zones(open_record, sqlite, monkeypatch):
    record = open_record(sqlite)
    try:
        for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            fill(record, 1)
    finally:
        monkeypatch.undo()
        time.tzset()
    found = record.findings().evaluated
    assert [e.trial for e in found] == [0, 1, 2]
    assert 0 < found[0].seconds <= found[1].seconds <= found[2].seconds < 3600


def test_reading_dashboards_see_plain_optuna(open_record, sqlite, space):
    fill(open_record(sqlite), 20)
    study = optuna.load_study(study_name="search", storage=sqlite)
    assert study.best_trial.user_attrs["arch"].count("-") == len(space.depths) - 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://nobody:secret@127.0.0.1:9/none", "cannot be reached"),
        ("no url", "is no database URL"),
        ("oracle://host/name", "no driver|cannot"),
        ("sqlite:////proc/none/search.db", "cannot"),
    ],
)
def test_unreachable_storage(open_record, url, message):
    with pytest.raises(UserError, match=message) as error:
        open_record(url)
    assert "secret" not in str(error.value)


def test_lock_of_a_killed_process_is_free(open_record, sqlite):
    record = open_record(sqlite)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from filelock import FileLock\n"
            "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)",
            f"{record._storage.engine.url.database}.lock",
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert len(record.claim(2)) == 2
