"""ConvNeXt's skeleton."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import check_counts
from pinas_mm.skeletons.base import Skeleton

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class ConvNeXtSkeleton(Skeleton):
    """Patches as stem, layers of their own between stages (Liu et al., ConvNeXt, section 2.6).

    Norms are layer norms whatever ``norm_cfg`` says. The last stage's feature map passes one.

    Args:
        stem_stride: side of a patch.
    """

    stem_stride: int = 4

    depths: ClassVar = (3, 3, 9, 3)
    widths: ClassVar = (96, 192, 384, 768)
    strides: ClassVar = (1, 2, 2, 2)
    rectified: ClassVar = False
    transitions: ClassVar = True

    def __post_init__(self) -> None:
        check_counts(self, "stem_stride")

    @property
    def stem_reduction(self) -> int:
        """Of the patches."""
        return self.stem_stride

    @property
    def stem_layers(self) -> tuple[str, ...]:
        """The patches."""
        return (f"{self.stem_stride}x{self.stem_stride}",)

    def stem_channels(self, widths: Sequence[int]) -> int:
        """Those of the first stage."""
        return widths[0]

    def stem(
        self, in_channels: int, widths: Sequence[int], norm_cfg: dict[str, Any]
    ) -> dict[str, nn.Module]:
        """A convolution on patches, and a norm."""
        from torch import nn

        from pinas_mm.operations.residual import LayerNorm2d

        side = self.stem_stride
        conv = nn.Conv2d(in_channels, widths[0], side, side)
        return dict(stem=nn.Sequential(conv, LayerNorm2d(widths[0])))

    def transition(
        self, in_channels: int, out_channels: int, kernel: int, stride: int
    ) -> nn.Module | None:
        """A norm and a convolution on patches; None where nothing changes."""
        if kernel == 1 and in_channels == out_channels:
            return None
        from torch import nn

        from pinas_mm.operations.residual import LayerNorm2d

        # A network that takes the stride away keeps the patches and their weights.
        pad = kernel - 1 if stride < kernel else 0
        return nn.Sequential(
            LayerNorm2d(in_channels),
            nn.ZeroPad2d((0, pad, 0, pad)) if pad else nn.Identity(),
            nn.Conv2d(in_channels, out_channels, kernel, stride),
        )

    def output(self, widths: Sequence[int], norm_cfg: dict[str, Any]) -> nn.Module | None:
        """A norm."""
        from pinas_mm.operations.residual import LayerNorm2d

        return LayerNorm2d(widths[-1])
