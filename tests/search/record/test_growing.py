"""What is summed up as a record grows is what reading all of it anew gives; so are its rows."""

import random

import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from pinas_mm.search.record.encoding import parameters
from pinas_mm.search.record.evaluations import Evaluations
from pinas_mm.search.record.remaining import RemainingTracker
from pinas_mm.search.record.settled import Settled
from pinas_mm.search.samplers.history import Reader


def step(record, claims, draw) -> None:
    """Does one of the things that happen to a record."""
    what = draw.choice(["claim", "claim", "finish", "finish", "finish", "release", "drop"])
    if what == "claim":
        claims += record.claim(2)
    elif what == "finish" and claims:
        claim = claims.pop(draw.randrange(len(claims)))
        score = draw.choice([1.0, 2.0, float("nan")]) if record.study.best_trials else 1.0
        record.finish(claim, {"score": score})
    elif what == "release" and claims:
        record.release([claims.pop()])
    elif what == "drop":
        # As after a database that was away.
        record.study._storage = optuna.storages.get_storage(record._storage)


@pytest.mark.parametrize("objectives", ["score", ["score", "macs:min"]])
def test_sums_of_a_growing_record_are_those_of_the_whole(open_record, sqlite, objectives):
    draw, claims, states = random.Random(0), [], set()
    record = open_record(sqlite, trials=50, objectives=objectives, sampler="RandomSampler")
    kinds = dict(
        left=lambda: RemainingTracker(record.budget, 50),
        found=lambda: Evaluations(record.budget, record.objectives),
        history=lambda: Reader(record.space),
    )
    grown = {name: make() for name, make in kinds.items()}
    for _ in range(60):
        step(record, claims, draw)
        anew = {name: make() for name, make in kinds.items()}
        trials = record.study.get_trials(deepcopy=False)
        assert grown["left"].of(trials) == anew["left"].of(trials)
        one, other = (s["found"].findings(trials, (), "", "") for s in (grown, anew))
        assert one == other
        asking = create_trial(state=TrialState.RUNNING)
        asking.number = len(trials)
        reads = [
            s["history"].read(record.study, asking, np.random.default_rng(1)) for s in (grown, anew)
        ]
        (one, failed), (other, failed_too) = reads
        assert (one.seen, failed) == (other.seen, failed_too)
        for name in ("archs", "gains", "scores", "pending"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        states |= {trial.state.name for trial in trials}
    assert states == {"COMPLETE", "FAIL", "RUNNING", "WAITING"}


def test_what_is_settled_is_not_looked_at_again():
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING, TrialState.PRUNED]
    trials = [
        create_trial(state=state, value=0.0 if i == 0 else None) for i, state in enumerate(states)
    ]
    settled = Settled()
    assert settled.split(trials) == (False, trials[:2], trials[2:])
    assert settled.split(trials) == (False, [], trials[2:])
    trials[2] = create_trial(state=TrialState.FAIL)
    assert settled.split(trials) == (False, trials[2:], [])
    other = [create_trial(state=TrialState.FAIL) for _ in range(5)]
    assert settled.split(other) == (True, other, [])
    assert settled.split(other[:2]) == (True, other[:2], [])


def test_what_may_never_finish_does_not_keep_the_rest_from_being_settled():
    def trial(state):
        return create_trial(state=state, value=0.0 if state == TrialState.COMPLETE else None)

    trials = [trial(TrialState.COMPLETE), trial(TrialState.WAITING), trial(TrialState.FAIL)]
    settled = Settled()
    assert settled.split(trials, {1}) == (False, [trials[0], trials[2]], [trials[1]])
    # It is read anew each time, as all that is not finished.
    trials[1] = trial(TrialState.WAITING)
    assert settled.split(trials, {1}) == (False, [], [trials[1]])
    trials += [trial(TrialState.FAIL), trial(TrialState.RUNNING)]
    assert settled.split(trials) == (False, [trials[3]], [trials[1], trials[4]])
    # Another machine has evaluated it.
    trials[1] = trial(TrialState.COMPLETE)
    assert settled.split(trials) == (False, [trials[1]], [trials[4]])
    assert settled.split(trials) == (False, [], [trials[4]])
    trials[3] = trial(TrialState.FAIL)
    assert settled.split(trials) == (True, trials[:4], [trials[4]])


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_rows_are_read_as_optuna_reads_them(open_record, request, space, database):
    url = request.getfixturevalue(database)
    record = open_record(url, study="rows", trials=60)
    for number, claim in enumerate(record.claim(8)):
        record.report(claim, 0.5 * number, 2)
        record.report(claim, float("inf") if number == 3 else 0.25, 1)
        if number < 6:
            record.finish(claim, {"score": float(number)}, pruned=number == 4)
    record.study.enqueue_trial(parameters(space.arch("123"), space), user_attrs={"by": "me"})
    plain = RDBStorage(url.replace("postgresql://", "postgresql+psycopg://"))
    study = record.study._study_id
    theirs = plain._get_trials(study, None, set(), -1)
    assert record._storage._get_trials(study, None, set(), -1) == theirs
    assert [record._storage.get_trial(trial._trial_id) for trial in theirs] == theirs
    ids = [trial._trial_id for trial in theirs]
    wanted = (TrialState.RUNNING, TrialState.COMPLETE)
    for arguments in ((None, {ids[1], ids[8]}, ids[5]), (wanted, {ids[0]}, ids[2])):
        assert record._storage._get_trials(study, *arguments) == plain._get_trials(
            study, *arguments
        )
    with pytest.raises(KeyError):
        record._storage.get_trial(10**6)
