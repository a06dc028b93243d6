"""A way around writing past memory in oneDNN."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# Channels that oneDNN computes together where a processor has AVX-512.
BLOCK = 16


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that strides before it computes; in all else it is a Conv2d."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        rows, columns = self.stride
        return F.conv2d(x[..., ::rows, ::columns], self.weight, self.bias, groups=self.groups)


def stride_before(network: nn.Module) -> None:
    """Turns a network's narrow strided 1x1 convolutions into :class:`PointwiseConv`.

    Of fewer channels than its block, in channels_last, oneDNN's gradient of their weights writes
    past its memory, and the process dies sooner or later (oneDNN issue 6035; PyTorch 2.8 has it).

    Args:
        network: is changed; neither its parameters nor what it computes are.
    """
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.kernel_size == (1, 1)
            and max(module.stride) > 1
            and module.padding == (0, 0)
            and module.in_channels // module.groups < BLOCK
        ):
            module.__class__ = PointwiseConv
