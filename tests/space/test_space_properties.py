"""What holds for every space and every architecture, on drawn ones."""

import collections
import pickle
import string

import drawn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinas_mm.errors import UserError
from pinas_mm.operations import Identity
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.space.arch import SEPARATORS, SYMBOLS

# 36 candidates: each symbol of the text form comes.
WIDE = SearchSpace(candidates=[(1, 1, 64)] * 36, depths=(2, 3), widths=(64, 64), strides=(1, 1))
PAPER = SearchSpace()
whole = st.lists(st.integers(0, 35), min_size=5, max_size=5)


@given(whole, st.text(SEPARATORS, max_size=2))
def test_text_is_read_back(choices, separator):
    arch = WIDE.arch(choices)
    assert tuple(arch) == tuple(choices)
    assert str(arch) == "".join(SYMBOLS[c] for c in choices[:2]) + "-" + "".join(
        SYMBOLS[c] for c in choices[2:]
    )
    for form in (str(arch), separator.join(str(arch).replace("-", "")), np.array(choices)):
        again = WIDE.arch(form)
        assert again == arch
        assert hash(again) == hash(arch)
        assert str(again) == str(arch)


@given(whole, whole)
def test_architectures_are_equal_with_their_text_and_hash(one, other):
    first, second = WIDE.arch(one), WIDE.arch(other)
    assert (first == second) == (str(first) == str(second)) == (one == other)
    assert len({first, second}) == 1 + (one != other)
    assert pickle.loads(pickle.dumps(first)) == first
    assert pickle.loads(pickle.dumps(first)).depths == first.depths


@given(st.integers(0, 4**16 - 1))
def test_a_number_is_its_digits_or_refused_where_zeros_are_lost(number):
    digits = np.base_repr(number, 4).rjust(16, "0")
    if digits.startswith("0"):
        with pytest.raises(UserError, match="write '-' between the stages"):
            PAPER.arch(int(digits))
    else:
        assert "".join(map(str, PAPER.arch(int(digits)))) == digits


@given(
    st.one_of(
        st.text(),
        st.text(string.digits + SEPARATORS, min_size=16, max_size=22),
        st.lists(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text())),
        st.integers(),
        st.floats(),
        st.binary(),
        st.none(),
    )
)
def test_anything_is_an_architecture_or_refused_for_people(value):
    try:
        arch = PAPER.arch(value)
    except UserError:
        return
    assert PAPER.arch(str(arch)) == arch
    assert all(0 <= choice < 4 for choice in arch)


@given(drawn.spaces())
def test_a_space_is_its_dict_and_hashes_alike(space):
    again = SearchSpace.build(space.to_dict())
    assert again == space
    assert hash(again) == hash(space)
    assert again.to_dict() == space.to_dict()


@given(drawn.spaces())
def test_blocks_follow_from_depths_widths_and_strides(space):
    specs = iter(space.blocks())
    channels = space.skeleton.stem_width
    for stage, (depth, width, stride) in enumerate(
        zip(space.depths, space.widths, space.strides, strict=True)
    ):
        for index in range(depth):
            spec = next(specs)
            assert (spec.stage, spec.index, spec.name) == (
                stage,
                index,
                f"layer{stage + 1}.{index}",
            )
            assert (spec.in_channels, spec.out_channels) == (channels, width)
            assert spec.stride == (1 if index else stride)
            changes = channels != width or (index == 0 and stride > 1)
            for choice in range(space.num_candidates):
                stands = choice in space.allowed[sum(space.depths[:stage]) + index]
                assert space.mask[sum(space.depths[:stage]) + index, choice] == stands
                if isinstance(space.candidates[choice], Identity):
                    assert not (stands and changes)
            channels = width
    assert next(specs, None) is None


@given(drawn.spaces())
def test_a_space_is_the_product_of_its_blocks(space):
    listed = list(map(tuple, space.everything().tolist()))
    assert listed == drawn.everything(space)
    assert space.size == len(listed)
    assert set(space.sample(space.size, np.random.default_rng(0))) == set(listed)
    blocks = list(range(0, space.num_blocks, 2))
    part = {tuple(arch[block] for block in blocks) for arch in listed}
    assert sorted(map(tuple, space.everything(blocks).tolist())) == sorted(part)


@given(st.data())
def test_what_may_not_stand_somewhere_is_refused(data):
    space = data.draw(drawn.spaces())
    everywhere = st.tuples(*[st.integers(0, space.num_candidates - 1)] * space.num_blocks)
    choices = data.draw(everywhere)
    wrong = [n for n, choice in enumerate(choices) if choice not in space.allowed[n]]
    if wrong:
        with pytest.raises(UserError, match=f"at block {wrong[0]}, where it cannot stand"):
            space.arch(choices)
    else:
        assert space.arch(choices) == choices


@given(st.data())
def test_costs_are_sums_over_blocks(data):
    space = data.draw(drawn.spaces())
    cost = data.draw(drawn.costs(space))
    archs = drawn.everything(space)
    sums = [drawn.summed(cost, arch) for arch in archs]
    assert cost.of(np.array(archs)).tolist() == sums
    assert cost.bounds() == (min(sums), max(sums))
    cheapest, dearest = map(tuple, cost.extremes().tolist())
    assert sums[archs.index(cheapest)] == min(sums)
    assert sums[archs.index(dearest)] == max(sums)


@given(st.data())
def test_measured_costs_do_not_depend_on_what_stands_beside(data):
    space = data.draw(drawn.spaces())
    seconds = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(size=space.mask.shape)
    cost = drawn.AdditiveCost("latency", 0.1, np.where(space.mask, seconds, np.nan))
    archs = space.everything()
    together = cost.of(archs)
    assert [cost.of(arch[None])[0] for arch in archs] == together.tolist()
    assert cost.bounds() == (together.min(), together.max())


@given(drawn.spaces(most_blocks=3), st.integers(0, 2**32 - 1))
def test_draws_are_uniform(space, seed):
    rng = np.random.default_rng(seed)
    number = 50 * space.size
    counts = collections.Counter(map(tuple, space.draw(number, rng).tolist()))
    counts.update(Arch(choices, space.depths) for choices in space.draw(number, rng))
    assert counts.keys() <= set(drawn.everything(space))
    assert_uniform([counts[arch] for arch in drawn.everything(space)])


def assert_uniform(counts):
    """Chi-square within six deviations of its mean."""
    expected, freedom = np.mean(counts), len(counts) - 1
    statistic = ((np.array(counts) - expected) ** 2 / expected).sum()
    assert statistic <= freedom + 6 * np.sqrt(2 * freedom) + 12
