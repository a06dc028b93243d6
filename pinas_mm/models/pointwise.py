"""1x1 convolutions as matrix products, and a way around writing past memory in oneDNN."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from pinas_mm.compat import autocast_on_cpu, is_compiling

# Channels that oneDNN computes together where a processor has AVX-512.
BLOCK = 16
# Pixels of a batch up to which the product of pixels and weights is faster than the convolution.
FEW_PIXELS = 1024


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that strides before it computes; in all else it is a Conv2d.

    Of a few pixels on a CPU, in float32 and channels_last, it is a matrix product: oneDNN's
    convolution rearranges the weights at every call, which then takes longer than the product.
    Exported it is a convolution.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        rows, columns = self.stride
        if max(rows, columns) > 1:
            x = x[..., ::rows, ::columns]
        if self.groups == 1 and _product_is_faster(x):
            pixels = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
            return pixels.permute(0, 3, 1, 2)
        return F.conv2d(x, self.weight, self.bias, groups=self.groups)


def make_pointwise(network: nn.Module) -> None:
    """Turns a network's 1x1 convolutions into :class:`PointwiseConv`: those that do not stride,
    and the narrow ones that do.

    Of fewer channels than its block, in channels_last, oneDNN's gradient of a strided one's weights
    writes past its memory, and the process dies sooner or later (oneDNN issue 6035; PyTorch 2.8 has
    it). Striding beforehand costs the others a copy.

    Args:
        network: is changed; neither its parameters nor what it computes are.
    """
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.kernel_size == (1, 1)
            and module.padding == (0, 0)
            and (max(module.stride) == 1 or module.in_channels // module.groups < BLOCK)
        ):
            module.__class__ = PointwiseConv


def _product_is_faster(x: torch.Tensor) -> bool:
    return (
        not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # So exported.
        and not is_compiling()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() <= FEW_PIXELS * x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last)
        and not autocast_on_cpu()
    )
