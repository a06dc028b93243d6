"""ResNeSt's skeleton, the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.errors import UserError
from pinas_mm.operations.base import BlockSpec, check_counts
from pinas_mm.skeletons.base import Skeleton
from pinas_mm.whole_numbers import is_whole

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class ResNeStSkeleton(Skeleton):
    """A deep stem, shortcuts of average pool and 1x1 convolution (Zhang et al., ResNeSt).

    Args:
        expansion: output channels of a block per plane.
        stem_widths: channels of the stem's three 3x3 convolutions.
        stem_stride: stride of the first of them.
        stem_pool: whether a 3x3 max pool of stride 2 ends the stem.
    """

    expansion: int = 4
    stem_widths: tuple[int, int, int] = (32, 32, 64)
    stem_stride: int = 2
    stem_pool: bool = True

    depths: ClassVar = (3, 4, 6, 3)
    widths: ClassVar = (64, 128, 256, 512)
    strides: ClassVar = (1, 2, 2, 2)
    input_weight: ClassVar = "conv1.0.weight"

    def __post_init__(self) -> None:
        check_counts(self, "expansion", "stem_stride")
        widths = self.stem_widths
        if not isinstance(widths, Sequence) or isinstance(widths, str) or len(widths) != 3:
            raise UserError(f"stem_widths needs 3 numbers, not {widths!r}")
        for width in widths:
            if not is_whole(width, 1):
                raise UserError(f"stem_widths is {widths!r}: whole numbers of at least 1")
        object.__setattr__(self, "stem_widths", tuple(map(int, widths)))

    @property
    def stem_reduction(self) -> int:
        """Of the first convolution and of the pool."""
        return self.stem_stride * (2 if self.stem_pool else 1)

    @property
    def stem_layers(self) -> tuple[str, ...]:
        """Three convolutions, and the pool."""
        return ("3x3", "3x3", "3x3", *(["pool"] if self.stem_pool else []))

    def stem_channels(self, widths: Sequence[int]) -> int:
        """Of the last convolution."""
        return self.stem_widths[-1]

    def stem(
        self, in_channels: int, widths: Sequence[int], norm_cfg: dict[str, Any]
    ) -> dict[str, nn.Module]:
        """Under the names of the release."""
        from torch import nn

        from pinas_mm.operations.norms import norm_layer

        first, second, third = self.stem_widths
        conv1 = nn.Sequential(
            nn.Conv2d(in_channels, first, 3, self.stem_stride, padding=1, bias=False),
            norm_layer(norm_cfg, first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            norm_layer(norm_cfg, second),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 3, padding=1, bias=False),
        )
        return dict(
            conv1=conv1,
            bn1=norm_layer(norm_cfg, third),
            relu=nn.ReLU(inplace=True),
            maxpool=nn.MaxPool2d(3, 2, 1) if self.stem_pool else nn.Identity(),
        )

    def block_channels(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Planes times expansion."""
        return tuple(width * self.expansion for width in widths)

    def shortcut(self, spec: BlockSpec, norm_cfg: dict[str, Any]) -> nn.Module | None:
        """Average pool, 1x1 convolution, norm; None where the identity needs no projection."""
        if not spec.shortcut:
            return None
        from torch import nn

        from pinas_mm.operations.norms import norm_layer

        return nn.Sequential(
            nn.AvgPool2d(spec.stride, spec.stride, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(spec.in_channels, spec.out_channels, 1, bias=False),
            norm_layer(norm_cfg, spec.out_channels),
        )
