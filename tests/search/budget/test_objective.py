"""Objectives from text."""

import pytest

from pinas_mm.errors import UserError
from pinas_mm.search.budget.objective import Objective, parse_objectives


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("accuracy/top1", "maximize"),
        ("macs", "minimize"),
        ("latency", "minimize"),
        ("loss:min", "minimize"),
        ("params:max", "maximize"),
    ],
)
def test_direction(text, direction):
    assert Objective.parse(text) == Objective(text.partition(":")[0], direction)


def test_several():
    objectives = parse_objectives(["accuracy/top1", "macs"])
    assert [objective.sign for objective in objectives] == [1, -1]
    assert parse_objectives("macs") == parse_objectives(["macs"])


@pytest.mark.parametrize("texts", ["a:up", ":min", "", [], ["a", "a:min"]])
def test_refusals(texts):
    with pytest.raises(UserError):
        parse_objectives(texts)
