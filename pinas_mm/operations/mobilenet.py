"""MobileNetV2's inverted residual."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import BlockSpec, Operation, check_counts, check_kernel

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class InvertedResidual(Operation):
    """A depthwise convolution on widened channels (Sandler et al., MobileNetV2, section 3.3).

    Args:
        kernel: of the depthwise convolution, which strides; odd.
        expansion: how many times the input's channels it works on.
        squeeze: reduction of a squeeze-and-excitation after it (MobileNetV3, MnasNet: 4); 0 is
            none.
    """

    kernel: int = 3
    expansion: int = 6
    squeeze: int = 0

    tested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_kernel(self)
        check_counts(self, "expansion")
        check_counts(self, "squeeze", least=0)

    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """A :class:`~pinas_mm.operations.residual.Residual`."""
        from torch import nn
        from torchvision.ops import SqueezeExcitation

        from pinas_mm.operations.norms import norm_layer
        from pinas_mm.operations.residual import Residual, spatial_conv

        hidden = spec.in_channels * self.expansion
        layers: dict[str, nn.Module] = {}
        if self.expansion > 1:
            layers |= dict(
                conv1=nn.Conv2d(spec.in_channels, hidden, 1, bias=False),
                bn1=norm_layer(norm_cfg, hidden),
                relu1=nn.ReLU6(inplace=True),
            )
        layers |= dict(
            conv2=spatial_conv(hidden, hidden, self.kernel, spec, groups=hidden),
            bn2=norm_layer(norm_cfg, hidden),
            relu2=nn.ReLU6(inplace=True),
        )
        if self.squeeze:
            layers["attention"] = SqueezeExcitation(hidden, max(hidden // self.squeeze, 1))
        layers["conv3"] = nn.Conv2d(hidden, spec.out_channels, 1, bias=False)
        layers["bn3"] = norm_layer(norm_cfg, spec.out_channels)
        return Residual(layers, spec, shortcut, "bn3.weight")

    @property
    def label(self) -> str:
        """``k3 e6``, with ``se4`` where there is attention."""
        return f"k{self.kernel} e{self.expansion}" + (f" se{self.squeeze}" if self.squeeze else "")
