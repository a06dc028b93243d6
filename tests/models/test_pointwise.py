"""Narrow strided 1x1 convolutions, whose gradients oneDNN writes past its memory for."""

import copy

import pytest
import torch
from torch import nn

from pinas_mm.models import PiNASBackbone
from pinas_mm.models.pointwise import PointwiseConv, stride_before

SPACE = dict(
    skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=8),
    candidates=[dict(type="pinas_mm.ResNetBottleneck")],
    depths=(1, 1),
    widths=(8, 16),
    strides=(2, 2),
)


@pytest.mark.parametrize(("stride", "groups", "bias"), [(2, 1, False), ((2, 3), 2, True)])
def test_it_computes_and_learns_what_a_conv2d_does(stride, groups, bias):
    conv = nn.Conv2d(4, 6, 1, stride, groups=groups, bias=bias).double()
    other = copy.deepcopy(conv)
    stride_before(other)
    assert type(other) is PointwiseConv
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    # Not in channels_last: there the plain one would write past its memory.
    wanted, out = conv(x), other(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, wanted)
    wanted.square().sum().backward()
    out.square().sum().backward()
    for one, parameter in zip(other.parameters(), conv.parameters(), strict=True):
        torch.testing.assert_close(one.grad, parameter.grad)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(16, 8, 1, 2),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, 2),
        nn.Conv2d(8, 8, 1, 2, padding=1),
    ],
)
def test_others_stay(conv):
    stride_before(conv)
    assert type(conv) is nn.Conv2d


def test_a_network_has_them_under_the_same_names():
    backbone = PiNASBackbone("0-0", SPACE)
    backbone.init_weights()
    for network in (backbone, copy.deepcopy(backbone)):
        projections = [m for m in network.modules() if isinstance(m, PointwiseConv)]
        assert projections == [network.layer1[0].downsample[0], network.layer2[0].downsample[0]]
        assert "layer1.0.downsample.0.weight" in network.state_dict()
    # Kaiming's, as a Conv2d's are.
    assert projections[0].weight.std() > 0.3
