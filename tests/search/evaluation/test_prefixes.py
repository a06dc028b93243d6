"""Each prefix is run once, memory stays within its limit, and nothing depends on either."""

import gc
import itertools
import weakref

import numpy as np
import pytest
from breeding import bred

from pinas_mm.search.evaluation.prefixes import PrefixTree
from pinas_mm.space import SearchSpace
from pinas_mm.space.space import MAX_BLOCKS


class Value:
    """An activation that knows which prefix it belongs to, and whether it is still held."""

    alive = weakref.WeakSet()

    def __init__(self, prefix):
        self.prefix = prefix
        Value.alive.add(self)


# Deep activations are smaller, as in a network; the root is depth 0.
def size(value):
    return 64 >> len(value.prefix)


def walk(tree, limit=float("inf")):
    """Prefixes at the ends of architectures, the walk's cost, and the prefixes that ran."""
    ends, runs = {}, []

    def run(node, value, again):
        prefix = () if node.choice is None else (*value.prefix, node.choice)
        assert (value == "source") == (node.choice is None)
        assert again == (prefix in runs)
        runs.append(prefix)
        return Value(prefix)

    def end(archs, value):
        for arch in archs:
            assert arch not in ends
            ends[arch] = value.prefix

    count = tree.walk("source", run, end, size, limit)
    return ends, count, runs


ARCHS = [tuple(arch) for arch in np.random.default_rng(0).integers(3, size=(40, 5)).tolist()]
ARCHS += ARCHS[:7]


@pytest.mark.parametrize("limit", [0, 16, 32, 40, 64, 80, 96, 112, float("inf")])
def test_every_architecture_ends_at_its_own_activation(limit):
    ends, count, runs = walk(PrefixTree(ARCHS), limit)
    assert ends == dict(enumerate(ARCHS))
    assert count.peak_bytes <= limit
    assert count.block_runs + count.stem_runs == len(runs)
    assert count.stem_runs == runs.count(())


def test_without_a_limit_every_prefix_runs_once():
    tree = PrefixTree(ARCHS)
    _, count, runs = walk(tree)
    prefixes = {arch[:depth] for arch in ARCHS for depth in range(1, 6)}
    assert count.block_runs == tree.num_blocks == len(prefixes)
    assert set(runs) == prefixes | {()}
    assert count.stem_runs == 1
    # Root and four branching levels; the last child takes over, so never all of a level's.
    assert 64 < count.peak_bytes <= 64 + 32 + 16 + 8 + 4


def test_without_memory_every_architecture_runs_by_itself():
    _, count, _ = walk(PrefixTree(ARCHS), 0)
    assert count.block_runs == 5 * len(set(ARCHS))
    assert count.stem_runs == len(set(ARCHS))
    assert count.peak_bytes == 0


def test_more_memory_never_costs_more_blocks():
    costs = [walk(PrefixTree(ARCHS), limit)[1].block_runs for limit in (0, 64, 96, 112, 128)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[1] > costs[-1]


def test_activations_are_let_go():
    held = []
    tree = PrefixTree(list(itertools.product(range(2), repeat=4)))

    def run(node, value, again):
        gc.collect(0)
        # A run's own input and what waits above it: the root of a last child is given up first.
        held.append((len(Value.alive), node))
        return Value(() if node.choice is None else (*value.prefix, node.choice))

    Value.alive.clear()
    tree.walk("source", run, lambda archs, value: None, size)
    for alive, node in held:
        waiting, parent = 0, node.parent
        own = node
        while parent is not None:
            # The parent is being read; those above it wait only for a child that is left.
            waiting += own is node or own is not parent.children[-1]
            own, parent = parent, parent.parent
        assert alive <= waiting
    assert not Value.alive


def test_dropped_architectures_cost_nothing_and_numbers_stay():
    tree = PrefixTree(ARCHS)
    numbers = {node.number: (node.depth, node.choice) for node in tree.nodes()}
    dropped = set(range(0, len(ARCHS), 2))
    less = tree.without(dropped)
    ends, count, _ = walk(less)
    left = {index: arch for index, arch in enumerate(ARCHS) if index not in dropped}
    assert ends == left
    assert less.archs == sorted(left)
    assert count.block_runs == len({a[:d] for a in left.values() for d in range(1, 6)})
    assert all(numbers[node.number] == (node.depth, node.choice) for node in less.nodes())
    assert tree.archs == list(range(len(ARCHS)))
    _, count, runs = walk(less.without(left))
    assert (count.block_runs, runs) == (0, [])


def test_the_deepest_architectures_are_walked_and_dropped():
    archs = [(choice,) * MAX_BLOCKS for choice in (0, 1)]
    less = PrefixTree(archs).without([0])
    ends, count, _ = walk(less)
    assert ends == {1: archs[1]}
    assert count.block_runs == MAX_BLOCKS


def test_children_keep_their_order():
    whole = PrefixTree(ARCHS)
    same = whole.without([])
    assert [repr(node) for node in same.nodes()] == [repr(node) for node in whole.nodes()]


def test_architectures_of_a_search_share_most_of_their_blocks():
    space = SearchSpace()
    archs = bred(space, 64)
    assert len(set(archs)) == 64
    _, count, _ = walk(PrefixTree(archs))
    assert count.block_runs <= 0.45 * 64 * space.num_blocks
