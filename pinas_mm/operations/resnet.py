"""ResNet's bottleneck."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.errors import UserError
from pinas_mm.operations.base import BlockSpec, Operation, check_counts, check_kernel

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class ResNetBottleneck(Operation):
    """1x1, k x k and 1x1 convolution beside a shortcut (He et al., ResNet; Xie et al., ResNeXt).

    Args:
        kernel: of the middle convolution, which strides; odd.
        groups: of it; 0 is a group for each channel, a depthwise convolution.
        base_width: width of a group at 64 planes, as ResNeXt counts; of a depthwise convolution the
            width at 64 planes.
        dilation: of it, times the network's.
        squeeze: reduction of a squeeze-and-excitation after it (Hu et al.); 0 is none.
    """

    kernel: int = 3
    groups: int = 1
    base_width: int = 64
    dilation: int = 1
    squeeze: int = 0

    tested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_kernel(self)
        check_counts(self, "base_width", "dilation")
        check_counts(self, "groups", "squeeze", least=0)

    def width(self, planes: int) -> int:
        """Channels of the middle convolution."""
        return int(planes * self.base_width / 64) * max(self.groups, 1)

    def check(self, spec: BlockSpec) -> None:
        """Raises :class:`UserError` where it has no channels."""
        if self.width(spec.planes) < 1:
            raise UserError(
                f"has no channels at width {spec.planes}: raise its base_width ({self.base_width})"
            )

    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """A :class:`~pinas_mm.operations.residual.Residual`."""
        from torch import nn
        from torchvision.ops import SqueezeExcitation

        from pinas_mm.operations.norms import norm_layer
        from pinas_mm.operations.residual import Residual, spatial_conv

        width = self.width(spec.planes)
        groups = self.groups or width
        layers = dict(
            conv1=nn.Conv2d(spec.in_channels, width, 1, bias=False),
            bn1=norm_layer(norm_cfg, width),
            relu1=nn.ReLU(inplace=True),
            conv2=spatial_conv(width, width, self.kernel, spec, groups, self.dilation),
            bn2=norm_layer(norm_cfg, width),
            relu2=nn.ReLU(inplace=True),
        )
        if self.squeeze:
            layers["attention"] = SqueezeExcitation(width, max(width // self.squeeze, 1))
        layers["conv3"] = nn.Conv2d(width, spec.out_channels, 1, bias=False)
        layers["bn3"] = norm_layer(norm_cfg, spec.out_channels)
        return Residual(layers, spec, shortcut, "bn3.weight")

    @property
    def label(self) -> str:
        """``k3 g1 w64``, with ``d2`` and ``se4`` where there are such; ``dw`` is depthwise."""
        parts = [f"k{self.kernel}", f"g{self.groups}" if self.groups else "dw"]
        parts.append(f"w{self.base_width}")
        parts += [f"d{self.dilation}"] * (self.dilation > 1)
        parts += [f"se{self.squeeze}"] * (self.squeeze > 0)
        return " ".join(parts)
