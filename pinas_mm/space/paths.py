"""Path samplers: which paths a training step takes, as a function of seed and iteration alone.

All ranks therefore agree without talking, and a resumed run draws what the unbroken one would
have drawn. Each sampler is called as ``sampler(space, seed, iteration)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.operations.base import check_counts
from pinas_mm.space.arch import Arch
from pinas_mm.space.cost import AdditiveCost
from pinas_mm.space.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class PathSampler:
    """Base of the samplers.

    Args:
        num_paths: paths a step.

    Raises:
        UserError: ``num_paths`` is no whole number of at least 1.
    """

    num_paths: int = 1

    def __post_init__(self) -> None:
        check_counts(self, "num_paths")

    def check(self, space: SearchSpace) -> None:
        """Raises :class:`UserError` where the space cannot give such paths."""

    def learn_costs(self, count: Callable[[str, int], AdditiveCost]) -> None:
        """Told, before the first step, how costs are counted: ``count('macs', image_size)``."""

    def __call__(self, space: SearchSpace, seed: int, iteration: int) -> list[Arch]:
        """The step's paths; the same arguments always give the same paths.

        Raises:
            UserError: the space cannot give such paths.
        """
        self.check(space)
        choices = self.draw(space, seed, iteration)
        return [Arch(path, space.depths) for path in choices]

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> NDArray[Any]:
        """Candidate indices of shape (num_paths, blocks)."""
        raise NotImplementedError(f"{type(self).__name__} must define draw()")


@dataclasses.dataclass(frozen=True)
class UniformPaths(PathSampler):
    """Independent uniform choices (SPOS, Guo et al., ECCV 2020)."""

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> NDArray[Any]:
        """Candidate indices of shape (num_paths, blocks)."""
        return space.draw(self.num_paths, np.random.default_rng([seed, iteration]))


@dataclasses.dataclass(frozen=True)
class CrossPaths(PathSampler):
    """Paths that pairwise differ in every choice block (Pi-NAS, section 3.2).

    A block with a single candidate is no choice: all paths have it.
    """

    num_paths: int = 2

    def check(self, space: SearchSpace) -> None:
        """Raises :class:`UserError` where a block has fewer candidates than a step has paths."""
        choices = space.counts[space.counts > 1]
        fewest = choices.min() if len(choices) else 1
        if fewest < self.num_paths:
            raise UserError(
                f"CrossPaths draws {self.num_paths} paths that differ in every block, but the "
                f"space has {fewest} candidate(s) a block: add candidates or use UniformPaths"
            )

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> NDArray[Any]:
        """Candidate indices of shape (num_paths, blocks)."""
        rng = np.random.default_rng([seed, iteration])
        orders, blocks = _permutations(rng, space), np.arange(space.num_blocks)
        return np.stack([orders[blocks, path % space.counts] for path in range(self.num_paths)])


@dataclasses.dataclass(frozen=True)
class FairPaths(PathSampler):
    """Every candidate of every block once in each group of paths (FairNAS, Chu et al., ICCV 2021).

    A block's group has as many paths as it has candidates; it spans several steps where a step
    takes fewer.
    """

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> NDArray[Any]:
        """Candidate indices of shape (num_paths, blocks)."""
        paths = np.zeros((self.num_paths, space.num_blocks), dtype=np.int64)
        for row, number in enumerate(
            range(iteration * self.num_paths, (iteration + 1) * self.num_paths)
        ):
            for count in np.unique(space.counts):
                group, position = divmod(number, int(count))
                orders = _permutations(np.random.default_rng([seed, group]), space)
                paths[row] = np.where(space.counts == count, orders[:, position], paths[row])
        return paths


@dataclasses.dataclass(frozen=True)
class SandwichPaths(PathSampler):
    """The dearest and the cheapest architecture and random ones (Yu and Huang, ICCV 2019, 3.2).

    They come in this order, so that a strategy can teach the others by the first.

    Args:
        num_paths: paths a step, at least 2.
        cost: what is dear and cheap, of :data:`pinas_mm.registry.COSTS`.
        image_size: side of the images that costs are counted for, in pixels.

    Raises:
        UserError: ``num_paths`` is no whole number of at least 2.
    """

    num_paths: int = 4
    cost: str = "macs"
    image_size: int = 224

    def __post_init__(self) -> None:
        check_counts(self, "num_paths", least=2)

    def learn_costs(self, count: Callable[[str, int], AdditiveCost]) -> None:
        """Counts the one it needs."""
        cheapest, dearest = count(self.cost, self.image_size).extremes()
        object.__setattr__(self, "_ends", np.stack([dearest, cheapest]))

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> NDArray[Any]:
        """Candidate indices of shape (num_paths, blocks).

        Raises:
            RuntimeError: :meth:`learn_costs` was not called.
        """
        if not hasattr(self, "_ends"):
            raise RuntimeError("SandwichPaths does not know the costs: learn_costs() tells them")
        rng = np.random.default_rng([seed, iteration])
        return np.concatenate([self._ends, space.draw(self.num_paths - 2, rng)])


def _permutations(rng: np.random.Generator, space: SearchSpace) -> NDArray[Any]:
    """A random order of each block's candidates, those it has not last; (blocks, candidates)."""
    order = rng.random((space.num_blocks, space.num_candidates))
    return np.where(space.mask, order, np.inf).argsort(axis=1)
