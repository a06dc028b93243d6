"""Nothing: the block is left out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import BlockSpec, Operation

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class Identity(Operation):
    """Hands its input on, so that depth is searched; it stands where nothing changes in shape."""

    tested: ClassVar[bool] = True

    def fits(self, spec: BlockSpec) -> bool:
        """Where neither stride nor channels change."""
        return not spec.shortcut

    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """PyTorch's."""
        from torch import nn

        return nn.Identity()

    @property
    def label(self) -> str:
        """``skip``."""
        return "skip"
