"""ResNeSt's split-attention bottleneck, the paper's operation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.errors import UserError
from pinas_mm.operations.base import BlockSpec, Operation, check_counts

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class ResNeStBottleneck(Operation):
    """A ResNeSt bottleneck by its free numbers (Zhang et al., ResNeSt, section 3).

    In configs ``(radix, groups, base_width)`` is short for it.

    Args:
        radix: splits that attention weighs (1: one split, a sigmoid gate).
        groups: cardinality.
        base_width: width of a group at 64 planes.
    """

    radix: int
    groups: int
    base_width: int

    tested: ClassVar[bool] = True
    # Where a striding block has its average pool: after the 3x3 convolution, or before it.
    avd_first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_counts(self, "radix", "groups", "base_width")

    def group_width(self, planes: int) -> int:
        """Channels of the block's 3x3 convolution, before the radix multiplies them."""
        return int(planes * self.base_width / 64) * self.groups

    def attention_width(self, planes: int) -> int:
        """Hidden channels of the split attention (ResNeSt: reduction 4, at least 32)."""
        return max(self.group_width(planes) * self.radix // 4, 32)

    def check(self, spec: BlockSpec) -> None:
        """Raises :class:`UserError` where groups and radix do not divide the channels."""
        width, hidden = self.group_width(spec.planes), self.attention_width(spec.planes)
        if width < 1:
            raise UserError(
                f"has no channels at width {spec.planes}: raise its base_width ({self.base_width})"
            )
        if width % (self.groups * self.radix):
            raise UserError(
                f"has {width} channels at width {spec.planes}, which {self.groups} groups x radix "
                f"{self.radix} do not divide: choose another base_width or width"
            )
        if hidden % self.groups:
            raise UserError(
                f"has {hidden} attention channels at width {spec.planes}, which {self.groups} "
                "groups do not divide: choose another base_width or groups"
            )

    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """A :class:`~pinas_mm.operations.split_attention.SplitAttentionBlock`."""
        from pinas_mm.operations.split_attention import SplitAttentionBlock

        return SplitAttentionBlock(spec, self, shortcut, bool(spec.strided), norm_cfg)

    @property
    def label(self) -> str:
        """``r2 g1 w64``: radix, groups, base width."""
        return f"r{self.radix} g{self.groups} w{self.base_width}"

    def to_dict(self) -> dict[str, Any]:
        """Without a type: three numbers are this operation, but no subclass of it."""
        return dataclasses.asdict(self) if type(self) is ResNeStBottleneck else super().to_dict()


@dataclasses.dataclass(frozen=True)
class ResNeStFastBottleneck(ResNeStBottleneck):
    """The same weights in ResNeSt's "fast" order: the pool stands before the 3x3 convolution.

    In the ResNeSt authors' code and in timm it is ``avd_first=True``.
    """

    avd_first: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """``r2 g1 w64 fast``."""
        return f"{super().label} fast"
