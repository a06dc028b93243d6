"""The best of what was evaluated."""

import json
import math

import numpy as np
import pytest
from made_findings import made_findings

from pinas_mm.search.record.findings import pareto_fronts
from pinas_mm.space import SearchSpace


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
