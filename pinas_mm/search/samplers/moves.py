"""Steps from architectures to others, on arrays of candidate indices of shape (n, blocks)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def neighbours(archs: NDArray[Any], candidates: int) -> NDArray[Any]:
    """All architectures that differ from one of ``archs`` in exactly one block.

    Returns:
        Shape (n * blocks * (candidates - 1), blocks).
    """
    archs = np.atleast_2d(archs)
    blocks = archs.shape[1]
    steps = np.zeros((blocks * (candidates - 1), blocks), dtype=np.int64)
    rows = np.arange(len(steps))
    steps[rows, rows % blocks] = rows // blocks + 1
    return ((archs[:, None] + steps[None]) % candidates).reshape(-1, blocks)


def mutate(
    archs: NDArray[Any], candidates: int, changes: int | NDArray[Any], rng: np.random.Generator
) -> NDArray[Any]:
    """Each architecture with ``changes`` of its blocks, at most all, changed to other candidates.

    Args:
        archs: shape (n, blocks).
        candidates: of each block.
        changes: one number, or one an architecture.
        rng: chooses blocks and candidates uniformly.
    """
    if candidates == 1:
        return archs.copy()
    order = rng.random(archs.shape).argsort(axis=1).argsort(axis=1)
    changed = order < np.broadcast_to(changes, len(archs))[:, None]
    steps = rng.integers(1, candidates, size=archs.shape)
    return np.where(changed, (archs + steps) % candidates, archs)


def cross(first: NDArray[Any], second: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Uniform crossover: each block from either parent with the same probability."""
    return np.where(rng.random(first.shape) < 0.5, first, second)
