"""Which architectures a search may look at: those whose costs keep to the constraints."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.search.budget.constraint import Constraint, readable
from pinas_mm.search.budget.objective import LATENCY, cost_names
from pinas_mm.search.budget.selection import Selection
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.space.cost import AdditiveCost

# Spaces up to this size are listed where drawing at random finds too few.
LISTED = 65_536
# Draws at random before other ways are taken, in small spaces and in big ones.
FEW_DRAWS, MANY_DRAWS = 4_096, 262_144


class SpaceExhausted(Exception):  # noqa: N818
    """Every architecture within the budget is in the record: the search has come to its end."""


class Budget:
    """The part of a search space whose architectures keep to constraints on their costs.

    Args:
        space: the search space.
        costs: all costs that are known, each under its own name.
        constraints: that all must be met; texts as ``macs<=5.3G`` are read.

    Attributes:
        names: of the costs.
        constraints: as :class:`Constraint`.

    Raises:
        UserError: a constraint cannot be read or is on a cost that is not known, or no
            architecture meets all; the message has the costs that there are.
    """

    def __init__(
        self,
        space: SearchSpace,
        costs: Sequence[AdditiveCost],
        constraints: Sequence[str | Constraint] = (),
    ) -> None:
        self.space = space
        self.constraints = tuple(Constraint.parse(constraint) for constraint in constraints)
        self._costs = {cost.name: cost for cost in costs}
        self.names = tuple(self._costs)
        self._others: list[Arch] = []
        for constraint in self.constraints:
            self._check_known(constraint)
            self._check_alone(constraint)
        if len(self.constraints) > 1:
            self._check_together()

    def feasible(self, choices: NDArray[Any]) -> NDArray[Any]:
        """Which architectures are of the space and keep to the constraints: candidate indices
        (n, blocks) to (n,).
        """
        choices = np.asarray(choices, dtype=np.int64).reshape(-1, self.space.num_blocks)
        met = self.space.mask[np.arange(self.space.num_blocks), choices].all(axis=1)
        for constraint in self.constraints:
            met &= constraint.met(self._costs[constraint.name].of(choices))
        return met

    def costs(self, choices: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The costs by name of architectures (n, blocks), each of shape (n,)."""
        return {name: cost.of(choices) for name, cost in self._costs.items()}

    def sample(
        self, number: int, rng: np.random.Generator, seen: Collection[tuple[int, ...]] = ()
    ) -> list[Arch]:
        """Different architectures within the budget.

        They are drawn uniformly where the budget leaves enough of the space to find them at
        random, or the space has at most 65,536 architectures; else by random linear objectives.

        Args:
            number: how many.
            rng: decides alone what is drawn.
            seen: architectures of this space that are not to be drawn.

        Returns:
            Fewer than ``number`` only where there are no more.
        """
        seen = set(map(tuple, seen))
        drawn = self._draw(number, rng, seen)
        missing = number - len(drawn)
        if missing > 0 and self.space.size <= LISTED:
            drawn += self._pick(missing, rng, seen.union(drawn))
        elif missing > 0 and self.constraints:
            drawn += self._solve(missing, rng, seen.union(drawn))
        return [Arch(choices, self.space.depths) for choices in drawn]

    def has_other(self, seen: Collection[tuple[int, ...]], besides: int = 0) -> bool:
        """Whether more than ``besides`` architectures within the budget are left besides ``seen``,
        a set.

        Those that were found are kept, since finding one can take an integer program: asked before
        each proposal, the answer costs nothing until one of these very ones is proposed.
        """
        self._others = [arch for arch in self._others if arch not in seen]
        if len(self._others) <= besides:
            self._others = self.sample(besides + 1, np.random.default_rng(0), seen)
        return len(self._others) > besides

    def _draw(
        self, number: int, rng: np.random.Generator, seen: set[tuple[int, ...]]
    ) -> list[tuple[int, ...]]:
        """What drawing at random finds."""
        small = self.space.size <= LISTED
        number = min(number, self.space.size - len(seen))
        draws = FEW_DRAWS if small else MANY_DRAWS
        size = max(2 * number, 16)
        # In a big space without constraints there is always more to find, and not for long.
        endless = not small and not self.constraints
        drawn: dict[tuple[int, ...], None] = {}
        while len(drawn) < number and (draws > 0 or endless):
            choices = self.space.draw(size, rng)
            draws -= size
            for row in choices[self.feasible(choices)].tolist():
                if len(drawn) < number and tuple(row) not in seen:
                    drawn[tuple(row)] = None
            size = min(2 * size, 16_384)
        return list(drawn)

    def _pick(
        self, number: int, rng: np.random.Generator, seen: set[tuple[int, ...]]
    ) -> list[tuple[int, ...]]:
        """Of the list of all that are feasible."""
        rows = (self._all[index].tolist() for index in rng.permutation(len(self._all)))
        return list(itertools.islice((row for row in map(tuple, rows) if row not in seen), number))

    def _solve(
        self, number: int, rng: np.random.Generator, seen: set[tuple[int, ...]]
    ) -> list[tuple[int, ...]]:
        """What integer programs with random objectives find."""
        selection = self._selection(self.constraints)
        excluded = np.array([*seen], dtype=np.int64).reshape(-1, self.space.num_blocks)
        # Sorted: the order of a set is no input to what is drawn.
        excluded = np.unique(excluded[self.feasible(excluded)], axis=0)
        drawn: list[tuple[int, ...]] = []
        while len(drawn) < number:
            objective = rng.standard_normal(selection.shape)
            choices = selection.minimize(objective, excluded, gap=1e-3)
            if choices is None:
                break
            drawn.append(tuple(choices.tolist()))
            excluded = np.concatenate([excluded, choices[None]])
        return drawn

    @cached_property
    def _all(self) -> NDArray[Any]:
        choices = self.space.everything()
        return choices[self.feasible(choices)]

    def _selection(self, constraints: Sequence[Constraint]) -> Selection:
        return Selection(list(self._costs.values()), constraints)

    def _check_known(self, constraint: Constraint) -> None:
        if constraint.name in self._costs:
            return
        if constraint.name == LATENCY:
            raise UserError(
                f"constraint {constraint} needs measured latency: give "
                "measure_latency(space, LatencyOptions(image_size)).additive() among the costs"
            )
        raise UserError(
            f"constraint {constraint} is on {constraint.name}, which is no cost here: allowed are "
            f"{', '.join(cost_names())}"
        )

    def _check_alone(self, constraint: Constraint) -> None:
        low, high = self._costs[constraint.name].bounds()
        if not constraint.met(np.array(low if constraint.upper else high)):
            raise UserError(
                f"no architecture has {constraint}: {_range(constraint.name, low, high)} in this "
                "space"
            )

    def _check_together(self) -> None:
        selection = self._selection(self.constraints)
        if selection.minimize(np.zeros(selection.shape), gap=1.0) is not None:
            return
        said = []
        for name in dict.fromkeys(constraint.name for constraint in self.constraints):
            others = [constraint for constraint in self.constraints if constraint.name != name]
            within = self._selection(others)
            low, high = within.extreme(name, 1), within.extreme(name, -1)
            if low is not None and high is not None:
                where = f"with {' and '.join(map(str, others))}" if others else "in this space"
                said.append(f"{_range(name, low, high)} {where}")
        raise UserError(
            f"no architecture has {' and '.join(map(str, self.constraints))} together"
            + (f": {'; '.join(said)}" if said else "")
        )


def _range(name: str, low: float, high: float) -> str:
    """What a user can take as a bound: the minimum is rounded up, the maximum down."""
    least = readable(name, low, rounding="up")
    return f"{name} is {least} to {readable(name, high, rounding='down')}"
