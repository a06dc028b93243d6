"""The best of what was evaluated."""

import json
import math

import numpy as np
import pytest
from made_findings import made_findings

from pinas_mm.errors import UserError
from pinas_mm.search.record.findings import pareto_fronts
from pinas_mm.space import SearchSpace
from pinas_mm.space.arch import read_archs


def peeled(gains: np.ndarray) -> list[int]:
    """Front by front, by the definition."""
    fronts, left, front = [-1] * len(gains), set(range(len(gains))), 0
    while left:
        beaten = {
            i
            for i in left
            for j in left
            if (gains[j] >= gains[i]).all() and (gains[j] > gains[i]).any()
        }
        for i in left - beaten:
            fronts[i] = front
        left, front = beaten, front + 1
    return fronts


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("levels", [3, 1000])
def test_fronts_are_those_of_the_definition(objectives, levels):
    rng = np.random.default_rng(objectives)
    for _ in range(10):
        gains = rng.integers(levels, size=(40, objectives)) / 7
        assert pareto_fronts(gains).tolist() == peeled(gains)


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("number", [0, 1, 5, 20, 60])
def test_of_the_first_rows_fronts_are_the_same_whatever_comes_later(levels, number):
    rng = np.random.default_rng(number)
    for objectives in (1, 2, 3, 4):
        for _ in range(5):
            gains = rng.integers(levels, size=(60, objectives)) / 7
            whole, first = np.array(peeled(gains)), pareto_fronts(gains, number)
            last = np.sort(whole)[:number].max(initial=-1)
            assert first[whole <= last].tolist() == whole[whole <= last].tolist()
            assert (first[whole > last] > last).all()


def test_fronts_of_chains_ties_and_nothing():
    assert pareto_fronts([[i, i] for i in range(5)]).tolist() == [4, 3, 2, 1, 0]
    assert pareto_fronts([[i, -i] for i in range(5)]).tolist() == [0] * 5
    assert pareto_fronts([[1, 1], [1, 1], [1, 0]]).tolist() == [0, 0, 1]
    assert pareto_fronts(np.zeros((0, 2))).tolist() == []


def test_best_of_one_objective(space):
    findings = made_findings(space, [0.5, 0.9, 0.9, 0.1], "score")
    assert [e.trial for e in findings.best()] == [1, 2, 0, 3]
    assert [e.trial for e in findings.best(2)] == [1, 2]
    assert [e.trial for e in findings.front()] == [1]


def test_less_can_be_better(space):
    findings = made_findings(space, [0.5, 0.9, 0.1], "loss:min")
    assert [e.trial for e in findings.best()] == [2, 0, 1]


def test_of_equals_the_earlier_trial_not_the_earlier_end(space):
    findings = made_findings(space, [1.0, 1.0, 1.0], "score", trials=[7, 3, 5])
    assert [e.trial for e in findings.best()] == [3, 5, 7]


def test_best_of_two_objectives_is_front_by_front(space):
    values = [(0.5, 10.0), (0.9, 30.0), (0.4, 20.0), (0.7, 20.0), (0.9, 40.0), (0.1, 60.0)]
    findings = made_findings(space, values, ["score", "loss:min"])
    assert [e.trial for e in findings.best()] == [1, 3, 0, 4, 2, 5]
    assert [e.trial for e in findings.front()] == [1, 3, 0]


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_best_few_are_the_first_of_all(space, levels):
    values = np.random.default_rng(0).integers(levels, size=(40, 3)).astype(float)
    objectives = ["score", "loss:min", "macs"]
    findings = made_findings(space, list(map(tuple, values.tolist())), objectives)
    everything = findings.best()
    fronts = peeled(values * [1, -1, -1])
    assert [fronts[e.trial] for e in everything] == sorted(fronts)
    for number in (0, 1, 2, 7, 40, 50):
        assert findings.best(number) == everything[:number]
    assert findings.front() == everything[: fronts.count(0)]


def test_nothing_is_evaluated(space):
    for objectives in ("score", ["score", "loss:min"]):
        findings = made_findings(space, [], objectives)
        assert findings.best() == findings.best(1) == findings.front() == []
        assert findings.to_dict()["best"] == []


def test_to_dict_survives_json(space):
    findings = made_findings(space, [0.5, 0.9, 0.1], "score")
    findings.evaluated[1].metrics["odd"] = math.nan
    found = findings.to_dict(2)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert SearchSpace.build(found["space"]) == space
    assert found["objectives"] == [{"name": "score", "direction": "maximize"}]
    first, second = found["best"]
    assert (first["rank"], first["trial"], second["trial"]) == (1, 1, 0)
    assert space.arch(first["arch"]) == findings.evaluated[1].arch
    assert first["metrics"]["odd"] is None
    assert first["costs"]["macs"] == findings.evaluated[1].costs["macs"]


@pytest.mark.parametrize("number", ["1", -1, 1.0, True])
def test_a_number_that_is_none(space, number):
    with pytest.raises(UserError, match="give a whole number of at least 0, or None"):
        made_findings(space, [0.5], "score").best(number)


def test_an_architecture_is_read_from_what_was_found(space):
    best = made_findings(space, [0.5, 0.9], "score").best()
    assert space.arch(best[0]) == best[0].arch
    assert read_archs(best, space) == [e.arch for e in best]
    assert read_archs(best[0], space) == [best[0].arch]
