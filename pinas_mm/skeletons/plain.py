"""A plain skeleton for small images and for operations of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import BlockSpec, check_counts
from pinas_mm.skeletons.base import Skeleton

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class PlainSkeleton(Skeleton):
    """One 3x3 convolution as stem, 1x1 projections as shortcuts (He et al., ResNet, option B).

    Args:
        expansion: output channels of a block per plane.
        stem_width: channels of the stem.
        stem_stride: its stride.
        stem_pool: whether a 3x3 max pool of stride 2 ends it.
    """

    expansion: int = 1
    stem_width: int = 16
    stem_stride: int = 1
    stem_pool: bool = False

    depths: ClassVar = (3, 3, 3)
    widths: ClassVar = (16, 32, 64)
    strides: ClassVar = (1, 2, 2)

    def __post_init__(self) -> None:
        check_counts(self, "expansion", "stem_width", "stem_stride")

    @property
    def stem_reduction(self) -> int:
        """Of the convolution and of the pool."""
        return self.stem_stride * (2 if self.stem_pool else 1)

    @property
    def stem_layers(self) -> tuple[str, ...]:
        """The convolution, and the pool."""
        return ("3x3", *(["pool"] if self.stem_pool else []))

    def stem_channels(self, widths: Sequence[int]) -> int:
        """As many as it has."""
        return self.stem_width

    def stem(
        self, in_channels: int, widths: Sequence[int], norm_cfg: dict[str, Any]
    ) -> dict[str, nn.Module]:
        """Convolution, norm and ReLU."""
        from torch import nn

        from pinas_mm.operations.norms import norm_layer

        layers = [
            nn.Conv2d(in_channels, self.stem_width, 3, self.stem_stride, padding=1, bias=False),
            norm_layer(norm_cfg, self.stem_width),
            nn.ReLU(inplace=True),
        ]
        return dict(
            stem=nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if self.stem_pool else []))
        )

    def block_channels(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Planes times expansion."""
        return tuple(width * self.expansion for width in widths)

    def shortcut(self, spec: BlockSpec, norm_cfg: dict[str, Any]) -> nn.Module | None:
        """1x1 convolution and norm; None where the identity needs no projection."""
        if not spec.shortcut:
            return None
        from torch import nn

        from pinas_mm.operations.norms import norm_layer

        return nn.Sequential(
            nn.Conv2d(spec.in_channels, spec.out_channels, 1, spec.stride, bias=False),
            norm_layer(norm_cfg, spec.out_channels),
        )
