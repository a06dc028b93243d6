"""What the shapes of a ResNeSt block's weights say about its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from pinas_mm.errors import UserError
from pinas_mm.operations import ResNeStBottleneck


@dataclasses.dataclass(frozen=True)
class BlockShape:
    """What the shapes of a candidate's weights say about it; widths are in channels a group."""

    stage: int
    radix: int
    groups: int
    width: int

    def base_widths(self, planes: int) -> range:
        """The base widths that give this width at a stage's planes."""
        return range(-(-64 * self.width // planes), -(-64 * (self.width + 1) // planes))

    def is_candidate(self, candidate: ResNeStBottleneck, planes: int) -> bool:
        """Whether a candidate looks like this at a stage's planes."""
        same = (candidate.radix, candidate.groups) == (self.radix, self.groups)
        return same and candidate.group_width(planes) == self.width * self.groups


def measure(state: Mapping[str, torch.Tensor], stage: int, prefix: str) -> BlockShape:
    """Measures a block.

    Args:
        state: weights of a network.
        stage: that the block is in, from 0.
        prefix: of the block's or candidate's keys.

    Raises:
        UserError: no operation has weights of these shapes.
    """
    # The 3x3 convolution is (width x radix, width / groups / radix); the 1x1 before it tells.
    width = conv_shape(state, prefix + "conv1.weight")[0]
    splits, inner = conv_shape(state, prefix + "conv2.conv.weight")[:2]
    radix = splits // width
    if not radix or splits % width or width % (inner * radix):
        raise UserError(
            f"{prefix}conv2.conv.weight has shape {list(state[prefix + 'conv2.conv.weight'].shape)}"
            f", which no radix and groups give after {width} channels of {prefix}conv1.weight"
        )
    groups = width // (inner * radix)
    return BlockShape(stage, radix, groups, width // groups)


def conv_shape(state: Mapping[str, torch.Tensor], name: str) -> torch.Size:
    """The shape of a convolution's weight.

    Raises:
        UserError: it is none.
    """
    shape = state[name].shape
    if len(shape) != 4 or 0 in shape:
        raise UserError(f"{name} has shape {list(shape)}, which is no convolution's")
    return shape
