"""A budget is what trying every architecture of a small space says, on drawn ones."""

import collections

import drawn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.constraint import COMPARISONS, Constraint, readable

comparisons = st.sampled_from(list(COMPARISONS))


@st.composite
def budgets(draw):
    """A space, two costs of it, up to three constraints, and the architectures that meet them."""
    space = draw(drawn.spaces(most_candidates=3))
    costs = [draw(drawn.costs(space, name)) for name in ("params", "macs")]
    archs = drawn.everything(space)
    constraints, met = [], set(archs)
    for _ in range(draw(st.integers(0, 3))):
        cost, comparison = draw(st.sampled_from(costs)), draw(comparisons)
        # On the cost of some architecture, where a bound decides, or beside it.
        bound = drawn.summed(cost, draw(st.sampled_from(archs))) + draw(st.integers(-1, 1))
        bound = max(bound, 0)
        constraints.append(Constraint(cost.name, comparison, float(bound)))
        met = {a for a in met if COMPARISONS[comparison](drawn.summed(cost, a), bound)}
    return space, costs, constraints, met


@settings(max_examples=30)
@given(budgets())
def test_feasible_is_what_each_architectures_costs_say(case):
    space, costs, constraints, met = case
    if not met:
        with pytest.raises(UserError, match="no architecture has"):
            Budget(space, costs, constraints)
        return
    budget = Budget(space, costs, list(map(str, constraints)))
    everywhere = np.indices((space.num_candidates,) * space.num_blocks)
    choices = everywhere.reshape(space.num_blocks, -1).T
    assert set(map(tuple, choices[budget.feasible(choices)].tolist())) == met
    assert set(budget.sample(space.size + 1, np.random.default_rng(0))) == met
    *others, last = sorted(met)
    assert budget.sample(2, np.random.default_rng(0), others) == [last]
    assert budget.has_other(others)
    assert not budget.has_other(met)


@settings(max_examples=10)
@given(budgets().filter(lambda case: 1 < len(case[3]) < 30), st.integers(0, 99))
def test_samples_are_uniform_over_what_is_feasible(case, seed):
    space, costs, constraints, met = case
    budget, rng = Budget(space, costs, constraints), np.random.default_rng(seed)
    counts = collections.Counter(budget.sample(1, rng)[0] for _ in range(30 * len(met)))
    assert counts.keys() <= met
    values = np.array([counts[arch] for arch in met])
    freedom = len(met) - 1
    # Six deviations above the mean of chi-square, and some for few degrees of freedom.
    assert ((values - 30) ** 2 / 30).sum() <= freedom + 6 * np.sqrt(2 * freedom) + 12


@given(
    st.sampled_from(("params", "macs", "latency")),
    comparisons,
    st.floats(0, 1e15, allow_subnormal=False),
)
def test_constraints_are_read_back(name, comparison, bound):
    constraint = Constraint(name, comparison, bound)
    assert Constraint.parse(str(constraint)) == constraint


@given(st.sampled_from(("params", "macs", "latency")), st.floats(1e-9, 1e15))
def test_what_is_shown_is_rounded_to_the_allowed_side(name, value):
    up, down = (readable(name, value, rounding=rounding) for rounding in ("up", "down"))
    assert (
        Constraint.parse(f"{name}<={down}").bound
        <= value
        <= Constraint.parse(f"{name}<={up}").bound
    )
