"""What a choice block can be, described without torch: one file an operation."""

from pinas_mm.operations.base import BlockSpec, Operation
from pinas_mm.operations.convnext import ConvNeXtBlock
from pinas_mm.operations.identity import Identity
from pinas_mm.operations.mobilenet import InvertedResidual
from pinas_mm.operations.module import Module
from pinas_mm.operations.resnest import ResNeStBottleneck, ResNeStFastBottleneck
from pinas_mm.operations.resnet import ResNetBottleneck

__all__ = [
    "BlockSpec",
    "ConvNeXtBlock",
    "Identity",
    "InvertedResidual",
    "Module",
    "Operation",
    "ResNeStBottleneck",
    "ResNeStFastBottleneck",
    "ResNetBottleneck",
]
