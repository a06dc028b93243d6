"""What stands around the choice blocks, described without torch: one file a skeleton."""

from pinas_mm.skeletons.base import Skeleton
from pinas_mm.skeletons.convnext import ConvNeXtSkeleton
from pinas_mm.skeletons.mobilenet import MobileNetV2Skeleton
from pinas_mm.skeletons.plain import PlainSkeleton
from pinas_mm.skeletons.resnest import ResNeStSkeleton

__all__ = [
    "ConvNeXtSkeleton",
    "MobileNetV2Skeleton",
    "PlainSkeleton",
    "ResNeStSkeleton",
    "Skeleton",
]
