"""Bad spaces and operations are refused in one line that says what, where and what is allowed."""

import dataclasses

import pytest
import torch
from spaces import CONV, PLAIN
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.operations import Identity, Module, Operation, ResNetBottleneck
from pinas_mm.registry import OPERATIONS
from pinas_mm.space import SearchSpace

BOTTLENECK, SKIP = ResNetBottleneck(), Identity()


def config(*candidates, **changes):
    """Of blocks of 8 channels, two of 16 after them, the first of which strides."""
    plain = dict(depths=(2, 2), widths=(8, 16), strides=(1, 2), skeleton=PLAIN)
    return dict(candidates=list(candidates), **{**plain, **changes})


def one_line(call, *arguments):
    """What a :class:`UserError` says."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def residual(**arguments):
    return dict(type="pinas_mm.InvertedResidual", **arguments)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(type="ResNetBotleneck"), ["candidate 1", "ResNetBotleneck is unknown", "mean"]),
        (dict(type="pinas_mm.Identitty"), ["Identitty is unknown", "Identity?", "InvertedRes"]),
        ("MBConv", ["candidate 1: operation MBConv is unknown: known are", "ConvNeXtBlock"]),
        (dict(type="pinas_mm.PlainSkeleton"), ["operation pinas_mm.PlainSkeleton is unknown"]),
        (residual(width=3), ["candidate 1: InvertedResidual does not take", "width", "expansion"]),
        (residual(kernel=4), ["candidate 1: InvertedResidual has kernel=4: odd ones"]),
        (residual(kernel="3"), ["InvertedResidual has kernel='3': a whole number of at least 1"]),
        (residual(expansion=0), ["InvertedResidual has expansion=0: a whole number of at least"]),
        (residual(expansion=1.5), ["InvertedResidual has expansion=1.5"]),
        (residual(squeeze=-1), ["InvertedResidual has squeeze=-1: a whole number of at least 0"]),
        (dict(type="pinas_mm.ConvNeXtBlock", kernel=True), ["ConvNeXtBlock has kernel=True"]),
        (dict(type="pinas_mm.ResNetBottleneck", groups=-1), ["has groups=-1"]),
        (
            dict(type="pinas_mm.ResNetBottleneck", base_width=4),
            ["candidate 1 has no channels at width 8: raise its base_width (4)"],
        ),
        (dict(type="pinas_mm.Module"), ["candidate 1: Module does not take {}", "cfg"]),
        (dict(type="pinas_mm.Module", cfg="Conv"), ["Module has cfg='Conv': give a module's"]),
        (dict(type="pinas_mm.Module", cfg={}), ["Module has cfg={}: give a module's config"]),
        (dict(type=nn.Conv2d, in_channels=1, out_channels=1, kernel_size=1), ["no Operation"]),
        (Identity, ["candidate 1 is <class", "or an operation's type"]),
    ],
)
def test_a_wrong_candidate(wrong, said):
    text = one_line(SearchSpace.build, config(BOTTLENECK, wrong))
    assert all(part in text for part in said), text


@pytest.mark.parametrize(
    ("skeleton", "said"),
    [
        (
            "pinas_mm.PlaneSkeleton",
            ["skeleton pinas_mm.PlaneSkeleton is unknown", "PlainSkeleton?"],
        ),
        ("pinas_mm.Identity", ["skeleton pinas_mm.Identity is unknown: known are", "ConvNeXtSke"]),
        (None, ["skeleton None is unknown"]),
        (
            dict(type="pinas_mm.PlainSkeleton", depth=3),
            ["PlainSkeleton does not take {'depth': 3}"],
        ),
        (dict(type="pinas_mm.PlainSkeleton", stem_width=0), ["PlainSkeleton has stem_width=0"]),
        (
            dict(type="pinas_mm.MobileNetV2Skeleton", last_width=-1),
            ["has last_width=-1", "least 0"],
        ),
        (dict(type="pinas_mm.ConvNeXtSkeleton", stem_stride=2.0), ["has stem_stride=2.0"]),
    ],
)
def test_a_wrong_skeleton(skeleton, said):
    text = one_line(SearchSpace.build, config(BOTTLENECK, skeleton=skeleton))
    assert all(part in text for part in said), text


def test_what_a_skeleton_does_not_have():
    space = config(BOTTLENECK, skeleton="pinas_mm.ConvNeXtSkeleton", expansion=4, stem_pool=True)
    text = one_line(SearchSpace.build, space)
    assert text == "ConvNeXtSkeleton has no expansion, stem_pool; it has stem_stride"


def test_a_candidate_that_stands_in_no_block():
    places = dict(depths=(1, 1), widths=(12, 16))
    text = one_line(SearchSpace.build, config(BOTTLENECK, SKIP, **places))
    assert text.startswith("candidate 1 (skip) stands in no block: take it out")
    text = one_line(SearchSpace.build, config(BOTTLENECK, SKIP, allowed={"layer1": 0, "layer2": 0}))
    assert text.startswith("candidate 1 (skip) stands in no block: take it out")


def test_a_block_with_no_candidate_left():
    text = one_line(SearchSpace.build, config(SKIP))
    stride = "none fits where the stride is 2 and 8 channels become 16"
    assert text == f"block 2 (layer2.0) has no candidate left: of 0 {stride}"
    text = one_line(SearchSpace.build, config(BOTTLENECK, SKIP, allowed={"layer2.0": [1]}))
    assert text == f"block 2 (layer2.0) has no candidate left: of 1 {stride}"
    text = one_line(SearchSpace.build, config(BOTTLENECK, SKIP, allowed={"layer1.1": []}))
    assert text.startswith("block 1 (layer1.1) has no candidate left")
    channels = Module(CONV, out_channels=None)
    text = one_line(SearchSpace.build, config(channels, widths=(8, 12), strides=(1, 1)))
    assert text.startswith("block 2 (layer2.0) has no candidate left: of 0 none fits where")


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ({"layer3": [0]}, "names 'layer3': write a stage (layer1, layer2) or a block, as layer1.0"),
        ({"layer1.2": [0]}, "names 'layer1.2': write a stage"),
        ({"stage1": [0]}, "names 'stage1': write a stage"),
        ({1: [0]}, "names 1: write a stage"),
        ({"layer1": [0, 2]}, "has 2 at layer1.0: candidates are 0 to 1"),
        ({"layer2.1": [-1]}, "has -1 at layer2.1: candidates are 0 to 1"),
        ({"layer2": ["0"]}, "has '0' at layer2.0: candidates are 0 to 1"),
        ({"layer2": "01"}, "has '01' at layer2.0"),
        ({"layer1": [0.0]}, "has 0.0 at layer1.0"),
        ({"layer1": [True]}, "has True at layer1.0"),
        ({"layer1": None}, "has None at layer1.0"),
        ([[0, 1]] * 3, "has 3 rows, the space 4 blocks"),
        ([[0, 1]] * 5, "has 5 rows, the space 4 blocks"),
        ([[True, True, False]] * 4, "has True at layer1.0"),
        (7, "is 7: give candidates by stage or block, or a list"),
    ],
)
def test_a_wrong_allowed(allowed, said):
    text = one_line(SearchSpace.build, config(BOTTLENECK, SKIP, allowed=allowed))
    assert text.startswith(f"allowed {said}")


class Listed:
    """Registered, and no operation."""


@dataclasses.dataclass(frozen=True)
class Unbuilt(Operation):
    """Without build()."""


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Listed, "candidate 1: Listed is no Operation"),
        (Unbuilt, "candidate 1: Unbuilt does not take {} (Can't instantiate abstract class"),
    ],
)
def test_a_registered_class_that_is_no_operation(cls, said):
    OPERATIONS.register_module(module=cls)
    try:
        text = one_line(SearchSpace.build, config(BOTTLENECK, dict(type=cls.__name__)))
    finally:
        del OPERATIONS.module_dict[cls.__name__]
    assert text.startswith(said)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@dataclasses.dataclass(frozen=True)
class Own(Operation):
    """A user's, with a fault."""

    fault: str

    def build(self, spec, shortcut, norm_cfg):
        channels = spec.in_channels, spec.out_channels
        match self.fault:
            case "raises":
                raise RuntimeError("cannot be built here\nnor there")
            case "silent":
                raise ValueError
            case "refuses":
                raise UserError("give another number")
            case "nothing":
                return None
            case "pair":
                return Pair()
            case "no stride":
                return nn.Conv2d(*channels, 1)
            case "no padding":
                return nn.Conv2d(*channels, 3, spec.stride)
            case "other channels":
                return nn.Conv2d(spec.in_channels, 5, 1, spec.stride)
            case "takes other channels":
                return nn.Conv2d(5, spec.out_channels, 1)


FIRST = "block 0 (layer1.0, 8 to 8 channels, stride 1): "
NEIGHBOURS = "its neighbours' is (2, 8, 9, 9): all candidates of a block must give the same shape"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", f"{FIRST}RuntimeError: cannot be built here"),
        ("silent", f"{FIRST}ValueError: no reason given"),
        ("refuses", f"{FIRST}give another number"),
        ("nothing", f"{FIRST}build() gave a NoneType, not a module"),
        ("pair", f"{FIRST}its output for (2, 8, 9, 9) is tuple, {NEIGHBOURS}"),
        ("no padding", f"{FIRST}its output for (2, 8, 9, 9) is (2, 8, 7, 7), {NEIGHBOURS}"),
        ("other channels", f"{FIRST}its output for (2, 8, 9, 9) is (2, 5, 9, 9), {NEIGHBOURS}"),
        (
            "no stride",
            "block 2 (layer2.0, 8 to 16 channels, stride 2): its output for (2, 8, 9, 9) is "
            "(2, 16, 9, 9), its neighbours' is (2, 16, 5, 5): all candidates of a block must give "
            "the same shape",
        ),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_operation_of_ones_own_that_does_not_do(fault, said, device):
    space, text = (
        SearchSpace.build(config(BOTTLENECK, Own(fault))),
        f"candidate 1 (Own {fault}) at ",
    )
    with torch.device(device):
        lines = [one_line(PiNASSupernet, space), one_line(PiNASBackbone, "1111", space)]
    for line in lines:
        told, _, place = line.partition(f": in {__file__}:")
        assert told == text + said
        assert place.endswith(", build") == (fault in ("raises", "silent"))
    # What does not run does not matter.
    assert PiNASBackbone("0000", space)


def test_an_operation_that_fails_as_it_runs():
    space = SearchSpace.build(config(BOTTLENECK, Own("takes other channels")))
    text = one_line(PiNASSupernet, space)
    assert text.startswith(f"candidate 1 (Own takes other channels) at {FIRST}RuntimeError: ")
    assert "expected input" in text


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            Module(dict(type="Nope")),
            "(Nope) at block 0 (layer1.0, 8 to 8 channels, stride 1): Module Nope: type Nope is "
            "unknown, and nothing is imported for it: one of your own is known once its file is",
        ),
        (Module(dict(type="mmengine.ConvModule")), "missing 1 required positional argument: 'ker"),
        (Module(CONV, norm_cfg="norm"), "unexpected keyword argument 'norm'"),
        (Module({**CONV, "padding": 0}), f"is (2, 8, 7, 7), {NEIGHBOURS}"),
        (
            Module({**CONV, "order": ("act", "conv", "norm")}, norm_cfg="norm_cfg"),
            f"{FIRST}it changes its input in place, which others read too: set inplace=False",
        ),
        (Module(CONV, residual=True, scale="bn.weight"), "ConvModule has no parameter bn.weight"),
    ],
)
def test_a_module_that_does_not_do(module, said):
    # As a latency is measured, too.
    for inference in (False, True):
        with torch.inference_mode(inference):
            text = one_line(PiNASSupernet, config(BOTTLENECK, module))
        assert text.startswith("candidate 1 (")
        assert said in text
