"""Architectures as numbers, for predictors and classifiers."""

from __future__ import annotations

import dataclasses

import numpy as np

from pinas_mm.space import SearchSpace


def descriptors(space: SearchSpace) -> np.ndarray:
    """The candidates' own numbers: radix, groups and base width, standardized.

    They say which candidates are alike, so that ordered widths are known to be ordered; they come
    from the space and from no result.

    Returns:
        Shape (candidates, d): numbers that are the same for all candidates are left out, so d is
        0 to 3.
    """
    numbers = np.array([dataclasses.astuple(c) for c in space.candidates], dtype=float)
    numbers = numbers[:, np.ptp(numbers, axis=0) > 0]
    return (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)


def one_hot(choices: np.ndarray, candidates: int) -> np.ndarray:
    """Candidate indices (n, blocks) to zeros and ones (n, blocks * candidates)."""
    choices = np.asarray(choices, dtype=np.int64)
    return np.eye(candidates)[choices].reshape(len(choices), -1)


def features(choices: np.ndarray, space: SearchSpace) -> np.ndarray:
    """One-hot code and the candidates' descriptors of each block.

    Args:
        choices: candidate indices, shape (n, blocks).
        space: the search space.

    Returns:
        Shape (n, blocks * (candidates + d)), for d see :func:`descriptors`.
    """
    choices = np.asarray(choices, dtype=np.int64)
    numbers = descriptors(space)[choices].reshape(len(choices), -1)
    return np.concatenate([one_hot(choices, space.num_candidates), numbers], axis=1)
