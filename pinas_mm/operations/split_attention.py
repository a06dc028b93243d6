"""The modules of ResNeSt's split-attention bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from pinas_mm.operations.base import BlockSpec
from pinas_mm.operations.norms import norm_layer

if TYPE_CHECKING:
    from pinas_mm.operations.resnest import ResNeStBottleneck


class SplitAttention(nn.Module):
    """3x3 convolution into ``radix`` splits, summed with attention weights (ResNeSt, 3.1).

    mmpretrain has one too, but it ends in ``contiguous()``, which undoes channels_last in every
    block.

    Args:
        candidate: radix and groups.
        planes: the stage's planes, from which the candidate's widths follow.
        dilation: dilation of the 3x3 convolution.
        norm_cfg: config of the norm layers.
    """

    def __init__(
        self, candidate: ResNeStBottleneck, planes: int, dilation: int, norm_cfg: dict[str, Any]
    ) -> None:
        super().__init__()
        self.radix, self.groups = candidate.radix, candidate.groups
        width, hidden = candidate.group_width(planes), candidate.attention_width(planes)
        self.width, splits = width, width * self.radix
        self.conv = nn.Conv2d(
            width,
            splits,
            3,
            padding=dilation,
            dilation=dilation,
            groups=self.groups * self.radix,
            bias=False,
        )
        self.bn0 = norm_layer(norm_cfg, splits)
        self.relu = nn.ReLU(inplace=True)
        self.fc1 = nn.Conv2d(width, hidden, 1, groups=self.groups)
        self.bn1 = norm_layer(norm_cfg, hidden, pooled=True)
        self.fc2 = nn.Conv2d(hidden, splits, 1, groups=self.groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, H, W) to (N, width, H, W)."""
        x = self.relu(self.bn0(self.conv(x)))
        # Means of the splits, then their sum: no sum of feature maps is written for it.
        means = F.adaptive_avg_pool2d(x, 1).split(self.width, dim=1)
        weights = self.fc2(self.relu(self.bn1(self.fc1(sum(means[1:], means[0])))))
        if self.radix == 1:
            return x * weights.sigmoid()
        # Sizes are constants, which an exported network need not compute. fc2's channels lie as
        # (groups, radix, width); the splits lie as (radix, groups, width).
        weights = weights.view(-1, self.groups, self.radix, self.width // self.groups)
        weights = weights.softmax(dim=2).to(x.dtype).transpose(1, 2)
        weights = weights.reshape(-1, self.radix, self.width, 1, 1).unbind(dim=1)
        return _weighted_sum(x.split(self.width, dim=1), weights)


def _weighted_sum(splits: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of splits (N, width, H, W) with weights (N, width, 1, 1) that sum to one."""
    # One pass instead of two; ONNX has no such operator, and writes out eight for it.
    if len(splits) == 2 and not torch.onnx.is_in_onnx_export():
        return torch.lerp(splits[1], splits[0], weights[0])
    out = splits[0] * weights[0]
    for split, weight in zip(splits[1:], weights[1:], strict=True):
        out.addcmul_(split, weight)
    return out


class SplitAttentionBlock(nn.Module):
    """One candidate of one choice block.

    Args:
        spec: where the block stands.
        candidate: which operation it is.
        shortcut: the projection on the identity path; in a supernet one module serves all
            candidates of a block.
        pool: whether there is a 3x3 average pool of the block's stride (ResNeSt's ``avd``), after
            the 3x3 convolution or where the candidate says so before it.
        norm_cfg: config of the norm layers.
    """

    def __init__(
        self,
        spec: BlockSpec,
        candidate: ResNeStBottleneck,
        shortcut: nn.Module | None,
        pool: bool,
        norm_cfg: dict[str, Any],
    ) -> None:
        super().__init__()
        width = candidate.group_width(spec.planes)
        self.conv1 = nn.Conv2d(spec.in_channels, width, 1, bias=False)
        self.bn1 = norm_layer(norm_cfg, width)
        self.conv2 = SplitAttention(candidate, spec.planes, spec.dilation, norm_cfg)
        self.pool = nn.AvgPool2d(3, spec.stride, padding=1) if pool else None
        self.conv3 = nn.Conv2d(width, spec.out_channels, 1, bias=False)
        self.bn3 = norm_layer(norm_cfg, spec.out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut
        self._rectified, self._pool_first = spec.rectified, candidate.avd_first
        self._adds = shortcut is not None or not spec.shortcut

    def zero_residual(self) -> None:
        """Starts as the shortcut alone, where there is one; norms without affine scale nothing."""
        if self._adds and self.bn3.weight is not None:
            nn.init.zeros_(self.bn3.get_parameter("weight"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        if self.pool is not None and self._pool_first:
            out = self.pool(out)
        out = self.conv2(out)
        if self.pool is not None and not self._pool_first:
            out = self.pool(out)
        out = self.bn3(self.conv3(out))
        if self._adds:
            out += identity  # No layer before it needs its output again.
        return self.relu(out) if self._rectified else out
