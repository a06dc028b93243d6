"""Paths depend on seed and iteration only and have the distributions their samplers promise."""

import itertools

import numpy as np
import pytest

from pinas_mm.errors import UserError
from pinas_mm.registry import PATH_SAMPLERS
from pinas_mm.space import SearchSpace
from pinas_mm.space.paths import CrossPaths, FairPaths, SandwichPaths, UniformPaths


@pytest.mark.parametrize("sampler", [UniformPaths(2), CrossPaths(3), FairPaths(3)])
def test_paths_are_a_function_of_seed_and_iteration_alone(sampler):
    space = SearchSpace()
    forward = [sampler(space, 1, iteration) for iteration in range(20)]
    np.random.seed(9)
    backward = [type(sampler)(sampler.num_paths)(space, 1, i) for i in reversed(range(20))]
    assert forward == backward[::-1]
    assert len({tuple(paths) for paths in forward}) == 20
    assert sampler(space, 2, 0) != forward[0]


@pytest.mark.parametrize("num_paths", [2, 3, 4])
def test_cross_paths_differ_pairwise_in_every_block(num_paths):
    space = SearchSpace()
    for iteration in range(200):
        paths = CrossPaths(num_paths)(space, 0, iteration)
        assert len(paths) == num_paths
        for one, other in itertools.combinations(paths, 2):
            assert all(a != b for a, b in zip(one, other, strict=True))


def test_cross_paths_draw_every_ordered_pair_equally_often(space):
    pairs = np.array([CrossPaths()(space, 0, iteration) for iteration in range(2400)])
    for block in range(space.num_blocks):
        kinds, counts = np.unique(pairs[:, :, block], axis=0, return_counts=True)
        assert len(kinds) == 12
        # 2400 draws of 12 pairs; chi-square with 11 degrees of freedom, 1e-4 lies at 37.4.
        assert ((counts - 200) ** 2 / 200).sum() < 37.4


def test_uniform_paths_are_uniform_and_independent(space):
    paths = np.array([UniformPaths(2)(space, 3, iteration) for iteration in range(2000)])
    for path, block in itertools.product(range(2), range(3)):
        counts = np.bincount(paths[:, path, block], minlength=4)
        assert ((counts - 500) ** 2 / 500).sum() < 21.1  # 3 degrees of freedom, 1e-4
    same = (paths[:, 0] == paths[:, 1]).mean()
    assert abs(same - 0.25) < 0.03


@pytest.mark.parametrize("num_paths", [1, 2, 3, 4, 6])
def test_fair_paths_take_every_candidate_once_in_each_group(num_paths):
    space = SearchSpace()
    steps = [FairPaths(num_paths)(space, 5, iteration) for iteration in range(12)]
    stream = [path for step in steps for path in step]
    assert len(stream) == 12 * num_paths
    for start in range(0, len(stream), 4):
        group = np.array(stream[start : start + 4])
        assert (np.sort(group, axis=0) == np.arange(4)[:, None]).all()


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "2", None])
def test_a_step_needs_a_whole_number_of_paths(wrong):
    for sampler, least in ((UniformPaths, 1), (CrossPaths, 1), (FairPaths, 1), (SandwichPaths, 2)):
        with pytest.raises(UserError, match=f"num_paths={wrong!r}: .* at least {least} is allowed"):
            sampler(num_paths=wrong)
    with pytest.raises(UserError, match=r"SandwichPaths has num_paths=1: .* at least 2"):
        SandwichPaths(1)


def test_cross_paths_refuse_a_space_of_one_candidate():
    space = SearchSpace(candidates=[(1, 1, 64)])
    for call in (CrossPaths().check, lambda s: CrossPaths()(s, 0, 0)):
        with pytest.raises(UserError, match=r"1 candidate.*UniformPaths"):
            call(space)
    assert UniformPaths()(space, 0, 0) == [(0,) * 16]
    assert FairPaths()(space, 0, 0) == [(0,) * 16]


def test_samplers_are_built_from_configs():
    sampler = PATH_SAMPLERS.build(dict(type="pinas_mm.CrossPaths", num_paths=3))
    assert sampler == CrossPaths(3)
