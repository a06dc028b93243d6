"""Operations compute what mmpretrain's blocks do, fit where they can, and are their configs."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from mmpretrain.models.backbones import ConvNeXt, MobileNetV2
from mmpretrain.models.backbones.convnext import ConvNeXtBlock as MMConvNeXtBlock
from mmpretrain.models.backbones.resnet import Bottleneck as MMBottleneck
from mmpretrain.models.utils import InvertedResidual as MMInvertedResidual
from spaces import CONV, PLAIN
from supernet_files import shaken
from torch import nn

from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.cost import count_costs
from pinas_mm.operations import (
    BlockSpec,
    ConvNeXtBlock,
    Identity,
    InvertedResidual,
    Module,
    Operation,
    ResNeStBottleneck,
    ResNeStFastBottleneck,
    ResNetBottleneck,
)
from pinas_mm.search.samplers.features import descriptors
from pinas_mm.skeletons import ConvNeXtSkeleton, MobileNetV2Skeleton, PlainSkeleton
from pinas_mm.space import SearchSpace
from pinas_mm.weights.subnet import subnet_state

BN = dict(type="BN")
BLOCK = BlockSpec(0, 1, in_channels=16, planes=16, out_channels=16, stride=1, dilation=1)
SHAPED = [
    ConvNeXtBlock(kernel=5),
    InvertedResidual(kernel=5, squeeze=4),
    Module(CONV, norm_cfg="norm_cfg"),
    Module(CONV, residual=True),
    ResNeStBottleneck(2, 1, 64),
    ResNeStFastBottleneck(2, 1, 64),
    ResNetBottleneck(kernel=5, groups=4, dilation=2, squeeze=2),
    ResNetBottleneck(groups=0),
]


def placed(**changes):
    return dataclasses.replace(BLOCK, strided=None, **changes)


def features(network, size):
    """Outputs and the input's gradient."""
    x = torch.randn(2, *size, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    out = network(x.requires_grad_())
    out = out[-1] if isinstance(out, tuple) else out
    weights = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(4))
    return out.detach(), *torch.autograd.grad((out * weights).sum(), x)


def assert_same(ours, theirs, size, tensors=None):
    """Compares them with the same weights, in evaluation and in training."""
    ours, theirs = shaken(ours).double(), theirs.double()
    tensors = list(ours.state_dict().values()) if tensors is None else tensors(ours)
    for value, given in zip(theirs.state_dict().values(), tensors, strict=True):
        value.copy_(given.reshape(value.shape))
    for train in (False, True):
        ours.train(train)
        theirs.train(train)
        one, other = features(ours, size), features(theirs, size)
        assert one[0].std() > 1e-3
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_bottlenecks_are_mmpretrains(stride, dilation):
    channels = 16 if stride == 1 else 12
    spec = placed(in_channels=channels, planes=4, stride=stride, dilation=dilation)
    projections = [PlainSkeleton().shortcut(spec, BN) for _ in range(2)]
    assert (projections[0] is None) == (stride == 1)
    ours = ResNetBottleneck().build(spec, projections[0], BN)
    theirs = MMBottleneck(channels, 16, stride=stride, dilation=dilation, downsample=projections[1])
    assert_same(ours, theirs, (channels, 9, 12))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "expansion"), [(3, 1), (3, 6), (5, 2)])
def test_inverted_residuals_are_mmpretrains(kernel, expansion, stride):
    spec = placed(stride=stride, rectified=False)
    ours = InvertedResidual(kernel, expansion).build(spec, None, BN)
    act = dict(type="ReLU6")
    theirs = MMInvertedResidual(16, 16, 16 * expansion, kernel, stride, act_cfg=act)
    assert_same(ours, theirs, (16, 9, 12))


def gamma_first(block):
    *others, gamma = block.state_dict().values()
    return [gamma, *others]


@pytest.mark.parametrize(("kernel", "expansion"), [(7, 4), (3, 2)])
def test_convnext_blocks_are_mmpretrains(kernel, expansion):
    ours = ConvNeXtBlock(kernel, expansion).build(placed(rectified=False), None, BN)
    conv = dict(kernel_size=kernel, padding=kernel // 2)
    theirs = MMConvNeXtBlock(16, conv, mlp_ratio=expansion, linear_pw_conv=False)
    assert_same(ours, theirs, (16, 9, 12), gamma_first)


def test_mobilenet_v2_is_an_architecture_of_its_skeleton():
    space = SearchSpace(
        [InvertedResidual(3, 1), InvertedResidual(3, 6)], skeleton=MobileNetV2Skeleton()
    )
    ours = PiNASBackbone([0] + [1] * 16, space, out_indices=(6,))
    assert_same(ours, MobileNetV2(), (3, 64, 64))


def test_convnext_tiny_is_an_architecture_of_its_skeleton():
    space = SearchSpace([ConvNeXtBlock()], skeleton=ConvNeXtSkeleton())
    theirs = ConvNeXt("tiny", linear_pw_conv=False, gap_before_final_norm=False)

    def in_their_order(network):
        around = [network.stem, *(getattr(network, f"transition{n}") for n in (2, 3, 4))]
        layers = [value for module in around for value in module.state_dict().values()]
        blocks = [value for n in range(18) for value in gamma_first(network.block(n))]
        return [*layers, *blocks, *network.output.state_dict().values()]

    assert_same(
        PiNASBackbone([0] * 18, space, out_indices=(3,)), theirs, (3, 64, 64), in_their_order
    )


@pytest.mark.parametrize("operation", SHAPED, ids=lambda operation: operation.label)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_strides_round_sizes_up(operation, stride):
    spec = placed(in_channels=8, stride=stride)
    for skeleton in (PlainSkeleton(), MobileNetV2Skeleton()):
        module = operation.build(spec, skeleton.shortcut(spec, BN), BN).eval()
        for height, width in ((1, 7), (8, 13), (9, 6)):
            out = module(torch.zeros(1, 8, height, width))
            assert out.shape == (1, 16, -(-height // stride), -(-width // stride))


def test_nothing_fits_only_where_nothing_changes():
    for stride in (1, 2):
        for channels in (8, 16):
            spec = placed(in_channels=channels, stride=stride)
            assert Identity().fits(spec) == (stride == 1 and channels == 16)
    x = torch.randn(1, 16, 3, 3)
    assert Identity().build(BLOCK, None, BN)(x) is x


@pytest.mark.parametrize(
    ("options", "fitting"),
    [
        ({}, [True, True, True]),
        (dict(stride=None), [True, True, False]),
        (dict(out_channels=None), [True, False, False]),
    ],
)
def test_a_module_fits_where_it_can_be_told_what_changes(options, fitting):
    specs = [BLOCK, placed(in_channels=8), placed(in_channels=8, stride=2)]
    assert [Module(CONV, **options).fits(spec) for spec in specs] == fitting


@pytest.mark.parametrize(
    ("operation", "numbers", "label"),
    [
        (ResNeStBottleneck(2, 1, 40), (2, 1, 40), "r2 g1 w40"),
        (ResNeStFastBottleneck(2, 1, 40), (2, 1, 40), "r2 g1 w40 fast"),
        (ResNetBottleneck(), (3, 1, 64, 1, 0), "k3 g1 w64"),
        (ResNetBottleneck(5, 0, 32, 2, 4), (5, 0, 32, 2, 4), "k5 dw w32 d2 se4"),
        (InvertedResidual(), (3, 6, 0), "k3 e6"),
        (InvertedResidual(5, 3, 4), (5, 3, 4), "k5 e3 se4"),
        (ConvNeXtBlock(), (7, 4), "k7 e4"),
        (Identity(), (), "skip"),
        (Module(CONV, norm_cfg="norm_cfg"), (), "ConvModule"),
        (Module(CONV, residual=True, scale="bn.weight", name="conv"), (), "conv"),
    ],
)
def test_operations_are_their_numbers_labels_and_configs(operation, numbers, label):
    assert operation.numbers() == numbers
    assert operation.label == label
    space = SearchSpace([operation], (2,), (16,), (1,), skeleton=PlainSkeleton(stem_width=16))
    plain = json.loads(json.dumps(space.to_dict()))
    built = SearchSpace.build(plain)
    assert built.candidates == (operation,)
    assert (built, hash(built)) == (space, hash(space))


def test_modules_of_the_same_config_are_equal_in_any_order():
    one, other = Module(CONV), Module(dict(reversed(CONV.items())))
    assert (one, hash(one)) == (other, hash(other))
    assert one != Module({**CONV, "kernel_size": 5})


def initialized(*candidates):
    """A supernet of one block that strides, as training starts."""
    torch.manual_seed(0)
    supernet = PiNASSupernet(SearchSpace(candidates, (1,), (16,), (2,), skeleton=PLAIN))
    supernet.init_weights()
    return supernet.eval()


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        (dict(residual=True, scale="bn.weight", norm_cfg="norm_cfg"), True),
        (dict(residual=True, norm_cfg="norm_cfg"), False),
        (dict(norm_cfg="norm_cfg"), False),
    ],
)
def test_a_module_starts_as_the_shortcut_where_it_says_what_scales_it(options, starts):
    supernet = initialized(ResNetBottleneck(), Module(CONV, **options))
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(supernet(x, "0")[0], supernet(x, "1")[0]) == starts
    used = [key for key in supernet.state_dict() if key.startswith("layer1.0.1.downsample.")]
    assert bool(used) == options.get("residual", False)


def test_with_residual_the_shortcut_is_added_and_the_sum_rectified():
    spec = placed(in_channels=8, stride=2)
    shortcut = PlainSkeleton().shortcut(spec, BN)
    block = shaken(Module(CONV, residual=True).build(spec, shortcut, BN))
    x = torch.randn(2, 8, 9, 9)
    summed = block.branch(x) + shortcut(x)
    assert (summed < 0).any()
    assert torch.equal(block(x), summed.relu())


@dataclasses.dataclass(frozen=True)
class Project(Operation):
    """A user's: the shortcut alone, then a layer, in a container that runs what it lists."""

    nested: bool = False

    def build(self, spec, shortcut, norm_cfg):
        layers = nn.Sequential(nn.Identity() if shortcut is None else shortcut, nn.Tanh())
        return nn.Sequential(layers) if self.nested else layers


@pytest.mark.parametrize("nested", [False, True])
def test_a_shortcut_in_a_users_sequence_runs_in_a_supernet_too(nested):
    space = SearchSpace([ResNetBottleneck(), Project(nested)], (2,), (16,), (2,), skeleton=PLAIN)
    supernet, x = shaken(PiNASSupernet(space)), torch.randn(2, 3, 9, 9)
    for arch in map(space.arch, ("00", "01", "10", "11")):
        alone = PiNASBackbone(arch, space).eval()
        alone.load_state_dict(subnet_state(supernet.state_dict(), arch, space))
        assert torch.equal(supernet(x, arch)[0].contiguous(), alone(x)[0])
    listed = [id(p) for _, p in supernet.named_parameters(remove_duplicate=False)]
    assert len(listed) == len(set(listed))


@dataclasses.dataclass(frozen=True)
class Deeper(Operation):
    """A user's: as many convolutions as blocks stand before it in its stage, and one."""

    groups: int | None = None

    def build(self, spec, shortcut, norm_cfg):
        first = nn.Conv2d(spec.in_channels, spec.out_channels, 1, spec.stride)
        others = [nn.Conv2d(spec.out_channels, spec.out_channels, 1) for _ in range(spec.index)]
        return nn.Sequential(first, *others)


def test_what_a_users_operation_costs_can_depend_on_where_it_stands():
    space = SearchSpace([Deeper(), ResNetBottleneck()], (4,), (16,), (1,), skeleton=PLAIN)
    arch = space.arch("0000")
    alone = PiNASBackbone(arch, space)
    params = sum(parameter.numel() for parameter in alone.parameters())
    assert count_costs(space, 8).cost(arch).params == params


def test_what_is_no_number_orders_nothing():
    space = SearchSpace([Deeper(), Deeper(2), Deeper(4)], (1,), (16,), (1,), skeleton=PLAIN)
    assert [candidate.numbers() for candidate in space.candidates] == [(0,), (2,), (4,)]
    np.testing.assert_allclose(descriptors(space).ravel(), np.array([-1, 0, 1]) * 1.5**0.5)
