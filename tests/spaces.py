"""Small search spaces of every skeleton and every operation, and what their networks cost."""

import numpy as np
import torch
from torch import nn

from pinas_mm.operations import (
    ConvNeXtBlock,
    Identity,
    InvertedResidual,
    Module,
    ResNetBottleneck,
)
from pinas_mm.skeletons import ConvNeXtSkeleton, MobileNetV2Skeleton, PlainSkeleton
from pinas_mm.space import SearchSpace

CONV = dict(type="mmengine.ConvModule", kernel_size=3, padding=1)
MIXED = (
    ResNetBottleneck(),
    InvertedResidual(kernel=5, expansion=2),
    ConvNeXtBlock(kernel=3, expansion=2),
    Identity(),
    Module(CONV, norm_cfg="norm_cfg"),
)
PLAIN = PlainSkeleton(stem_width=8)

SPACES = dict(
    resnest=SearchSpace(
        depths=(2, 1), widths=(16, 32), strides=(1, 2), expansion=1, stem_widths=(4, 4, 8)
    ),
    plain=SearchSpace(
        skeleton=PlainSkeleton(expansion=2, stem_width=8, stem_stride=2, stem_pool=True),
        candidates=[ResNetBottleneck(), ResNetBottleneck(5), ResNetBottleneck(3, 2, 24)],
        depths=(2, 1, 1),
        widths=(8, 8, 12),
        strides=(1, 2, 2),
    ),
    mobilenet=SearchSpace(
        skeleton=MobileNetV2Skeleton(stem_width=8, last_width=20),
        candidates=[
            InvertedResidual(3, 1),
            InvertedResidual(5, 2),
            InvertedResidual(3, 3, squeeze=4),
        ],
        depths=(1, 2, 2),
        widths=(8, 12, 16),
        strides=(1, 2, 2),
    ),
    convnext=SearchSpace(
        skeleton=ConvNeXtSkeleton(),
        candidates=[ConvNeXtBlock(), ConvNeXtBlock(3), ConvNeXtBlock(5, 2)],
        depths=(1, 2, 1),
        widths=(8, 12, 16),
        strides=(1, 2, 2),
    ),
    # Every candidate of its own kind; Identity stands in three of four blocks.
    mixed=SearchSpace(
        skeleton=PLAIN, candidates=MIXED, depths=(2, 2), widths=(8, 16), strides=(1, 2)
    ),
    # Some candidates are forbidden by stage, some by block.
    masked=SearchSpace(
        skeleton=PLAIN,
        candidates=MIXED,
        depths=(2, 2),
        widths=(8, 16),
        strides=(1, 2),
        allowed={"layer1": [0, 2, 3], "layer2": [1, 4], "layer2.1": [0, 3, 4]},
    ),
    # Depthwise, dilated, with attention; and a module that is added to the shortcut.
    bottlenecks=SearchSpace(
        skeleton=PLAIN,
        candidates=[
            ResNetBottleneck(kernel=5, groups=0, base_width=96),
            ResNetBottleneck(dilation=2),
            ResNetBottleneck(squeeze=4),
            Module(CONV, norm_cfg="norm_cfg", residual=True, scale="bn.weight"),
        ],
        depths=(2, 2),
        widths=(8, 16),
        strides=(2, 2),
    ),
    mobilenet_skips=SearchSpace(
        skeleton=MobileNetV2Skeleton(stem_width=8, stem_stride=1, last_width=0),
        candidates=[InvertedResidual(3, 2), InvertedResidual(5, 2), Identity()],
        depths=(2, 3),
        widths=(8, 12),
        strides=(1, 2),
    ),
    # Of two stages alike nothing stands between; in the third the patches are 3 x 3.
    convnext_mixed=SearchSpace(
        skeleton=ConvNeXtSkeleton(stem_stride=2),
        candidates=[ConvNeXtBlock(3, 2), InvertedResidual(3, 2), ResNetBottleneck(), Identity()],
        depths=(1, 1, 2),
        widths=(8, 8, 12),
        strides=(1, 1, 3),
    ),
)


def archs(space, number):
    """Different ones, always the same."""
    return space.sample(number, np.random.default_rng(0))


def images(*size):
    """Two, always the same."""
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def counted(network, *sizes):
    """Multiply-adds that hooks see in convolutions and matrices, for an image of each size."""
    macs = []

    def count(module, inputs, output):
        # A weight meets each pixel of a convolution's output, each row of a matrix's.
        channels = 1 if isinstance(module, nn.Conv2d) else -1
        macs[-1] += module.weight.numel() * output.select(channels, 0).numel()

    for module in network.eval().modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    for size in sizes:
        macs.append(0)
        network(torch.zeros(1, 3, *size))
    return macs
