"""Path samplers: which paths a training step takes, as a function of seed and iteration alone.

All ranks therefore agree without talking, and a resumed run draws what the unbroken one would
have drawn. Each sampler is called as ``sampler(space, seed, iteration)``.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pinas_mm.errors import UserError
from pinas_mm.space.arch import Arch
from pinas_mm.space.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class PathSampler:
    """Base of the samplers.

    Args:
        num_paths: paths a step.
    """

    num_paths: int = 1

    def __post_init__(self) -> None:
        if self.num_paths < 1:
            raise UserError(f"num_paths must be at least 1, not {self.num_paths}")

    def check(self, space: SearchSpace) -> None:
        """Raises :class:`UserError` where the space cannot give such paths."""

    def __call__(self, space: SearchSpace, seed: int, iteration: int) -> list[Arch]:
        """The step's paths; the same arguments always give the same paths."""
        self.check(space)
        choices = self.draw(space, seed, iteration)
        return [Arch(path, space.depths) for path in choices]

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> np.ndarray:
        """Candidate indices of shape (num_paths, blocks)."""
        raise NotImplementedError(f"{type(self).__name__} must define draw()")


@dataclasses.dataclass(frozen=True)
class UniformPaths(PathSampler):
    """Independent uniform choices (SPOS, Guo et al., ECCV 2020)."""

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> np.ndarray:
        """Candidate indices of shape (num_paths, blocks)."""
        rng = np.random.default_rng([seed, iteration])
        return rng.integers(space.num_candidates, size=(self.num_paths, space.num_blocks))


@dataclasses.dataclass(frozen=True)
class CrossPaths(PathSampler):
    """Paths that pairwise differ in every choice block (Pi-NAS, section 3.2)."""

    num_paths: int = 2

    def check(self, space: SearchSpace) -> None:
        """Raises :class:`UserError` where a block has fewer candidates than a step has paths."""
        if space.num_candidates < self.num_paths:
            raise UserError(
                f"CrossPaths draws {self.num_paths} paths that differ in every block, but the "
                f"space has {space.num_candidates} candidate(s) a block: add candidates or use "
                "UniformPaths"
            )

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> np.ndarray:
        """Candidate indices of shape (num_paths, blocks)."""
        rng = np.random.default_rng([seed, iteration])
        return _permutations(rng, space)[:, : self.num_paths].T


@dataclasses.dataclass(frozen=True)
class FairPaths(PathSampler):
    """Every candidate of every block once in each group of paths (FairNAS, Chu et al., ICCV 2021).

    A group has as many paths as there are candidates; it spans several steps where a step takes
    fewer.
    """

    def draw(self, space: SearchSpace, seed: int, iteration: int) -> np.ndarray:
        """Candidate indices of shape (num_paths, blocks)."""
        paths = []
        for number in range(iteration * self.num_paths, (iteration + 1) * self.num_paths):
            group, position = divmod(number, space.num_candidates)
            rng = np.random.default_rng([seed, group])
            paths.append(_permutations(rng, space)[:, position])
        return np.stack(paths)


def _permutations(rng: np.random.Generator, space: SearchSpace) -> np.ndarray:
    """A random order of the candidates for each block, shape (blocks, candidates)."""
    return rng.random((space.num_blocks, space.num_candidates)).argsort(axis=1)
