"""Architectures as numbers, for predictors and classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.space import SearchSpace


def descriptors(space: SearchSpace) -> NDArray[Any]:
    """The candidates' own numbers (as radix, groups and base width), standardized.

    They say which candidates are alike, so that ordered widths are known to be ordered; they come
    from the space and from no result. Operations of different classes have columns of their own, in
    which the others are average, and a column that tells the class.

    Returns:
        Shape (candidates, d): numbers that are the same for all candidates are left out.
    """
    kinds = list(dict.fromkeys(type(candidate) for candidate in space.candidates))
    columns: list[NDArray[Any]] = []
    for kind in kinds:
        mine = np.array([type(candidate) is kind for candidate in space.candidates])
        own = np.array([c.numbers() for c in space.candidates if type(c) is kind], dtype=float)
        part = np.zeros((len(mine), own.shape[1]))
        part[mine] = own
        part[~mine] = own.mean(axis=0)
        columns += [part, mine[:, None].astype(float)] if len(kinds) > 1 else [part]
    numbers = np.concatenate(columns, axis=1)
    numbers = numbers[:, np.ptp(numbers, axis=0) > 0]
    return (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)


def one_hot(choices: NDArray[Any], candidates: int) -> NDArray[Any]:
    """Candidate indices (n, blocks) to zeros and ones (n, blocks * candidates)."""
    choices = np.asarray(choices, dtype=np.int64)
    return np.eye(candidates)[choices].reshape(len(choices), -1)


def features(choices: NDArray[Any], space: SearchSpace) -> NDArray[Any]:
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
