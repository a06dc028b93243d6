"""ResNeSt's costs by closed formulas, as a specification of what is counted."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cost:
    """Learnable parameters, and multiply-adds of convolutions and classifier for one image."""

    params: int
    macs: int

    def __add__(self, other):
        return Cost(self.params + other.params, self.macs + other.macs)


def formulas(space, size, num_classes=0, in_channels=3, strides=None):
    """Cost of everything but the blocks' candidates, and of each; arrays (blocks, candidates)."""
    params = np.zeros((space.num_blocks, space.num_candidates), dtype=np.int64)
    macs = np.zeros_like(params)
    fixed, size = _stem(space, size, in_channels)
    for number, spec in enumerate(space.blocks(strides)):
        out_size = _strided(size, spec.stride)
        if spec.shortcut:
            shortcut = _conv(spec.in_channels, spec.out_channels, 1, out_size)
            fixed += shortcut + _norm(spec.out_channels)
        for choice, candidate in enumerate(space.candidates):
            cost = _block(spec, candidate, size, out_size)
            params[number, choice], macs[number, choice] = cost.params, cost.macs
        size = out_size
    if num_classes:
        width = space.out_channels[-1]
        fixed += Cost((width + 1) * num_classes, width * num_classes)
    return fixed, params, macs


def _strided(size, stride):
    """Every strided layer of the skeleton rounds its output size up."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _conv(in_channels, out_channels, kernel, size, groups=1):
    weights = in_channels // groups * out_channels * kernel**2
    return Cost(weights, weights * size[0] * size[1])


def _norm(channels):
    return Cost(2 * channels, 0)


def _stem(space, size, in_channels):
    size = _strided(size, space.stem_stride)
    cost = Cost(0, 0)
    for width in space.stem_widths:
        cost += _conv(in_channels, width, 3, size) + _norm(width)
        in_channels = width
    return cost, _strided(size, 2) if space.stem_pool else size


def _block(spec, candidate, size, out_size):
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
