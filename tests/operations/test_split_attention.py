"""The candidate block computes what mmpretrain's ResNeSt block does, and keeps channels_last."""

from functools import partial

import pytest
import torch
from mmpretrain.models.backbones.resnest import Bottleneck, SplitAttentionConv2d

from pinas_mm.operations import BlockSpec, ResNeStBottleneck
from pinas_mm.operations.split_attention import (
    SplitAttention,
    SplitAttentionBlock,
)
from pinas_mm.skeletons import ResNeStSkeleton

BN = dict(type="BN")
build_shortcut = ResNeStSkeleton().shortcut
CANDIDATES = [
    ResNeStBottleneck(*c) for c in [(1, 1, 64), (2, 1, 64), (1, 2, 42), (2, 2, 40), (4, 2, 32)]
]


def spec(**change):
    usual = dict(
        stage=1, index=0, in_channels=64, planes=64, out_channels=256, stride=2, dilation=1
    )
    return BlockSpec(**{**usual, **change})


def randomized(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(torch.randn_like(tensor) / max(tensor[0].numel(), 4) ** 0.5)
    return module


def assert_same(one, other, x):
    """Same outputs, input and weight gradients in training, same statistics, same in eval.

    In float64: float32 kernels differ from CPU to CPU by more than a bound that finds a fault.
    """
    other.load_state_dict(one.state_dict())
    x = x.double()
    results = []
    for module in (one.double(), other.double()):
        inputs = x.clone().requires_grad_()
        out = module.train()(inputs)
        out.square().sum().backward()
        grads = [inputs.grad, *(p.grad for p in module.parameters())]
        results.append([out, *grads, *module.buffers(), module.eval()(x)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
def test_split_attention_is_resnests(candidate, dilation):
    ours = randomized(SplitAttention(candidate, 64, dilation, BN))
    width = candidate.group_width(64)
    theirs = SplitAttentionConv2d(
        width,
        width,
        3,
        padding=dilation,
        dilation=dilation,
        groups=candidate.groups,
        radix=candidate.radix,
    )
    assert_same(ours, theirs, torch.randn(3, width, 9, 7))


def plain(module, x):
    """The specification: every map that ResNeSt's equations name is written down."""
    batch, radix, groups = len(x), module.radix, module.groups
    x = torch.relu(module.bn0(module.conv(x)))
    splits = x.reshape(batch, radix, -1, *x.shape[2:])
    pooled = splits.sum(1).mean((2, 3), keepdim=True)
    weights = module.fc2(torch.relu(module.bn1(module.fc1(pooled)))).reshape(
        batch, groups, radix, -1
    )
    weights = weights.sigmoid() if radix == 1 else weights.softmax(2)
    return (splits * weights.transpose(1, 2).reshape(batch, radix, -1, 1, 1)).sum(1)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_no_split_is_copied_and_the_sum_is_the_same(candidate, train):
    module = randomized(SplitAttention(candidate, 64, 1, BN)).double().train(train)
    results = []
    for run in (module, partial(plain, module)):
        x = torch.randn(
            3, candidate.group_width(64), 9, 7, generator=torch.Generator().manual_seed(1)
        )
        out = run(x.double().requires_grad_())
        module.zero_grad()
        out.square().sum().backward()
        results.append([out, *(p.grad.clone() for p in module.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_mixed_precision_stays_in_it(candidate):
    module = randomized(SplitAttention(candidate, 64, 1, BN))
    x = torch.randn(3, candidate.group_width(64), 9, 7)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), module(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_a_striding_block_is_resnests(candidate):
    place = spec()
    ours = SplitAttentionBlock(place, candidate, build_shortcut(place, BN), True, BN)
    theirs = Bottleneck(
        64,
        256,
        groups=candidate.groups,
        width_per_group=candidate.base_width,
        radix=candidate.radix,
        stride=2,
        downsample=build_shortcut(place, BN),
    )
    assert_same(randomized(ours), theirs, torch.randn(3, 64, 9, 6))


def test_the_shortcut_is_there_only_where_sizes_change():
    assert build_shortcut(spec(stride=1, in_channels=256), BN) is None
    for change in (dict(stride=2, in_channels=256), dict(stride=1, in_channels=64)):
        place = spec(**change)
        shortcut = build_shortcut(place, BN)
        out = shortcut(torch.randn(2, place.in_channels, 7, 5))
        assert out.shape == ((2, 256, 4, 3) if place.stride == 2 else (2, 256, 7, 5))


def test_norms_come_from_the_config():
    group_norm = dict(type="GN", num_groups=4)
    place = spec()
    block = SplitAttentionBlock(
        place, CANDIDATES[1], build_shortcut(place, group_norm), True, group_norm
    )
    norms = [m for m in block.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert len(norms) == 5
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in block.modules())


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_channels_last_goes_through(candidate):
    place = spec()
    block = SplitAttentionBlock(place, candidate, build_shortcut(place, BN), True, BN)
    block = block.to(memory_format=torch.channels_last)
    x = torch.randn(2, 64, 8, 8).contiguous(memory_format=torch.channels_last)
    assert block(x).is_contiguous(memory_format=torch.channels_last)
