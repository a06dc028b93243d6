"""MobileNetV2's skeleton."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import check_counts
from pinas_mm.skeletons.base import Skeleton

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class MobileNetV2Skeleton(Skeleton):
    """Linear bottlenecks without projections (Sandler et al., MobileNetV2, table 2).

    Args:
        stem_width: channels of the stem's 3x3 convolution.
        stem_stride: its stride.
        last_width: channels of the 1x1 convolution that the last stage's feature map passes; 0 is
            none.
    """

    stem_width: int = 32
    stem_stride: int = 2
    last_width: int = 1280

    depths: ClassVar = (1, 2, 3, 4, 3, 3, 1)
    widths: ClassVar = (16, 24, 32, 64, 96, 160, 320)
    strides: ClassVar = (1, 2, 2, 2, 1, 2, 1)
    rectified: ClassVar = False

    def __post_init__(self) -> None:
        check_counts(self, "stem_width", "stem_stride")
        check_counts(self, "last_width", least=0)

    @property
    def stem_reduction(self) -> int:
        """Of the convolution."""
        return self.stem_stride

    @property
    def stem_layers(self) -> tuple[str, ...]:
        """The convolution."""
        return ("3x3",)

    def stem_channels(self, widths: Sequence[int]) -> int:
        """As many as it has."""
        return self.stem_width

    def out_channels(self, widths: Sequence[int]) -> tuple[int, ...]:
        """The last stage's is the last convolution's."""
        return (*widths[:-1], self.last_width or widths[-1])

    def stem(
        self, in_channels: int, widths: Sequence[int], norm_cfg: dict[str, Any]
    ) -> dict[str, nn.Module]:
        """Convolution, norm and ReLU6."""
        return dict(stem=_conv(in_channels, self.stem_width, 3, self.stem_stride, norm_cfg))

    def output(self, widths: Sequence[int], norm_cfg: dict[str, Any]) -> nn.Module | None:
        """The last convolution."""
        if not self.last_width:
            return None
        return _conv(widths[-1], self.last_width, 1, 1, norm_cfg)


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int, norm_cfg: dict[str, Any]
) -> nn.Sequential:
    from torch import nn

    from pinas_mm.operations.norms import norm_layer

    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        norm_layer(norm_cfg, out_channels),
        nn.ReLU6(inplace=True),
    )
