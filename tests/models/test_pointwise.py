"""1x1 convolutions compute what a Conv2d does, as matrix products or striding beforehand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pinas_mm.models import PiNASBackbone
from pinas_mm.models.pointwise import FEW_PIXELS, PointwiseConv, make_pointwise

ROUNDING = dict(rtol=1e-4, atol=1e-4)
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
    make_pointwise(other)
    assert type(other) is PointwiseConv
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    # Not in channels_last: there the plain one would write past its memory.
    wanted, out = conv(x), other(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, wanted)
    wanted.square().sum().backward()
    out.square().sum().backward()
    for one, parameter in zip(other.parameters(), conv.parameters(), strict=True):
        torch.testing.assert_close(one.grad, parameter.grad)


@pytest.fixture
def calls(monkeypatch):
    """What the functional interface is asked for, convolutions and products."""
    made = []
    for name in ("conv2d", "linear"):
        function = getattr(F, name)

        def noted(*given, name=name, function=function, **options):
            made.append(name)
            return function(*given, **options)

        monkeypatch.setattr(F, name, noted)
    return made


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", [1, 4, 16, 17])
def test_of_few_pixels_it_is_a_matrix_product(side, bias, calls):
    exact = nn.Conv2d(24, 40, 1, bias=bias).double()
    conv = copy.deepcopy(exact).float().to(memory_format=torch.channels_last)
    make_pointwise(conv)
    x = torch.randn(4, 24, side, side).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    x_exact = x.detach().double().requires_grad_()
    out, wanted = conv(x), F.conv2d(x_exact, exact.weight, exact.bias)
    assert calls[0] == ("linear" if 4 * side**2 <= FEW_PIXELS else "conv2d")
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out.double(), wanted, **ROUNDING)
    slopes = torch.randn_like(out)
    out.backward(slopes)
    wanted.backward(slopes.double())
    torch.testing.assert_close(x.grad.double(), x_exact.grad, **ROUNDING)
    for one, parameter in zip(conv.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(one.grad.double(), parameter.grad, **ROUNDING)


@pytest.mark.parametrize("kind", ["groups", "layout", "float64", "autocast", "traced"])
def test_elsewhere_it_is_a_convolution(kind, calls):
    conv = nn.Conv2d(8, 8, 1, groups=2 if kind == "groups" else 1)
    make_pointwise(conv)
    x = torch.randn(2, 8, 3, 3)
    x = x if kind == "layout" else x.contiguous(memory_format=torch.channels_last)
    if kind == "float64":
        conv.double()(x.double())
    elif kind == "traced":
        torch.jit.trace(conv, x, check_trace=False)
    else:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            conv(x)
    assert set(calls) == {"conv2d"}


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(16, 8, 1, 2),
        nn.Conv2d(8, 8, 3, 2),
        nn.Conv2d(8, 8, 1, 2, padding=1),
    ],
)
def test_others_stay(conv):
    make_pointwise(conv)
    assert type(conv) is nn.Conv2d


def test_a_network_has_them_under_the_same_names():
    backbone = PiNASBackbone("0-0", SPACE)
    backbone.init_weights()
    for network in (backbone, copy.deepcopy(backbone)):
        blocks = network.layer1[0], network.layer2[0]
        projections = [block.downsample[0] for block in blocks]
        assert all(type(projection) is PointwiseConv for projection in projections)
        assert "layer1.0.downsample.0.weight" in network.state_dict()
    # Kaiming's, as a Conv2d's are.
    assert projections[0].weight.std() > 0.3
