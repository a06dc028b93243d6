"""Budgets: constraints as text, which architectures meet them, and drawing those."""

import numpy as np
import pytest

from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.constraint import Constraint, readable
from pinas_mm.search.budget.selection import Selection
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import AdditiveCost


@pytest.fixture(scope="module")
def paper():
    return SearchSpace()


@pytest.fixture(scope="module")
def paper_costs(paper):
    return list(count_costs(paper, 224, 1000).costs.values())


@pytest.fixture(scope="module")
def big():
    """A space too big to be listed by the budget and small enough to be listed here."""
    space = SearchSpace(depths=(5, 4), widths=(64, 128), strides=(1, 2))
    latency = np.random.default_rng(5).uniform(1e-3, 2e-3, (space.num_blocks, 4))
    costs = [*list(count_costs(space).costs.values()), AdditiveCost("latency", 5e-3, latency)]
    choices = np.indices((4,) * space.num_blocks).reshape(space.num_blocks, -1).T
    return space, costs, choices


@pytest.mark.parametrize(
    ("text", "name", "comparison", "bound", "again"),
    [
        ("macs<=5.3G", "macs", "<=", 5.3e9, "macs<=5.3G"),
        (" params  >= 27 M ", "params", ">=", 27e6, "params>=27M"),
        ("macs<1.5T", "macs", "<", 1.5e12, "macs<1.5T"),
        ("params>250k", "params", ">", 250e3, "params>250k"),
        ("params<=27046278", "params", "<=", 27046278, "params<=27.046278M"),
        ("macs<=5.3e9", "macs", "<=", 5.3e9, "macs<=5.3G"),
        ("latency<=40ms", "latency", "<=", 0.04, "latency<=40ms"),
        ("latency < 750 us", "latency", "<", 0.00075, "latency<750us"),
        ("latency<=1.25s", "latency", "<=", 1.25, "latency<=1.25s"),
        ("params>=0", "params", ">=", 0, "params>=0"),
    ],
)
def test_constraints_are_read_and_written(text, name, comparison, bound, again):
    constraint = Constraint.parse(text)
    assert constraint == Constraint(name, comparison, bound)
    assert str(constraint) == again
    assert Constraint.parse(again) == Constraint.parse(constraint) == constraint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macs=5G", "'macs=5G' is not a cost, one of <= >= < > and a number"),
        ("macs<=", "is not a cost"),
        ("5G<=macs", "is not a cost"),
        ("macs<=-1", "is not a cost"),
        ("macs<=nan", "is not a cost"),
        ("macs<=5g", "unit 'g', macs takes k, M, G, T"),
        ("macs<=5ms", "unit 'ms', macs takes"),
        ("latency<=40", "no unit, latency takes us, ms, s"),
        ("latency<=40M", "unit 'M', latency takes"),
    ],
)
def test_unreadable_constraints_are_refused(text, said):
    with pytest.raises(UserError) as caught:
        Constraint.parse(text)
    assert said in str(caught.value)
    assert "as in 'macs<=5.3G'" in str(caught.value)


def test_costs_are_readable_and_rounded_to_the_allowed_side():
    assert readable("macs", 5_332_123_456) == "5.332G"
    assert readable("params", 27_046_278, rounding="up") == "27.05M"
    assert readable("params", 27_046_278, rounding="down") == "27.04M"
    assert readable("latency", 0.0382) == "38.2ms"
    assert readable("params", 999) == "999"


def test_additive_costs_are_the_tables(paper, paper_costs):
    table = count_costs(paper, 224, 1000)
    params, macs = paper_costs
    archs = paper.sample(20, np.random.default_rng(0))
    assert params.of(np.array(archs)).tolist() == [table.cost(arch).params for arch in archs]
    assert macs.of(np.array(archs)).tolist() == [table.cost(arch).macs for arch in archs]
    low, high = table.bounds()
    assert params.bounds() == (low.params, high.params)
    assert macs.bounds() == (low.macs, high.macs)


def test_feasible_and_costs_take_many_and_none(paper, paper_costs):
    budget = Budget(paper, paper_costs, ["macs<=5.3G", "params<=27M"])
    choices = np.random.default_rng(0).integers(4, size=(500, 16))
    costs = budget.costs(choices)
    assert list(costs) == list(budget.names) == ["params", "macs"]
    wanted = (costs["macs"] <= 5.3e9) & (costs["params"] <= 27e6)
    assert 0 < wanted.sum() < 500
    assert (budget.feasible(choices) == wanted).all()
    nothing = np.array([]).reshape(0, 16)
    assert budget.feasible(nothing).shape == budget.costs(nothing)["macs"].shape == (0,)


def test_constraint_on_an_unknown_cost_names_the_known(paper, paper_costs):
    with pytest.raises(UserError, match="flops, which is no cost here: allowed are params, macs"):
        Budget(paper, paper_costs, ["flops<=5G"])
    with pytest.raises(UserError, match=r"latency<=40ms needs measured .*measure_latency"):
        Budget(paper, paper_costs, ["latency<=40ms"])


@pytest.mark.parametrize("text", ["macs<=1G", "macs>=6G"])
def test_budget_of_nothing_says_the_range(paper, paper_costs, text):
    with pytest.raises(UserError) as caught:
        Budget(paper, paper_costs, [text])
    assert str(caught.value) == (
        f"no architecture has {text}: macs is 5.174G to 5.567G in this space"
    )


def test_bounds_themselves_are_in_or_out(space):
    costs = list(count_costs(space).costs.values())
    low, high = costs[0].bounds()
    for text in (f"params<={low:.0f}", f"params>={high:.0f}"):
        assert Budget(space, costs, [text]).sample(1, np.random.default_rng(0))
    for text in (f"params<{low:.0f}", f"params>{high:.0f}"):
        with pytest.raises(UserError, match="no architecture has"):
            Budget(space, costs, [text])


def test_constraints_that_exclude_each_other_say_what_is_left(big):
    space, costs, choices = big
    params, macs = (cost.of(choices) for cost in costs[:2])
    few, slow = np.quantile(params, 0.001), np.quantile(macs, 0.999)
    constraints = [f"params<={few:.0f}", f"macs>={slow:.0f}", "latency<=1s"]
    assert not ((params <= few) & (macs >= slow)).any()
    with pytest.raises(UserError) as caught:
        Budget(space, costs, constraints)
    least = readable("params", params[macs >= slow].min(), rounding="up")
    most = readable("macs", macs[params <= few].max(), rounding="down")
    assert f"params is {least} to " in str(caught.value)
    assert f" to {most} with params<=" in str(caught.value)
    assert "together" in str(caught.value)


def test_contradiction_on_one_cost_says_its_range(paper, paper_costs):
    with pytest.raises(UserError) as caught:
        Budget(paper, paper_costs, ["macs>=5.4G", "macs<=5.3G"])
    assert str(caught.value) == (
        "no architecture has macs>=5.4G and macs<=5.3G together: "
        "macs is 5.174G to 5.567G in this space"
    )


@pytest.mark.parametrize("constraints", [[], ["macs<=5.3G"], ["macs<=5.18G", "params<=26.8M"]])
def test_samples_are_different_feasible_unseen_and_the_rngs(paper, paper_costs, constraints):
    budget = Budget(paper, paper_costs, constraints)
    first = budget.sample(30, np.random.default_rng(0))
    assert first == budget.sample(30, np.random.default_rng(0))
    seen = set(first)
    second = budget.sample(30, np.random.default_rng(0), seen)
    assert second == budget.sample(30, np.random.default_rng(0), list(reversed(first)))
    both = np.array(first + second)
    assert len({*first, *second}) == 60
    assert budget.feasible(both).all()
    assert first[0].depths == paper.depths


def test_small_space_is_drawn_to_the_last(space):
    costs = list(count_costs(space).costs.values())
    choices = np.indices((4, 4, 4)).reshape(3, -1).T
    limit = np.median(costs[1].of(choices))
    for constraints in ([], [f"macs<={limit:.0f}"]):
        budget = Budget(space, costs, constraints)
        wanted = set(map(tuple, choices[budget.feasible(choices)].tolist()))
        drawn = budget.sample(1000, np.random.default_rng(0))
        assert len(drawn) == len(wanted)
        assert set(drawn) == wanted
        rest = budget.sample(1000, np.random.default_rng(1), seen=drawn[3:])
        assert set(rest) == set(drawn[:3])
        assert budget.sample(1, np.random.default_rng(1), seen=drawn) == []


@pytest.mark.parametrize("name", ["macs", "latency"])
def test_big_space_with_a_small_budget_is_drawn_to_the_last(big, name):
    space, costs, choices = big
    values = {cost.name: cost.of(choices) for cost in costs}
    bound = np.sort(values[name])[15]
    budget = Budget(space, costs, [Constraint(name, "<=", float(bound))])
    wanted = set(map(tuple, choices[values[name] <= bound].tolist()))
    assert len(wanted) >= 16
    drawn = budget.sample(len(wanted) + 5, np.random.default_rng(0))
    assert len(drawn) == len(wanted)
    assert set(drawn) == wanted
    assert set(budget.sample(9, np.random.default_rng(2), drawn[2:])) == set(drawn[:2])


def test_big_space_without_constraints_is_drawn_to_the_last(big):
    space, costs, choices = big
    seen = set(map(tuple, choices[:-3].tolist()))
    drawn = Budget(space, costs).sample(10, np.random.default_rng(0), seen)
    assert set(drawn) == set(map(tuple, choices[-3:].tolist()))


@pytest.mark.parametrize("name", ["macs", "latency"])
def test_programs_find_exactly_what_listing_finds(big, name):
    _, costs, choices = big
    values = {cost.name: cost.of(choices) for cost in costs}
    other = next(cost for cost in costs if cost.name not in (name, "params"))
    rng = np.random.default_rng(3)
    for _ in range(4):
        low, high = np.sort(rng.choice(values[name], 2, replace=False))
        lid = float(rng.choice(values["params"]))
        within = [
            Constraint(name, ">", float(low)),
            Constraint(name, "<=", float(high)),
            Constraint("params", "<", lid),
        ]
        met = (values[name] > low) & (values[name] <= high) & (values["params"] < lid)
        selection = Selection(costs, within)
        exactness = 1e-5 if other.name == "latency" else 0
        least, most = selection.extreme(other.name, 1), selection.extreme(other.name, -1)
        assert least == pytest.approx(values[other.name][met].min(), rel=exactness, abs=0)
        assert most == pytest.approx(values[other.name][met].max(), rel=exactness, abs=0)
    nothing = Selection(costs, [*within, Constraint("params", ">=", lid)])
    assert nothing.extreme(other.name, 1) is None


def test_draws_are_uniform(space):
    costs = list(count_costs(space).costs.values())
    limit = np.median(costs[1].of(np.indices((4, 4, 4)).reshape(3, -1).T))
    budget = Budget(space, costs, [f"macs<={limit:.0f}"])
    rng = np.random.default_rng(0)
    drawn = [budget.sample(1, rng)[0] for _ in range(6400)]
    counts = np.array([drawn.count(arch) for arch in set(drawn)])
    assert len(counts) == 32
    expected = 6400 / 32
    # Chi-squared with 31 degrees of freedom: above 61 once in a thousand, and the seed is fixed.
    assert ((counts - expected) ** 2 / expected).sum() < 61


def test_proposals_without_constraints_solve_no_program(paper, paper_costs, monkeypatch):
    solved = []
    monkeypatch.setattr(Selection, "minimize", lambda *arguments, **_: solved.append(arguments))
    budget = Budget(paper, paper_costs)
    rng = np.random.default_rng(0)
    seen: set = set()
    for _ in range(200):
        seen.update(budget.sample(1, rng, seen))
    assert len(seen) == 200
    assert solved == []


def test_what_is_left_is_looked_for_again_only_when_it_is_taken(space, monkeypatch):
    budget, drawn = Budget(space, list(count_costs(space).costs.values())), []
    sample = budget.sample

    def counted(*arguments):
        drawn.append(sample(*arguments))
        return drawn[-1]

    monkeypatch.setattr(budget, "sample", counted)
    everything = {space.arch(choices) for choices in np.ndindex(4, 4, 4)}
    assert budget.has_other(set())
    left = drawn[0][0]
    assert budget.has_other(everything - {left})
    assert len(drawn) == 1
    assert budget.has_other({left})
    assert len(drawn) == 2
    assert not budget.has_other(everything)
