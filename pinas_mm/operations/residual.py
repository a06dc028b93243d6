"""A branch of layers beside a shortcut, and the layers that several operations have."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from pinas_mm.operations.base import BlockSpec


class Residual(nn.Module):
    """Layers one after the other, plus the shortcut, rectified where the skeleton says so.

    Without a shortcut the input itself is added where it has the output's shape; elsewhere nothing.

    Args:
        layers: by their names in the state dict, in the order they run.
        spec: where the block stands.
        shortcut: the projection on the identity path.
        scale: name of the parameter that scales what the layers add: the last norm's weight. None
            is unknown.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        spec: BlockSpec,
        shortcut: nn.Module | None,
        scale: str | None,
    ) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.downsample = shortcut
        self.relu = nn.ReLU(inplace=True) if spec.rectified else None
        self._layers, self._scale = tuple(layers), scale
        self._adds = shortcut is not None or not spec.shortcut

    def zero_residual(self) -> None:
        """Starts as the shortcut alone, where there is one; norms without affine scale nothing."""
        scale = dict(self.named_parameters()).get(self._scale or "")
        if self._adds and scale is not None:
            nn.init.zeros_(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        out = x
        for name in self._layers:
            out = getattr(self, name)(out)
        if self._adds:
            out = out + (x if self.downsample is None else self.downsample(x))
        return out if self.relu is None else self.relu(out)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (N, C, H, W), as ConvNeXt has it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """A learned factor a channel (ConvNeXt, from CaiT).

    Args:
        channels: how many.
        value: that they start with.
    """

    def __init__(self, channels: int, value: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        return x * self.weight


def spatial_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    spec: BlockSpec,
    groups: int = 1,
    dilation: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """A block's convolution over space: its stride and dilation, sizes rounded up."""
    dilation *= spec.dilation
    padding = dilation * (kernel // 2)
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        spec.stride,
        padding,
        dilation,
        groups,
        bias=bias,
    )
