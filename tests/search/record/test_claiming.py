"""Many workers at one record: nobody waits while a sampler thinks, nothing is chosen twice."""

import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from pinas_mm.search.record.encoding import parameters


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
    choose = record._claiming.choose

    def slowly(*entered):
        said.extend([other.claim(5), other.finished()])
        return choose(*entered)

    record._claiming.choose = slowly
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
    record._access.locked(lambda: record._claiming.enter([], others=False))
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


def test_what_waits_outside_the_budget_here_is_left_to_who_may(open_record, sqlite, printed):
    wide = open_record(sqlite, trials=8, sampler="RandomSampler")
    claims = wide.claim(6)
    wide.release(claims)
    costs = {claim.arch: wide.costs(claim.arch)["macs"] for claim in claims}
    bound = sorted(costs.values())[2]
    outside = {arch for arch, cost in costs.items() if cost > bound}
    narrow = open_record(sqlite, trials=8, sampler="RandomSampler", constraints=[f"macs<={bound}"])
    done = []
    while batch := narrow.claim(3):
        done += [claim.arch for claim in batch]
        assert all(finish(narrow, claim) for claim in batch)
    assert len(done) == 8
    assert not outside & set(done)
    assert set(costs) - outside <= set(done)
    out = printed()
    assert out.count("outside the budget here: left for others") == len(outside)
    # Nothing is waited for, and it is said what is left.
    assert narrow.finished()
    assert f"{len(outside)} trials still wait that are outside the budget here" in printed()
    assert narrow.findings().states["fail"] == 0
    rest = wide.claim(9)
    assert {claim.arch for claim in rest} == outside
    # While somebody is at it, it is waited for.
    assert not narrow.finished()
    assert all(finish(wide, claim) for claim in rest)
    assert wide.finished()
    assert narrow.finished()


def test_a_part_that_nothing_within_the_budget_has_is_left_too(open_record, sqlite, space, printed):
    cost = open_record(sqlite).costs
    dearest = max(range(4), key=lambda c: cost(space.arch((c, 0, 0)))["macs"])
    least = min(cost(space.arch((dearest, a, b)))["macs"] for a in range(4) for b in range(4))
    narrow = open_record(sqlite, trials=3, constraints=[f"macs<={least - 1}"])
    study = optuna.load_study(study_name="search", storage=sqlite)
    study.enqueue_trial({"block_00": dearest})
    assert len(claims := narrow.claim(9)) == 3
    assert "trial 0, a part of one, waited and is outside" in printed()
    assert all(finish(narrow, claim) for claim in claims)
    assert narrow.finished()
    (claim,) = open_record(sqlite, trials=3).claim(9)
    assert claim.arch[0] == dearest


def test_what_waits_longest_comes_first_and_what_raised_last(open_record, sqlite, space):
    record = open_record(sqlite)
    for arch in ("000", "111", "222"):
        record.study.enqueue_trial(parameters(space.arch(arch), space))
    (first,) = record.claim(1)
    assert not record.raised([first], RuntimeError("x"))
    assert [str(claim.arch) for claim in record.claim(2)] == [
        str(space.arch(arch)) for arch in ("111", "222")
    ]
    assert [claim.arch for claim in record.claim(2)] == [first.arch]
