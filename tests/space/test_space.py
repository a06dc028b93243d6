"""Architectures are read in every form and refused by position; spaces check their numbers."""

import copy
import pickle
import types

import numpy as np
import pytest
import torch

from pinas_mm.errors import UserError
from pinas_mm.operations import ResNeStBottleneck
from pinas_mm.space import Arch, SearchSpace

CLS = "301-3231-203213-032"
CHOICES = (3, 0, 1, 3, 2, 3, 1, 2, 0, 3, 2, 1, 3, 0, 3, 2)


@pytest.mark.parametrize(
    "form",
    [
        CLS,
        "3013231203213032",
        "301 3231 203213 032",
        "3,0,1,3,2,3,1,2,0,3,2,1,3,0,3,2",
        list(CHOICES),
        CHOICES,
        np.array(CHOICES),
        torch.tensor(CHOICES),
        list(torch.tensor(CHOICES)),
        types.SimpleNamespace(arch=Arch(CHOICES, (3, 4, 6, 3))),
        3013231203213032,
        Arch(CHOICES, (3, 4, 6, 3)),
        Arch(CHOICES, (16,)),
    ],
)
def test_every_form_gives_the_same_architecture(form):
    arch = SearchSpace().arch(form)
    assert arch == CHOICES
    assert str(arch) == CLS
    assert arch.depths == (3, 4, 6, 3)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("301-3231-203213-03", ["too short", "15 blocks", "has 16", "000-0000-000000-000"]),
        ("301-3231-203213-0322", ["too long", "17 blocks"]),
        ("", ["too short", "0 blocks"]),
        ("304-3231-203213-032", ["4 at block 2", "0 to 3"]),
        ("301-3231-203213-03x", ["33 at block 15"]),
        ("301-3231-203213-03?", ["'?' at block 15"]),
        ([0] * 15 + [-1], ["-1 at block 15"]),
        ([0] * 15 + [1.0], ["1.0 at block 15"]),
        ([0] * 15 + [True], ["True at block 15"]),
        (13231203213032, ["number of 14 digits", "write '-'"]),
        (np.zeros(16), ["0.0 at block 0"]),
        (torch.zeros(16, dtype=bool), ["False at block 0"]),
        (torch.zeros((2, 16), dtype=int), ["too short"]),
        (torch.tensor(3), ["neither text nor a list"]),
        (None, ["None"]),
        (True, ["True"]),
    ],
)
def test_anything_else_is_refused_with_position_value_and_what_is_allowed(value, said):
    with pytest.raises(UserError) as caught:
        SearchSpace().arch(value)
    assert all(part in str(caught.value) for part in said)
    assert "\n" not in str(caught.value)


def test_candidates_after_the_ninth_are_letters():
    space = SearchSpace(candidates=[(1, 1, 64)] * 36, depths=(2,), widths=(64,), strides=(1,))
    assert space.arch("9z") == (9, 35)
    assert str(space.arch([10, 0])) == "a0"


@pytest.mark.parametrize("change", [{}, dict(strides=(1, 2, 1, 1)), dict(stem_pool=False)])
def test_published_architectures_are_read_by_name(change):
    assert SearchSpace(**change).arch("pinas_cls") == CHOICES


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (dict(candidates=[(1, 1, 64)] * 4), "candidates"),
        (dict(depths=(4, 4, 5, 3)), "depths"),
        (dict(widths=(32, 64, 128, 256)), "widths"),
    ],
)
def test_in_another_space_their_names_mean_nothing(change, part):
    with pytest.raises(UserError, match=f"of the paper's search space, this one has other {part}"):
        SearchSpace(**change).arch("pinas_cls")


def test_letters_that_name_candidates_are_no_name():
    space = SearchSpace(candidates=[(1, 1, 64)] * 36, depths=(3,), widths=(64,), strides=(1,))
    assert space.arch("abc") == (10, 11, 12)
    with pytest.raises(UserError, match="too long"):
        space.arch("pinas_cls")


def test_architectures_are_immutable_hashable_and_survive_copies():
    arch = SearchSpace().arch(CLS)
    with pytest.raises(TypeError):
        arch[0] = 1
    for twin in (copy.deepcopy(arch), pickle.loads(pickle.dumps(arch))):
        assert twin == arch
        assert hash(twin) == hash(arch)
        assert str(twin) == CLS


def test_the_default_is_the_papers_space():
    space = SearchSpace()
    assert (space.size, space.num_blocks, space.num_candidates) == (4**16, 16, 4)
    assert space.out_channels == (256, 512, 1024, 2048)
    # int(planes * base width / 64) * groups of METHOD's table.
    widths = [[c.group_width(planes) for c in space.candidates] for planes in space.widths]
    assert widths == [
        [64, 64, 84, 80],
        [128, 128, 168, 160],
        [256, 256, 336, 320],
        [512, 512, 672, 640],
    ]
    assert ResNeStBottleneck(1, 1, 64).attention_width(64) == 32
    assert ResNeStBottleneck(2, 2, 40).attention_width(512) == 320


def test_blocks_chain_their_channels_and_halve_a_stages_first_dilation():
    blocks = list(SearchSpace().blocks(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)))
    channels = [64, *(block.out_channels for block in blocks)]
    assert [block.in_channels for block in blocks] == channels[:-1]
    assert [block.stride for block in blocks] == [1, 1, 1, 2] + [1] * 12
    assert [block.dilation for block in blocks] == [1] * 7 + [1, 2, 2, 2, 2, 2] + [2, 4, 4]
    assert [n for n, block in enumerate(blocks) if block.first] == [0, 3, 7, 13]
    # The first stage changes channels only; the others at their first block too.
    assert [n for n, block in enumerate(blocks) if block.shortcut] == [0, 3, 7, 13]


def test_a_space_is_its_dict(space):
    assert SearchSpace.build(space.to_dict()) == space
    assert SearchSpace.build(None) == SearchSpace()
    assert SearchSpace.build(space) is space
    assert hash(space) == hash(SearchSpace.build(space.to_dict()))


@pytest.mark.parametrize("said", ["paper", "", 3, 0, [], ["a"], SearchSpace])
def test_what_is_no_space_is_refused(said):
    with pytest.raises(UserError, match=r"search space is .*: give a SearchSpace, a dict"):
        SearchSpace.build(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(candidates=()), "1 to 36 candidates"),
        (dict(candidates=[(1, 1)]), "candidate 0"),
        (dict(candidates=[dict(radix=1, groups=1, width=64)]), "candidate 0"),
        (dict(candidates=[(1, 0, 64)]), "at least 1"),
        (dict(candidates=[(1, 1, 1)], widths=(16, 16, 16, 16)), "raise its base_width"),
        (dict(candidates=[(2, 1, 64)], widths=(15, 16, 16, 16)), "do not divide"),
        (dict(candidates=[(1, 3, 64)], widths=(16, 16, 16, 16)), "attention"),
        (dict(depths=(3, 4)), "2, 4 and 4"),
        (dict(depths=(3, 4, 6, 0)), "depths"),
        (dict(widths=(64, 128, 256, 5.5)), "widths"),
        (dict(stem_widths=(32, 64)), "stem_widths"),
        (dict(expansion=0), "expansion"),
        (dict(choices=4), "no choices; it has candidates, depths"),
    ],
)
def test_bad_spaces_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        SearchSpace.build(change)


def test_strides_and_dilations_need_one_number_a_stage():
    with pytest.raises(UserError, match=r"strides .* 4 stages"):
        list(SearchSpace().blocks(strides=(1, 2)))
    with pytest.raises(UserError, match="dilations"):
        list(SearchSpace().blocks(dilations=(1, 1, 2, 0)))


def test_strides_leave_the_projections_as_they_are():
    space = SearchSpace(depths=(1, 1, 1), widths=(64, 64, 64), strides=(1, 1, 2))

    def projected(strides):
        return [block.shortcut for block in space.blocks(strides)]

    assert projected((2, 1, 3)) == projected(None) == [True, False, True]
    with pytest.raises(UserError, match=r"\[1, 2, 2\] do not fit .* at layer2 .* not 2"):
        projected((1, 2, 2))
    with pytest.raises(UserError, match=r"at layer3 .* 2 and more are allowed, not 1"):
        projected((1, 1, 1))


def test_random_architectures_are_uniform_and_a_function_of_the_generator(space):
    drawn = [space.random(np.random.default_rng(seed)) for seed in range(4000)]
    assert space.random(np.random.default_rng(7)) == drawn[7]
    counts = np.unique(np.array(drawn) @ [16, 4, 1], return_counts=True)[1]
    assert len(counts) == space.size == 64
    # Chi-square with 63 degrees of freedom; above 115 has a probability below 1e-4.
    assert ((counts - 62.5) ** 2 / 62.5).sum() < 115


@pytest.mark.parametrize("number", [-1, "5", 2.0, True, 1000])
def test_a_number_of_architectures_that_there_is_not(space, number):
    with pytest.raises(UserError, match=f"{number!r} different architectures asked for, there are"):
        space.sample(number, np.random.default_rng(0))


def test_what_draws_nothing_is_refused(space):
    for call in (space.sample, space.draw):
        with pytest.raises(UserError, match=r"rng is 0: give a generator, as numpy\.random"):
            call(5, 0)
