"""Many workers at one record: nobody waits while a sampler thinks, nothing is chosen twice."""

import threading
import time

import pytest
from optuna.trial import TrialState


def while_thinking(record, work) -> list:
    """Has ``work`` done while the record's sampler thinks, the first time; returns when it did."""
    propose, times = record.study.sampler.propose, []

    def thinking(history, rng):
        times.append(None)
        if len(times) == 1:
            work()
        return propose(history, rng)

    record.study.sampler.propose = thinking
    return times


def finish(record, claim) -> bool:
    return record.finish(claim, {"score": float(sum(claim.arch))})


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_others_claim_and_finish_while_a_sampler_thinks(open_record, request, database):
    url = request.getfixturevalue(database)
    record, other = open_record(url, study="thinking"), open_record(url, study="thinking")
    done = []

    def work():
        for claim in other.claim(2):
            done.append(finish(other, claim))
        done.append(other.finished())

    def in_time():
        # Where the lock was held, this would wait for ever.
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        worker.join(60)

    while_thinking(record, in_time)
    (claim,) = record.claim(1)
    assert done == [True, True, False]
    assert claim.trial.number == 0
    assert finish(record, claim)
    assert [trial.state.name for trial in other.study.trials] == ["COMPLETE"] * 3
    assert tuple(record.study.trials[0].params.values()) == claim.arch


def test_what_another_took_meanwhile_is_not_taken_again(open_record, sqlite, space):
    record, other = open_record(sqlite), open_record(sqlite)
    wanted, theirs = (1, 2, 3), []
    for sampler in (record.study.sampler, other.study.sampler):
        sampler.propose = lambda history, rng: wanted
    asked = while_thinking(record, lambda: theirs.extend(other.claim(1)))
    (mine,) = record.claim(1)
    assert theirs[0].arch == wanted
    assert len(asked) == 2
    # The nearest that is left.
    assert sum(a != b for a, b in zip(mine.arch, wanted, strict=True)) == 1
    assert finish(record, mine)
    assert finish(other, theirs[0])


def test_the_last_architecture_is_for_one(open_record, sqlite, space):
    options = dict(trials=1000, sampler="RandomSampler")
    record, other = open_record(sqlite, **options), open_record(sqlite, **options)
    for claim in record.claim(space.size - 1):
        assert finish(record, claim)
    said = []
    choose = record._choose

    def slowly(*entered):
        said.extend([other.claim(5), other.finished()])
        return choose(*entered)

    record._choose = slowly
    (last,) = record.claim(5)
    assert said == [[], False]
    assert finish(record, last)
    assert other.finished()
    assert len({tuple(trial.params.values()) for trial in other.study.trials}) == space.size


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
def test_who_is_stopped_while_it_thinks_gives_all_back(open_record, sqlite, fault):
    record, other = open_record(sqlite), open_record(sqlite)
    propose = record.study.sampler.propose
    calls = []

    def stopped(history, rng):
        calls.append(None)
        if len(calls) == 3:
            raise fault
        return propose(history, rng)

    record.study.sampler.propose = stopped
    with pytest.raises(fault):
        record.claim(4)
    assert [trial.state for trial in other.study.trials] == [TrialState.WAITING] * 3
    assert [claim.trial.number for claim in other.claim(4)] == [0, 1, 2, 3]


def test_who_dies_while_it_thinks_is_given_its_time(open_record, sqlite):
    record, other = open_record(sqlite, grace=2), open_record(sqlite, grace=2)
    # As a process leaves it that is killed meanwhile.
    record._access.locked(lambda: record._enter([], others=False))
    (claim,) = other.claim(1)
    assert claim.trial.number == 1
    with other.beating([claim]):
        time.sleep(3.2)
        (taken,) = other.claim(1)
    assert taken.trial.number == 0
    assert finish(other, taken)


def test_who_thinks_for_too_long_has_lost_its_trial(open_record, sqlite):
    record, other = open_record(sqlite), open_record(sqlite)
    taken = []

    def work():
        other._access.locked(lambda: other._storage.set_trial_state_values(1, TrialState.WAITING))
        taken.extend(other.claim(1))

    while_thinking(record, work)
    claims = record.claim(1)
    assert [claim.trial.number for claim in taken] == [0]
    assert [claim.trial.number for claim in claims] == [1]
    assert finish(other, taken[0])
    assert finish(record, claims[0])
