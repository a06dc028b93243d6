"""Hypothesis's strategies: small search spaces, architectures of them, costs."""

import itertools

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from spaces import MIXED, PLAIN

from pinas_mm.operations import ResNetBottleneck
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import AdditiveCost


@st.composite
def spaces(draw, most_blocks=4, most_candidates=4):
    """Spaces of a plain skeleton, each block with some of the candidates that fit there."""
    depths = draw(
        st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(
            lambda depths: sum(depths) <= most_blocks
        )
    )
    stages = len(depths)
    places = dict(
        skeleton=PLAIN,
        depths=depths,
        widths=draw(st.lists(st.sampled_from((8, 16)), min_size=stages, max_size=stages)),
        strides=draw(st.lists(st.integers(1, 2), min_size=stages, max_size=stages)),
    )
    chosen = draw(
        st.lists(st.sampled_from(range(len(MIXED))), min_size=1, max_size=4, unique=True).filter(
            lambda chosen: len(chosen) <= most_candidates
        )
    )
    candidates = [MIXED[index] for index in chosen]
    specs = list(SearchSpace(candidates=[ResNetBottleneck()], **places).blocks())
    fitting = [[n for n, c in enumerate(candidates) if c.fits(spec)] for spec in specs]
    assume(all(fitting))
    rows = [draw(st.sets(st.sampled_from(row), min_size=1)) for row in fitting]
    for missing in set(range(len(candidates))) - set().union(*rows):
        block = next((n for n, row in enumerate(fitting) if missing in row), None)
        assume(block is not None)
        rows[block].add(missing)
    return SearchSpace(candidates=candidates, allowed=[sorted(row) for row in rows], **places)


def everything(space):
    """All architectures as tuples, listed from what the space says is allowed."""
    return list(itertools.product(*space.allowed))


def archs(space):
    """Architectures of a space."""
    return st.tuples(*map(st.sampled_from, space.allowed)).map(space.arch)


@st.composite
def costs(draw, space, name="macs"):
    """Whole numbers, exact however they are summed; NaN where a candidate may not stand."""
    numbers = st.integers(0, draw(st.sampled_from((3, 1000, 10**9))))
    size = space.num_blocks * space.num_candidates
    table = np.array(draw(st.lists(numbers, min_size=size, max_size=size)), dtype=float)
    table = table.reshape(space.num_blocks, space.num_candidates)
    return AdditiveCost(name, draw(numbers), np.where(space.mask, table, np.nan))


def summed(cost, arch):
    """The cost of an architecture, added up block by block in whole numbers."""
    return int(cost.fixed) + sum(
        int(cost.table[block, choice]) for block, choice in enumerate(arch)
    )
