"""Search by predicting scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.samplers.base import ArchSampler
from pinas_mm.search.samplers.gaussian_process import ArchProcess, Posterior
from pinas_mm.search.samplers.history import History
from pinas_mm.search.samplers.moves import mutate, neighbours
from pinas_mm.space import SearchSpace

# Best architectures whose surroundings are looked at, and mutations in two blocks of each.
TOP, PAIRS = 5, 40
# Steps uphill from the pool's most promising, and how many start.
CLIMBS, CLIMBERS = 4, 4


class PredictorSampler(ArchSampler):
    """Proposes what a Gaussian process expects to improve most; the default.

    After ``startup`` random architectures two views of the scores take turns: as they are, and
    with the bad ones drawn together, so that the good ones are told apart. To each a Gaussian
    process (:class:`ArchProcess`) is fitted. The proposal has the largest expected improvement
    (Jones et al. 1998) over the best score so far among random architectures, those one or two
    blocks from the best, and what is reached from these by single mutations uphill. Each
    architecture has an effect of its own that no other tells of; it counts as chance of
    improvement, as it is part of what is looked for. Architectures in work count as if they had
    their expected scores, so that parallel workers look at different ones.

    A Gaussian process grows with the cube of the results: of more than ``subset`` it knows the
    best half, the newest quarter and an even spread over the ranks of the others (a subset of data,
    Rasmussen & Williams 2006, section 8.3.3, that keeps what decides where to look).

    Args:
        space, budget, seed, objectives: see :class:`ArchSampler`.
        startup: random architectures at the beginning.
        pool: random architectures that each proposal considers.
        refit: the hyperparameters are fitted again when there are this many times as many results;
            of several objectives to weights of each fit's own.
        subset: results that a Gaussian process knows at most.

    Raises:
        UserError: a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget | None = None,
        seed: int = 0,
        objectives: Sequence[Objective] = (),
        startup: int = 16,
        pool: int = 300,
        refit: float = 1.15,
        subset: int = 256,
    ) -> None:
        super().__init__(space, budget, seed, objectives)
        if startup < 2 or pool < 1 or refit <= 1 or subset < 8:
            raise UserError(
                "PredictorSampler takes startup of at least 2, pool of at least 1, refit of more "
                f"than 1 and subset of at least 8, not {startup}, {pool}, {refit}, {subset}"
            )
        self.startup, self.pool, self.refit, self.subset = startup, pool, refit, subset
        self._process = ArchProcess(space)
        self._threads = ThreadpoolController()
        # By view: what was fitted to, and the hyperparameters.
        self._fitted: dict[bool, tuple[bytes, NDArray[Any]]] = {}

    def propose(
        self, history: History, rng: np.random.Generator
    ) -> Sequence[int] | NDArray[Any] | None:
        """The architecture of the largest expected improvement; any while there are few results."""
        started = len(history) + len(history.pending)
        if len(history) < 2 or started < self.startup:
            return None
        squeezed = started % 2 == 0
        kept = chosen(history.scores, self.subset)
        archs, scores = history.archs[kept], standardized(history.scores[kept], squeezed)
        # More threads make matrices this small slower, four times on two cores.
        with self._threads.limit(limits=1, user_api="blas"):
            hyper = self._hyper(history, squeezed)
            posterior = self._process.condition(hyper, archs, scores, history.pending)
            return self._climb(posterior, history, rng)

    def _hyper(self, history: History, squeezed: bool) -> NDArray[Any]:
        """Hyperparameters fitted to the record's beginning, which grows in steps."""
        number = min(self.startup, len(history))
        while (grown := int(number * self.refit) + 1) <= len(history):
            number = grown
        archs, scores = history.beginning(number, (self.seed, squeezed))
        kept = chosen(scores, self.subset)
        archs, scores = archs[kept], scores[kept]
        key = archs.tobytes() + scores.tobytes()
        if self._fitted.get(squeezed, (b"",))[0] != key:
            hyper = self._process.fit(archs, standardized(scores, squeezed))
            self._fitted[squeezed] = key, hyper
        return self._fitted[squeezed][1]

    def _climb(
        self, posterior: Posterior, history: History, rng: np.random.Generator
    ) -> NDArray[Any] | None:
        candidates = self.space.num_candidates
        top = history.archs[history.best(TOP)]
        pool = [self.draw(self.pool, rng), neighbours(top, candidates)]
        pool.append(mutate(np.repeat(top, PAIRS, axis=0), candidates, 2, rng))
        archs = self.fresh(np.concatenate(pool), history)
        proposal, highest = None, -np.inf
        for _ in range(CLIMBS + 1):
            if len(archs) == 0:
                break
            mean, variance = posterior.predict(archs)
            gains = log_improvement(mean - posterior.best, np.sqrt(variance + posterior.noise))
            order = np.argsort(-gains, kind="stable")[:CLIMBERS]
            if gains[order[0]] <= highest:
                break
            proposal, highest = archs[order[0]], gains[order[0]]
            archs = self.fresh(neighbours(archs[order], candidates), history)
        return proposal


def chosen(scores: NDArray[Any], number: int) -> NDArray[Any]:
    """Which results stand for all: indices, ascending, at most ``number`` of them.

    Args:
        scores: shape (n,), the oldest first.
        number: the best half of it are taken, the newest quarter, and for the rest others evenly
            over their ranks. All where there are no more.
    """
    if len(scores) <= number:
        return np.arange(len(scores))
    ranked = np.argsort(-scores, kind="stable")
    taken = np.zeros(len(scores), dtype=bool)
    taken[ranked[: number // 2]] = True
    taken[len(scores) - number // 4 :] = True
    others = ranked[~taken[ranked]]
    places = np.linspace(0, len(others) - 1, number - taken.sum())
    taken[others[np.rint(places).astype(int)]] = True
    return np.flatnonzero(taken)


def standardized(scores: NDArray[Any], squeezed: bool) -> NDArray[Any]:
    """Scores of mean 0 and standard deviation 1, all 0 where they are all equal.

    Args:
        scores: shape (n,).
        squeezed: whether what is below the median first goes through a logarithm, in units of
            the spread above.
    """
    if squeezed:
        scores = scores - np.median(scores)
        above = scores[scores > 0]
        if len(above):
            scores = scores / np.sqrt((above**2).mean())
            scores = np.where(scores < 0, -np.log1p(-np.minimum(scores, 0)), scores)
    spread = scores.std()
    # Rounding leaves a spread of equal scores that is not exactly zero.
    if spread <= 1e-12 * max(np.abs(scores).max(), 1e-300):
        return np.zeros(len(scores))
    return (scores - scores.mean()) / spread


def log_improvement(mean: NDArray[Any], deviation: NDArray[Any]) -> NDArray[Any]:
    """Logarithm of the expected positive part of normal variables, for tiny ones too."""
    ratio = mean / deviation
    density = np.exp(-0.5 * ratio**2) / np.sqrt(2 * np.pi)
    near = np.maximum(density + ratio * ndtr(ratio), 1e-300)
    # For a very negative ratio the two terms cancel; phi / ratio^2 is the first term left over.
    far = -0.5 * ratio**2 - np.log(np.sqrt(2 * np.pi) * np.maximum(ratio**2, 1.0))
    return np.log(deviation) + np.where(ratio > -6, np.log(near), far)
