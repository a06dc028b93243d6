"""ConvNeXt's block."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import BlockSpec, Operation, check_counts, check_kernel

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class ConvNeXtBlock(Operation):
    """Depthwise convolution, layer norm and a widened perceptron (Liu et al., ConvNeXt, fig. 4).

    Its norm is a layer norm whatever ``norm_cfg`` says. A layer scale starts at 1e-6, as published;
    in a supernet at zero.

    Args:
        kernel: of the depthwise convolution, which strides; odd.
        expansion: how many times the input's channels the perceptron's hidden layer has.
    """

    kernel: int = 7
    expansion: int = 4

    tested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_kernel(self)
        check_counts(self, "expansion")

    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """A :class:`~pinas_mm.operations.residual.Residual`."""
        from torch import nn

        from pinas_mm.operations.residual import LayerNorm2d, LayerScale, Residual, spatial_conv

        channels = spec.in_channels
        hidden = channels * self.expansion
        layers = dict(
            depthwise=spatial_conv(channels, channels, self.kernel, spec, channels, bias=True),
            norm=LayerNorm2d(channels),
            widen=nn.Conv2d(channels, hidden, 1),
            gelu=nn.GELU(),
            narrow=nn.Conv2d(hidden, spec.out_channels, 1),
            gamma=LayerScale(spec.out_channels),
        )
        return Residual(layers, spec, shortcut, "gamma.weight")

    @property
    def label(self) -> str:
        """``k7 e4``."""
        return f"k{self.kernel} e{self.expansion}"
