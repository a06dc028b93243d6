"""What all samplers have in common: no architecture twice, none outside the budget."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from pinas_mm.search.budget.budget import Budget, SpaceExhausted
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.encoding import distributions, held, parameter_names, parameters
from pinas_mm.search.samplers.history import History, Reader
from pinas_mm.search.samplers.moves import mutate, neighbours
from pinas_mm.space import Arch, SearchSpace

# Mutations of each strength that are tried before the budget is asked.
TRIES = 64
# Completions of a part that are listed; of more, so many are drawn.
MOST_LISTED = 65_536


class ArchSampler(BaseSampler):
    """An Optuna sampler that proposes architectures.

    It never proposes one that the study holds in any state, nor one outside the budget, as long as
    others are left. Those whose trials all failed come last. A proposal depends on ``seed``, the
    trial's number and the record alone, so that a search which is stopped and continued by another
    process goes on as it would have.

    Args:
        space: the search space.
        budget: what is feasible; None is everything.
        seed: of the proposals.
        objectives: of the search; how many and which way is better is read from the study.

    Raises:
        SpaceExhausted: on a proposal when nothing is left.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget | None = None,
        seed: int = 0,
        objectives: Sequence[Objective] = (),
    ) -> None:
        self.space, self.seed, self.objectives = space, seed, tuple(objectives)
        self.budget = Budget(space, ()) if budget is None else budget
        self._reader = Reader(space)
        self._others = RandomSampler(seed)

    @abc.abstractmethod
    def propose(
        self, history: History, rng: np.random.Generator
    ) -> Sequence[int] | NDArray[Any] | None:
        """The architecture to evaluate next as candidate indices; None means any.

        A proposal that is seen or infeasible is replaced by a near one that is not.
        """

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Optuna's method: one categorical parameter a choice block."""
        return {**distributions(self.space)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Optuna's method: the next architecture as parameters."""
        if not search_space:
            return {}
        rng = np.random.default_rng([self.seed, trial.number])
        history, failed = self._reader.read(study, trial, rng)
        # Optuna sets blocks with a single candidate before it asks: no part that a trial has.
        fixed = {
            block: choice
            for block, choice in held(trial, parameter_names(self.space)).items()
            if self.space.counts[block] > 1
        }
        proposals = self._proposals(study, trial, history, rng)
        without_failed = frozenset(history.seen | failed)
        arch = self._choose(proposals, without_failed, fixed, rng)
        if arch is None and failed:
            arch = self._choose(iter(()), history.seen, fixed, rng)
        if arch is None and fixed:
            # A part of it stands in the record already and whatever completes it is taken:
            # a second evaluation hurts less than a trial that can never be completed.
            arch = self._choose(iter(()), frozenset(), fixed, rng)
        if arch is None:
            raise SpaceExhausted(
                f"all architectures within the budget are evaluated or in work: {len(history.seen)}"
            )
        return parameters(Arch(arch, self.space.depths), self.space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Optuna's method: parameters that are no choice blocks are drawn at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Optuna's method; proposals depend on seed and trial, so there is nothing to reseed."""

    def fresh(self, choices: NDArray[Any], history: History) -> NDArray[Any]:
        """Those of ``choices``, shape (n, blocks), that may be proposed, each once, in order."""
        kept = {
            row: None for row in map(tuple, np.asarray(choices).tolist()) if row not in history.seen
        }
        archs = np.array(list(kept), dtype=np.int64).reshape(-1, self.space.num_blocks)
        return archs[self.budget.feasible(archs)]

    def draw(self, number: int, rng: np.random.Generator) -> NDArray[Any]:
        """Random feasible architectures, shape (n, blocks): n is at most ``number``, and small or
        zero where the budget leaves little of the space.
        """
        choices = self.space.draw(number, rng)
        return choices[self.budget.feasible(choices)]

    def _proposals(
        self, study: Study, trial: FrozenTrial, history: History, rng: np.random.Generator
    ) -> Iterator[Sequence[int] | NDArray[Any] | None]:
        """Proposals until one may be taken; the last of them is replaced by a near one."""
        yield self.propose(history, rng)

    def _choose(
        self,
        proposals: Iterator[Sequence[int] | NDArray[Any] | None],
        seen: frozenset[tuple[int, ...]],
        fixed: dict[int, int],
        rng: np.random.Generator,
    ) -> tuple[int, ...] | None:
        proposal = None
        for proposal in proposals:
            if proposal is None:
                break
            found = self._first(np.array([proposal]), seen, fixed)
            if found is not None:
                return found
        if proposal is not None:
            found = self._near(np.asarray(proposal), seen, fixed, rng)
            if found is not None:
                return found
        if not fixed:
            drawn = self.budget.sample(1, rng, seen)
            return tuple(drawn[0]) if drawn else None
        return self._complete(seen, fixed, rng)

    def _near(
        self,
        proposal: NDArray[Any],
        seen: frozenset[tuple[int, ...]],
        fixed: dict[int, int],
        rng: np.random.Generator,
    ) -> tuple[int, ...] | None:
        """The nearest that may be taken: one change, two, and so on."""
        candidates = self.space.num_candidates
        around = rng.permutation(neighbours(proposal, candidates))
        found = self._first(around, seen, fixed)
        for changes in range(2, self.space.num_blocks + 1):
            if found is not None:
                break
            around = mutate(np.tile(proposal, (TRIES, 1)), candidates, changes, rng)
            found = self._first(around, seen, fixed)
        return found

    def _complete(
        self, seen: frozenset[tuple[int, ...]], fixed: dict[int, int], rng: np.random.Generator
    ) -> tuple[int, ...] | None:
        """Any that may be taken and has the fixed candidates."""
        free = [block for block in range(self.space.num_blocks) if block not in fixed]
        if math.prod(self.space.counts[free].tolist()) > MOST_LISTED:
            return self._first(self.space.draw(MOST_LISTED, rng), seen, fixed)
        inner = self.space.everything(free)
        archs = np.zeros((len(inner), self.space.num_blocks), dtype=np.int64)
        archs[:, free] = rng.permutation(inner)
        return self._first(archs, seen, fixed)

    def _first(
        self, archs: NDArray[Any], seen: frozenset[tuple[int, ...]], fixed: dict[int, int]
    ) -> tuple[int, ...] | None:
        """The first of ``archs`` that may be taken, with the fixed candidates put in."""
        archs = np.array(archs, dtype=np.int64)
        for block, candidate in fixed.items():
            archs[:, block] = candidate
        feasible = self.budget.feasible(archs)
        for row in map(tuple, archs[feasible].tolist()):
            if row not in seen:
                return row
        return None
