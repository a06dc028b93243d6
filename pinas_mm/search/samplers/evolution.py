"""Regularized evolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.samplers.base import ArchSampler
from pinas_mm.search.samplers.history import History
from pinas_mm.search.samplers.moves import cross, mutate
from pinas_mm.space import SearchSpace

# Children that are tried before the sampler gives up on finding a new one.
CHILDREN = 64


class EvolutionSampler(ArchSampler):
    """Regularized evolution (Real et al., AAAI 2019): the old die, whatever their score.

    After ``population`` random architectures each proposal is a child of the best of
    ``tournament`` members drawn from the latest ``population`` ones.

    Args:
        space, budget, seed, objectives: see :class:`ArchSampler`.
        population: how many architectures are alive; the paper's 100 suits its 20,000
            evaluations.
        tournament: members drawn, the best of which is the parent; the paper's is 25.
        mutations: blocks that a child changes, one in the paper.
        crossover: probability that a child first takes each of its blocks from either of two
            parents, the second from a tournament of its own; zero in the paper.

    Raises:
        UserError: a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget | None = None,
        seed: int = 0,
        objectives: Sequence[Objective] = (),
        population: int = 20,
        tournament: int = 8,
        mutations: int = 1,
        crossover: float = 0.0,
    ) -> None:
        super().__init__(space, budget, seed, objectives)
        if min(population, tournament, mutations) < 1 or not 0 <= crossover <= 1:
            raise UserError(
                "EvolutionSampler takes population, tournament and mutations of at least 1 and a "
                f"crossover of 0 to 1, not {population}, {tournament}, {mutations}, {crossover}"
            )
        self.population, self.tournament = population, tournament
        self.mutations, self.crossover = mutations, crossover

    def propose(
        self, history: History, rng: np.random.Generator
    ) -> Sequence[int] | NDArray[Any] | None:
        """A child that is not in the record; any architecture while there is no population."""
        if len(history) == 0 or len(history) + len(history.pending) < self.population:
            return None
        alive, scores = history.archs[-self.population :], history.scores[-self.population :]
        size = min(self.tournament, len(alive))
        rivals = rng.random((2 * CHILDREN, len(alive))).argsort(axis=1)[:, :size]
        winners = rivals[np.arange(len(rivals)), scores[rivals].argmax(axis=1)]
        parents, partners = alive[winners[:CHILDREN]], alive[winners[CHILDREN:]]
        crossed = rng.random(CHILDREN) < self.crossover
        parents = np.where(crossed[:, None], cross(parents, partners, rng), parents)
        children = mutate(parents, self.space.num_candidates, self.mutations, rng)
        fresh = self.fresh(children, history)
        return fresh[0] if len(fresh) else children[0]
