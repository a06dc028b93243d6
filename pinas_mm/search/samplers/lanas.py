"""Search by a tree of learned splits, as Pi-NAS searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.samplers.base import ArchSampler
from pinas_mm.search.samplers.features import features
from pinas_mm.search.samplers.history import History
from pinas_mm.search.samplers.moves import cross, mutate
from pinas_mm.search.samplers.partition import Partition, Path
from pinas_mm.space import SearchSpace

# Candidates of each kind that a proposal looks at: random, mutations, crossovers.
RANDOM, MUTATIONS, CROSSOVERS = 128, 96, 96


class LaNASSampler(ArchSampler):
    """Latent action search (Wang et al., LaNAS, TPAMI 2021; Pi-NAS, section 4.1).

    After ``startup`` random architectures a tree splits the space into good and bad parts, see
    :class:`Partition`; it is learned anew every ``refit`` results, or every 2 % of them where that
    is more. Upper confidence bounds lead to a leaf. Random architectures, mutations and crossovers
    of the leaf's best members compete: only those stay that every classifier on the path puts on
    the path's side, and of these one is drawn or, with probability ``greed``, the one deepest
    inside is taken.

    Pi-NAS starts with 80 random architectures, refits after 8 and evaluates 1,000; the defaults
    here suit 100 to 300.

    Args:
        space, budget, seed, objectives: see :class:`ArchSampler`.
        startup: random architectures at the beginning.
        refit: results between two trees at least; with several objectives each tree has weights of
            its own.
        exploration: weight of the confidence bounds' width, for scores scaled to [0, 1].
        leaf: smallest part that a split is meant to leave.
        depth: splits on a path at most.
        ridge: weight decay of the classifiers.
        parents: the best members of the leaf that mutate and cross.
        greed: probability of taking the architecture deepest inside the leaf.

    Raises:
        UserError: a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget | None = None,
        seed: int = 0,
        objectives: Sequence[Objective] = (),
        startup: int = 24,
        refit: int = 8,
        exploration: float = 0.05,
        leaf: int = 6,
        depth: int = 6,
        ridge: float = 1.0,
        parents: int = 4,
        greed: float = 0.7,
    ) -> None:
        super().__init__(space, budget, seed, objectives)
        wrong = startup < 2 or min(refit, leaf, depth, parents) < 1
        if wrong or exploration < 0 or ridge <= 0 or not 0 <= greed <= 1:
            raise UserError(
                "LaNASSampler takes startup of at least 2, refit, leaf, depth and parents of at "
                "least 1, exploration of at least 0, ridge above 0 and greed of 0 to 1, not "
                f"startup={startup}, refit={refit}, leaf={leaf}, depth={depth}, "
                f"parents={parents}, exploration={exploration}, ridge={ridge}, greed={greed}"
            )
        self.startup, self.refit, self.exploration = startup, refit, exploration
        self.leaf, self.depth, self.ridge = leaf, depth, ridge
        self.parents, self.greed = parents, greed
        self._learned: tuple[bytes, Path] | None = None

    def propose(
        self, history: History, rng: np.random.Generator
    ) -> Sequence[int] | NDArray[Any] | None:
        """An architecture of the most promising part; any while there are few results."""
        if len(history) < 2 or len(history) + len(history.pending) < self.startup:
            return None
        path = self._path(history)
        members = history.archs[path.leaf.members]
        order = np.argsort(-history.scores[path.leaf.members], kind="stable")
        archs = self.fresh(self._candidates(members[order[: self.parents]], rng), history)
        if len(archs) == 0:
            return None
        # With no split there is nothing to tell candidates apart.
        margins = np.zeros((len(archs), 1))
        if path.steps:
            margins = path.margins(features(archs, self.space))
        inside = np.flatnonzero((margins > 0).all(axis=1))
        greedy = rng.random() < self.greed
        if len(inside) == 0 or greedy:
            return archs[margins.sum(axis=1).argmax()]
        return archs[rng.choice(inside)]

    def _path(self, history: History) -> Path:
        """To the best leaf of the tree, learned from the record's beginning."""
        number = min(self.startup, len(history))
        while (grown := number + max(self.refit, number // 50)) <= len(history):
            number = grown
        archs, scores = history.beginning(number, (self.seed,))
        key = archs.tobytes() + scores.tobytes()
        if self._learned is None or self._learned[0] != key:
            numbers = features(archs, self.space)
            tree = Partition(numbers, scores, self.leaf, self.depth, self.ridge)
            self._learned = key, tree.path(self.exploration)
        return self._learned[1]

    def _candidates(self, parents: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Random architectures and children of a leaf's best members; shape (n, blocks)."""
        candidates = self.space.num_candidates
        mothers = parents[rng.integers(len(parents), size=MUTATIONS)]
        changes = rng.integers(1, 3, size=MUTATIONS)
        first = parents[rng.integers(len(parents), size=CROSSOVERS)]
        second = parents[rng.integers(len(parents), size=CROSSOVERS)]
        kinds = [mutate(mothers, candidates, changes, rng), cross(first, second, rng)]
        return np.concatenate([self.draw(RANDOM, rng), *kinds])
