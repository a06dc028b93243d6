"""What ``allowed`` forbids is no part of the space: not counted, drawn, read, costed or solved."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from spaces import MIXED, PLAIN, SPACES

from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs
from pinas_mm.operations import Identity, ResNetBottleneck
from pinas_mm.search.budget.budget import Budget
from pinas_mm.space import SearchSpace
from pinas_mm.space.paths import CrossPaths, FairPaths, SandwichPaths, UniformPaths

MASKED = SPACES["masked"]
CHOICES = (0, 2, 3), (0, 2, 3), (1, 4), (0, 3, 4)
ALL = set(itertools.product(*CHOICES))


def space_of(allowed, **changes):
    return SearchSpace.build({**MASKED.to_dict(), "allowed": allowed, **changes})


def costs_of(space):
    return list(count_costs(space, 16).costs.values())


@pytest.fixture(scope="module")
def large():
    """3^20 architectures: nothing that is rare is found at random."""
    space = space_of({"layer1": [1, 3, 4], "layer2": [0, 2, 4]}, depths=(10, 10))
    assert space.size == 3**20
    return space


def nearest(table, distance):
    """All architectures whose sum is at most a distance above the smallest, block by block."""
    found = [((), distance)]
    for row in table - np.nanmin(table, axis=1, keepdims=True):
        found = [
            ((*arch, choice), left - row[choice])
            for arch, left in found
            for choice in np.flatnonzero(row <= left).tolist()
        ]
    return {arch for arch, _ in found}


def test_size_and_list_are_those_of_the_enumeration():
    listed = list(map(tuple, MASKED.everything().tolist()))
    assert MASKED.size == len(ALL) == 54
    assert listed == sorted(ALL)
    assert MASKED.counts.tolist() == [3, 3, 2, 3]


def test_blocks_with_nothing_to_choose_may_be_many():
    fixed, free = [[0]] * 60, [[0, 1]] * 3
    space = SearchSpace(
        [ResNetBottleneck(), Identity()], (63,), (8,), (1,), skeleton=PLAIN, allowed=fixed + free
    )
    wanted = [(0,) * 60 + end for end in itertools.product((0, 1), repeat=3)]
    assert list(map(tuple, space.everything().tolist())) == wanted


def test_draws_are_uniform_over_what_is_allowed():
    rng = np.random.default_rng(0)
    drawn = [
        *map(tuple, MASKED.draw(2700, rng).tolist()),
        *(MASKED.random(rng) for _ in range(2700)),
    ]
    counts = np.array([drawn.count(arch) for arch in sorted(ALL)])
    assert counts.sum() == 5400
    # 53 degrees of freedom: above 101 has a probability below 1e-4.
    assert ((counts - 100) ** 2 / 100).sum() < 101


def test_a_sample_of_all_is_all():
    assert set(MASKED.sample(54, np.random.default_rng(0))) == ALL
    with pytest.raises(UserError, match="55 different architectures asked for, there are 54"):
        MASKED.sample(55, np.random.default_rng(0))


@pytest.mark.parametrize(
    "sampler",
    [UniformPaths(3), CrossPaths(2), FairPaths(1), FairPaths(4), SandwichPaths(4)],
    ids=str,
)
def test_paths_are_allowed(sampler):
    sampler.learn_costs(lambda name, size: count_costs(MASKED, 16, names=(name,))[name])
    paths = [path for iteration in range(200) for path in sampler(MASKED, 0, iteration)]
    assert set(paths) <= ALL
    # Each candidate of each block comes.
    assert [set(column) for column in zip(*paths, strict=True)] == list(map(set, CHOICES))


def test_cross_paths_differ_where_there_is_a_choice_and_know_how_many_there_are():
    space = space_of({"layer1": [0, 2, 3], "layer1.1": [2]})
    for iteration in range(100):
        one, other = CrossPaths()(space, 0, iteration)
        assert [a == b for a, b in zip(one, other, strict=True)] == [False, True, False, False]
    with pytest.raises(UserError, match=r"has 2 candidate\(s\) a block"):
        CrossPaths(3)(MASKED, 0, 0)


@pytest.mark.parametrize("num_paths", [1, 2, 3, 5])
def test_fair_paths_take_each_allowed_candidate_once_in_a_group_of_its_blocks_length(num_paths):
    stream = [path for step in range(24) for path in FairPaths(num_paths)(MASKED, 5, step)]
    for block, choices in enumerate(CHOICES):
        for start in range(0, 24 * num_paths, len(choices)):
            group = [path[block] for path in stream[start : start + len(choices)]]
            assert sorted(group) == list(choices)


def test_sandwich_paths_begin_with_the_dearest_and_the_cheapest_that_is_allowed():
    cost = count_costs(MASKED, 16)["macs"]
    sampler = SandwichPaths(3)
    sampler.learn_costs(lambda name, size: cost)
    archs = np.array(sorted(ALL))
    dearest, cheapest, _ = sampler(MASKED, 0, 0)
    assert dearest == tuple(archs[cost.of(archs).argmax()])
    assert cheapest == tuple(archs[cost.of(archs).argmin()])


def test_a_forbidden_candidate_is_refused_with_its_place_and_what_is_allowed():
    for arch in itertools.product(range(5), repeat=4):
        if arch in ALL:
            assert MASKED.arch(arch) == arch
            continue
        block = next(n for n, choice in enumerate(arch) if choice not in CHOICES[n])
        allowed = ", ".join(map(str, CHOICES[block]))
        with pytest.raises(UserError) as caught:
            MASKED.arch(arch)
        said = f"has {arch[block]} at block {block}, where it cannot stand: allowed there are "
        assert str(caught.value).endswith(said + allowed)
    with pytest.raises(UserError, match=r"too short: 3 blocks, this space has 4, as in 00-10"):
        MASKED.arch("001")


@pytest.mark.parametrize("name", ["params", "macs"])
def test_bounds_are_those_of_the_enumeration(name):
    cost, free = (count_costs(space, 16)[name] for space in (MASKED, SPACES["mixed"]))
    values = cost.of(np.array(sorted(ALL)))
    assert cost.bounds() == (values.min(), values.max())
    assert cost.bounds() != free.bounds()
    assert values.tolist() == free.of(np.array(sorted(ALL))).tolist()
    assert np.isnan(cost.table).tolist() == (~MASKED.mask).tolist()


@pytest.mark.parametrize("constrained", [False, True])
def test_a_budget_gives_all_that_is_allowed_and_no_more(constrained):
    costs, wanted, constraints = costs_of(MASKED), ALL, []
    if constrained:
        archs = np.array(sorted(ALL))
        bound = np.median(costs[1].of(archs))
        wanted = set(map(tuple, archs[costs[1].of(archs) <= bound].tolist()))
        constraints = [f"macs<={int(bound)}"]
    budget = Budget(MASKED, costs, constraints)
    assert set(budget.sample(100, np.random.default_rng(0))) == wanted
    every = np.array(list(itertools.product(range(5), repeat=4)))
    # A cost of what may not stand is unknown, and it is not feasible either way.
    assert set(map(tuple, every[budget.feasible(every)].tolist())) == wanted
    assert budget.has_other(set(sorted(wanted)[1:]))
    assert not budget.has_other(wanted)


def test_a_large_space_is_drawn_without_constraints(large):
    drawn = Budget(large, costs_of(large)).sample(500, np.random.default_rng(0))
    assert len(set(drawn)) == 500
    assert all(large.arch(arch) == arch for arch in drawn)


@pytest.mark.parametrize("sign", [1, -1])
def test_integer_programs_find_all_that_are_left_of_a_large_space(large, sign):
    costs = costs_of(large)
    table = sign * costs[1].table
    # From the best to the second best candidate of the last block, and of nine alike.
    step = np.diff(np.sort(table[-1]))[0]
    low, high = costs[1].bounds()
    end = low + step if sign > 0 else high - step
    outer = f"macs{'<=' if sign > 0 else '>='}{int(end)}"
    inner = f"macs{'>=' if sign > 0 else '<='}{int(end)}"
    near = nearest(table, step)
    assert 5 < len(near) < 25
    assert set(Budget(large, costs, [outer]).sample(100, np.random.default_rng(0))) == near
    edge = {arch for arch in near if costs[1].of([arch])[0] == end}
    assert 5 < len(edge) < len(near)
    assert set(Budget(large, costs, [outer, inner]).sample(100, np.random.default_rng(0))) == edge


def test_constraints_that_only_forbidden_candidates_meet_are_refused():
    low = count_costs(SPACES["mixed"], 16)["macs"].bounds()[0]
    with pytest.raises(UserError, match="no architecture has macs<="):
        Budget(MASKED, costs_of(MASKED), [f"macs<={int(low)}"])


FORMS = dict(
    stages_and_blocks={"layer2.1": [0, 3, 4], "layer1": [0, 2, 3], "layer2": [1, 4]},
    blocks={f"layer{n // 2 + 1}.{n % 2}": choices for n, choices in enumerate(CHOICES)},
    numpy=[np.array(choices) for choices in CHOICES],
    unordered=[[3, 2, 0, 0], (2, 3, 0), {1, 4}, [4, 3, 0]],
    lists=[list(choices) for choices in CHOICES],
    booleans=[[choice in choices for choice in range(5)] for choices in CHOICES],
    mask=MASKED.mask,
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_space(form):
    space = space_of(FORMS[form])
    assert space == MASKED
    assert hash(space) == hash(MASKED)
    assert (space.mask == MASKED.mask).all()


def test_a_space_is_its_dict_of_plain_values():
    plain = json.loads(json.dumps(MASKED.to_dict()))
    assert plain["allowed"] == [list(choices) for choices in CHOICES]
    assert SearchSpace.build(plain) == MASKED
    assert hash(SearchSpace.build(plain)) == hash(MASKED)
    assert "allowed" not in SPACES["mixed"].to_dict()
    assert SPACES["mixed"] != MASKED


def test_numpys_numbers_become_plain_ones():
    space = space_of(MASKED.mask, depths=np.array([2, 2]), strides=np.array([1, 2]))
    assert json.loads(json.dumps(space.to_dict())) == MASKED.to_dict()


def test_a_single_candidate_needs_no_list():
    assert space_of({"layer1": 0, "layer2": 1}, candidates=MIXED[:2]).size == 1


def test_an_operation_stands_nowhere_that_it_does_not_fit_even_if_allowed():
    space = space_of({"layer2.0": [1, 3]})
    assert space.mask[2].tolist() == [False, True, False, False, False]
    assert space.size == 5 * 5 * 1 * 5
    replaced = dataclasses.replace(space, allowed=None)
    assert replaced == SPACES["mixed"]
