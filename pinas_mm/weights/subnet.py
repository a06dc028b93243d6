"""One architecture's weights among a supernet's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import torch

from pinas_mm.space import Arch, SearchSpace

# Stage from 1, block from 0, candidate, the block's own name: layer1.0.2.conv2.fc1.weight.
CHOICE = re.compile(r"layer(\d+)\.(\d+)\.(\d+)\.(.+)")

Value = TypeVar("Value")


def is_supernet(names: Mapping[str, object]) -> bool:
    """Whether a backbone's state dict has candidates."""
    return any(CHOICE.fullmatch(name) for name in names)


def in_channels(state: Mapping[str, torch.Tensor], space: SearchSpace) -> int:
    """Channels of the images that a network of these weights takes; 3 where it has no stem."""
    stem = state.get(space.skeleton.input_weight)
    return stem.shape[1] if stem is not None and stem.ndim == 4 else 3


def subnet_state(state: Mapping[str, Value], arch: Arch, space: SearchSpace) -> dict[str, Value]:
    """Selects a stand-alone backbone's state dict from a supernet's.

    ``layer1.0.2.conv2.fc1.weight`` becomes ``layer1.0.conv2.fc1.weight`` where the architecture has
    candidate 2 at this block, and goes where it has not; names outside the choice blocks stay.

    Args:
        state: the supernet's, whole and of this space.
        arch: the architecture, one of the space's.
        space: the search space.
    """
    places = [(stage, block) for stage, depth in enumerate(space.depths) for block in range(depth)]
    choices = dict(zip(places, arch, strict=True))
    selected = {}
    for name, value in state.items():
        match = CHOICE.fullmatch(name)
        if not match:
            selected[name] = value
            continue
        stage, block, candidate = (int(number) for number in match.groups()[:3])
        if choices[stage - 1, block] == candidate:
            selected[f"layer{stage}.{block}.{match[4]}"] = value
    return selected
