"""Costs from the space alone equal those counted on the real networks."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import CostTable


def counted(space, arch, size, classes, in_channels=3):
    """Parameters, and multiply-adds that hooks see in a forward pass, of the real modules."""
    macs = 0

    def count(module, inputs, output):
        nonlocal macs
        positions = output.shape[2:].numel() if isinstance(module, nn.Conv2d) else 1
        macs += module.weight.numel() * positions

    with torch.device("meta"):
        backbone = PiNASBackbone(arch, space=space, in_channels=in_channels)
        network = nn.ModuleList([backbone])
        if classes:
            network.append(nn.Linear(space.out_channels[-1], classes))
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_hook(count)
        features = backbone(torch.zeros(2, in_channels, *size))[-1]
        if classes:
            network[1](features.mean((2, 3)))
    return sum(parameter.numel() for parameter in network.parameters()), macs


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(224, 224), (97, 61)])
def test_the_papers_space(seed, size):
    space = SearchSpace()
    arch = space.random(np.random.default_rng(seed))
    cost = CostTable(space, size, 1000).cost(arch)
    assert (cost.params, cost.macs) == counted(space, arch, size, 1000)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [{}, dict(stem_pool=True, stem_stride=1), dict(strides=(1, 1))])
def test_a_small_space_at_odd_sizes(space, seed, change):
    space = SearchSpace.build({**space.to_dict(), **change})
    rng = np.random.default_rng(seed)
    arch, size = space.random(rng), tuple(int(s) for s in rng.integers(1, 70, size=2))
    cost = CostTable(space, size, num_classes=0, in_channels=1).cost(arch)
    assert (cost.params, cost.macs) == counted(space, arch, size, 0, in_channels=1)


def test_the_published_architectures_cost_what_was_measured():
    table = CostTable(SearchSpace(), num_classes=1000)
    cls, trans = table.cost("301-3231-203213-032"), table.cost("333-3113-330011-021")
    assert (cls.params, trans.params) == (27_046_278, 27_039_016)
    assert (round(cls.macs / 1e9, 3), round(trans.macs / 1e9, 3)) == (5.332, 5.254)


def test_bounds_are_the_extremes_of_all_architectures(space):
    table = CostTable(space, 32, 10)
    costs = [table.cost(arch) for arch in itertools.product(range(4), repeat=3)]
    low, high = table.bounds()
    assert (low.params, low.macs) == (min(c.params for c in costs), min(c.macs for c in costs))
    assert (high.params, high.macs) == (max(c.params for c in costs), max(c.macs for c in costs))


@pytest.mark.parametrize("wrong", [dict(image_size=0), dict(num_classes=-1), dict(in_channels=0)])
def test_impossible_sizes_are_refused(space, wrong):
    with pytest.raises(UserError, match="must be at least 1"):
        CostTable(space, **wrong)


def test_the_tool_prints_architecture_and_bounds(tool):
    status, out, err = tool("cost.py", "3013231203213032")
    assert (status, err) == (0, "")
    first, last = out.splitlines()
    assert first == "301-3231-203213-032  27,046,278 parameters, 5.332 G multiply-adds"
    assert last.startswith("of 4^16 = 4.3e+09 architectures")


@pytest.mark.parametrize(
    ("arch", "said"),
    [("301", "too short"), ("0" * 17, "too long"), ("301-3231-203213-039", "9 at block 15")],
)
def test_the_tool_refuses_bad_architectures_in_one_line(tool, arch, said):
    status, out, err = tool("cost.py", arch)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
