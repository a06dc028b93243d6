"""Costs equal the closed formulas, and those counted on the real networks."""

import itertools

import numpy as np
import pytest
import torch
from conftest import CONFIGS
from resnest_costs import formulas
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import COSTS
from pinas_mm.search.budget.objective import Objective
from pinas_mm.space import SearchSpace


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
    cost = count_costs(space, size, 1000).cost(arch)
    assert (cost.params, cost.macs) == counted(space, arch, size, 1000)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [{}, dict(stem_pool=True, stem_stride=1), dict(strides=(1, 1))])
def test_a_small_space_at_odd_sizes(space, seed, change):
    space = SearchSpace.build({**space.to_dict(), **change})
    rng = np.random.default_rng(seed)
    arch, size = space.random(rng), tuple(int(s) for s in rng.integers(1, 70, size=2))
    with torch.device("meta"):
        supernet = PiNASSupernet(space, in_channels=1)
    cost = count_costs(supernet, size).cost(arch)
    assert (cost.params, cost.macs) == counted(space, arch, size, 0, in_channels=1)


@pytest.mark.parametrize("skeleton", ["pinas_mm.ResNeStSkeleton", "pinas_mm.MobileNetV2Skeleton"])
@pytest.mark.parametrize("out_indices", [(0,), (0, 1), (1,), (2,)])
def test_what_does_not_run_costs_nothing(skeleton, out_indices):
    space = SearchSpace(
        candidates=[(1, 1, 64), (2, 1, 64)],
        depths=(2, 1, 2),
        widths=(8, 16, 16),
        strides=(1, 2, 2),
        skeleton=dict(type=skeleton),
    )
    backbone = PiNASSupernet(space, out_indices=out_indices).eval()
    table = count_costs(backbone, 32)
    running = backbone.num_running
    assert running == (2, 3, 5)[out_indices[-1]]
    for name in ("params", "macs"):
        assert (table[name].table[:running] > 0).all()
        assert not table[name].table[running:].any()
    for arch in ("00-0-00", "01-1-10", "11-1-11"):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            backbone(torch.zeros(1, 3, 32, 32), arch)
        assert table.cost(arch).macs == counter.get_total_flops() // 2


@pytest.mark.parametrize("strides", [None, (1, 2, 1, 1)])
@pytest.mark.parametrize("size", [(224, 224), (97, 61)])
def test_what_is_counted_is_what_the_formulas_say(strides, size):
    space = SearchSpace()
    with torch.device("meta"):
        supernet = PiNASSupernet(space, in_channels=4, strides=strides)
    fixed, params, macs = formulas(space, size, 10, in_channels=4, strides=strides)
    table = count_costs(supernet, size, 10)
    rng, blocks = np.random.default_rng(0), np.arange(16)
    for arch in space.sample(20, rng):
        cost = table.cost(arch)
        assert cost.params == fixed.params + params[blocks, list(arch)].sum()
        assert cost.macs == fixed.macs + macs[blocks, list(arch)].sum()


def test_output_stride_8_costs_what_is_computed():
    # What the space's own strides cost is about a quarter of it.
    strides, dilations = (1, 2, 1, 1), (1, 1, 2, 4)
    with torch.device("meta"):
        supernet = PiNASSupernet(strides=strides, dilations=dilations)
    assert round(count_costs(supernet).cost("pinas_cls").macs / 1e9, 3) == 19.973
    assert round(count_costs(supernet.space).cost("pinas_cls").macs / 1e9, 3) == 5.330


def test_a_cost_of_ones_own_is_one_function(space):
    @COSTS.register_module(name="batch_norms")
    def batch_norms(part, x):
        assert x.device.type == "meta"
        assert len(x) == 1
        return sum(isinstance(module, nn.BatchNorm2d) for module in part.modules())

    try:
        cost = count_costs(space, 32, names=("batch_norms",))["batch_norms"]
        # Stem 3; a block 4, and 2 of 3 blocks a shortcut.
        assert cost.of([space.arch("000")]).tolist() == [3 + 3 * 4 + 2]
        assert Objective.parse("batch_norms").direction == "minimize"
    finally:
        del COSTS.module_dict["batch_norms"]
    with pytest.raises(
        UserError, match=r"cost batch_norm: .* is unknown: known are pinas_mm.macs, pinas_mm.params"
    ):
        count_costs(space, names=("batch_norm",))


def test_the_published_architectures_cost_what_was_measured():
    table = count_costs(SearchSpace(), num_classes=1000)
    cls, trans = table.cost("301-3231-203213-032"), table.cost("333-3113-330011-021")
    assert (cls.params, trans.params) == (27_046_278, 27_039_016)
    assert (round(cls.macs / 1e9, 3), round(trans.macs / 1e9, 3)) == (5.332, 5.254)


def test_bounds_are_the_extremes_of_all_architectures(space):
    table = count_costs(space, 32, 10)
    costs = [table.cost(arch) for arch in itertools.product(range(4), repeat=3)]
    low, high = table.bounds()
    assert (low.params, low.macs) == (min(c.params for c in costs), min(c.macs for c in costs))
    assert (high.params, high.macs) == (max(c.params for c in costs), max(c.macs for c in costs))


@pytest.mark.parametrize("wrong", [dict(image_size=0), dict(num_classes=-1)])
def test_impossible_sizes_are_refused(space, wrong):
    with pytest.raises(UserError, match="must be at least 1"):
        count_costs(space, **wrong)


def test_the_tool_prints_architecture_and_bounds(tool):
    status, out, err = tool("cost.py", "3013231203213032")
    assert (status, err) == (0, "")
    first, last = out.splitlines()
    assert first == "301-3231-203213-032  27,046,278 parameters, 5.332 G multiply-adds"
    assert last.startswith("of 4^16 = 4.3e+09 architectures")


def test_the_tool_counts_the_network_of_the_config(tool, space):
    config = "--config", CONFIGS / "small_supernet.py", "--size", 224, "--classes", 0
    coarser = "--cfg-options", "model.backbone.strides=[2,2]", "model.backbone.in_channels=2"
    for options, network in (
        ((), PiNASSupernet(space)),
        (coarser, PiNASSupernet(space, strides=(2, 2), in_channels=2)),
    ):
        status, out, _ = tool("cost.py", "31-2", *config, *options)
        assert status == 0
        assert f"31-2  {count_costs(network, 224).cost('31-2')}" in out.splitlines()


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
