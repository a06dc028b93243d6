"""Parameters and multiply-adds of every candidate of every block, from the space alone.

An architecture's cost is the sum of its blocks' and the fixed parts', so no network is built.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pinas_mm.errors import UserError
from pinas_mm.space.space import BlockSpec, Candidate, SearchSpace


@dataclasses.dataclass(frozen=True)
class Cost:
    """Learnable parameters, and multiply-adds of convolutions and classifier for one image."""

    params: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs)

    def __str__(self) -> str:
        return f"{self.params:,} parameters, {self.macs / 1e9:.3f} G multiply-adds"


class CostTable:
    """Additive costs of a search space's architectures.

    Args:
        space: the search space.
        image_size: height and width of the input in pixels, or one number for both.
        num_classes: outputs of a linear classifier on the pooled last stage; 0 for none.
        in_channels: channels of the input.

    Attributes:
        fixed: cost of what every architecture has: stem, shortcuts, classifier.
        params, macs: arrays of shape (blocks, candidates).
    """

    def __init__(
        self,
        space: SearchSpace,
        image_size: int | tuple[int, int] = 224,
        num_classes: int = 0,
        in_channels: int = 3,
    ) -> None:
        self.space = space
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if min(size) < 1 or num_classes < 0 or in_channels < 1:
            raise UserError(
                f"image size {size}, {num_classes} classes, {in_channels} input channels: sizes "
                "and channels must be at least 1, classes at least 0"
            )
        self.params = np.zeros((space.num_blocks, space.num_candidates), dtype=np.int64)
        self.macs = np.zeros_like(self.params)
        self.fixed, size = _stem(space, size, in_channels)
        for number, spec in enumerate(space.blocks()):
            out_size = _strided(size, spec.stride)
            if spec.shortcut:
                shortcut = _conv(spec.in_channels, spec.out_channels, 1, out_size)
                self.fixed += shortcut + _norm(spec.out_channels)
            for choice, candidate in enumerate(space.candidates):
                cost = _block(spec, candidate, size, out_size)
                self.params[number, choice], self.macs[number, choice] = cost.params, cost.macs
            size = out_size
        width = space.out_channels[-1]
        if num_classes:
            self.fixed += Cost((width + 1) * num_classes, width * num_classes)

    def cost(self, arch: Any) -> Cost:
        """Cost of an architecture in any form that :meth:`SearchSpace.arch` reads."""
        rows, choices = np.arange(self.space.num_blocks), list(self.space.arch(arch))
        return self.fixed + Cost(
            int(self.params[rows, choices].sum()), int(self.macs[rows, choices].sum())
        )

    def bounds(self) -> tuple[Cost, Cost]:
        """Smallest and largest parameters, and smallest and largest multiply-adds, of the space."""
        low = Cost(int(self.params.min(1).sum()), int(self.macs.min(1).sum()))
        high = Cost(int(self.params.max(1).sum()), int(self.macs.max(1).sum()))
        return self.fixed + low, self.fixed + high


def _strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Every strided layer of the skeleton rounds its output size up."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _conv(
    in_channels: int, out_channels: int, kernel: int, size: tuple[int, int], groups: int = 1
) -> Cost:
    weights = in_channels // groups * out_channels * kernel**2
    return Cost(weights, weights * size[0] * size[1])


def _norm(channels: int) -> Cost:
    return Cost(2 * channels, 0)


def _stem(
    space: SearchSpace, size: tuple[int, int], in_channels: int
) -> tuple[Cost, tuple[int, int]]:
    size = _strided(size, space.stem_stride)
    cost = Cost(0, 0)
    for width in space.stem_widths:
        cost += _conv(in_channels, width, 3, size) + _norm(width)
        in_channels = width
    return cost, _strided(size, 2) if space.stem_pool else size


def _block(
    spec: BlockSpec, candidate: Candidate, size: tuple[int, int], out_size: tuple[int, int]
) -> Cost:
    width = candidate.group_width(spec.planes)
    split_width = width * candidate.radix
    hidden = candidate.attention_width(spec.planes)
    one = (1, 1)
    biases = Cost(hidden + split_width, 0)
    return (
        _conv(spec.in_channels, width, 1, size)
        + _norm(width)
        # The 3x3 convolution runs before the average pool that strides, at the input's size.
        + _conv(width, split_width, 3, size, candidate.groups * candidate.radix)
        + _norm(split_width)
        + _conv(width, hidden, 1, one, candidate.groups)
        + _norm(hidden)
        + _conv(hidden, split_width, 1, one, candidate.groups)
        + biases
        + _conv(width, spec.out_channels, 1, out_size)
        + _norm(spec.out_channels)
    )
