"""Architectures within bounds as an integer program: one binary a candidate of each block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from pinas_mm.errors import UserError
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.space.cost import AdditiveCost

# Numbers that are not whole are brought to this size, where the solver's tolerances are small.
SCALE = 1e6
SLACK = 1e-3
# Seconds. Windows hardly wider than the distance of two costs can take the solver for ever.
PATIENCE = 120.0


class Selection:
    """Finds architectures that meet all constraints, or that there are none (HiGHS).

    The solver works with tolerances. Its bounds are therefore a little too wide here, and what it
    finds is checked and, where it does not hold, excluded: answers are exact.

    Args:
        costs: what the constraints are on, and maybe more.
        constraints: each on one of ``costs``.
    """

    def __init__(self, costs: Sequence[AdditiveCost], constraints: Sequence[Constraint]) -> None:
        self.costs = {cost.name: cost for cost in costs}
        self.constraints = tuple(constraints)
        tables = np.stack([cost.table for cost in self.costs.values()])
        self.shape = tables.shape[1:]
        # A candidate that may not stand in a block has no cost there.
        self._there = (~np.isnan(tables).any(axis=0)).ravel().astype(float)
        blocks, candidates = self.shape
        one_each = csr_array(np.kron(np.eye(blocks), np.ones(candidates)))
        self._rows = [LinearConstraint(one_each, 1, 1)]
        self._rows += [self._row(constraint) for constraint in self.constraints]

    def minimize(
        self, objective: NDArray[Any], excluded: NDArray[Any] | None = None, gap: float = 0.0
    ) -> NDArray[Any] | None:
        """The architecture within the constraints whose sum of an objective is smallest.

        Args:
            objective: shape (blocks, candidates).
            excluded: architectures not to return, shape (n, blocks).
            gap: how far from the smallest the sum may be, relatively.

        Returns:
            Candidate indices, shape (blocks,), or None where no architecture is left.

        Raises:
            UserError: the solver does not decide within its time.
        """
        cuts = [] if excluded is None else list(excluded)
        while True:
            result = milp(
                objective.ravel(),
                integrality=np.ones(objective.size),
                bounds=Bounds(0, self._there),
                constraints=[*self._rows, *self._cuts(cuts)],
                options=dict(mip_rel_gap=gap, time_limit=PATIENCE),
            )
            if result.x is None and result.status == 2:
                return None
            if result.x is None:
                raise UserError(
                    f"whether an architecture meets {' and '.join(map(str, self.constraints))} "
                    f"was not decided in {PATIENCE:.0f} s: loosen the constraints"
                )
            choices = result.x.reshape(self.shape).argmax(axis=1)
            if self.met(choices[None])[0]:
                return choices
            cuts.append(choices)

    def extreme(self, name: str, sign: int) -> float | None:
        """The smallest (sign 1) or largest (-1) cost within the constraints; None if none is.

        Exact for whole numbers, else to a millionth: between sums that differ by rounding alone the
        solver would choose for minutes.
        """
        cost = self.costs[name]
        table, _ = _whole(cost)
        choices = self.minimize(sign * table, gap=0.0 if _counts(cost) else 1e-6)
        return None if choices is None else float(cost.of(choices[None])[0])

    def met(self, choices: NDArray[Any]) -> NDArray[Any]:
        """Which architectures (n, blocks) meet the constraints, as bools (n,)."""
        met = np.ones(len(choices), dtype=bool)
        for constraint in self.constraints:
            met &= constraint.met(self.costs[constraint.name].of(choices))
        return met

    def _row(self, constraint: Constraint) -> LinearConstraint:
        cost = self.costs[constraint.name]
        table, unit = _whole(cost)
        bound = (constraint.bound - cost.fixed - np.nanmin(cost.table, axis=1).sum()) / unit
        # Sums of whole numbers keep a distance of at least a half from this bound.
        slack = SLACK if not _counts(cost) else 0.5 + abs(bound) * 1e-12
        row = csr_array(table.reshape(1, -1))
        if constraint.upper:
            limit = np.ceil(bound) - 1 if constraint.strict and _counts(cost) else bound
            limit = np.floor(limit) if _counts(cost) else limit
            return LinearConstraint(row, -np.inf, limit + slack)
        limit = np.floor(bound) + 1 if constraint.strict and _counts(cost) else bound
        limit = np.ceil(limit) if _counts(cost) else limit
        return LinearConstraint(row, limit - slack, np.inf)

    def _cuts(self, excluded: Sequence[NDArray[Any]]) -> list[LinearConstraint]:
        """Of each excluded architecture at most all blocks but one."""
        if not excluded:
            return []
        blocks, candidates = self.shape
        columns = np.stack(excluded) + np.arange(blocks) * candidates
        number = len(columns)
        row_starts = np.arange(0, (number + 1) * blocks, blocks)
        values = np.ones(columns.size)
        matrix = csr_array(
            (values, columns.ravel(), row_starts), shape=(number, blocks * candidates)
        )
        return [LinearConstraint(matrix, -np.inf, blocks - 1)]


def _counts(cost: AdditiveCost) -> bool:
    table = cost.table[~np.isnan(cost.table)]
    return bool((table == np.rint(table)).all()) and cost.fixed == np.rint(cost.fixed)


def _whole(cost: AdditiveCost) -> tuple[NDArray[Any], float]:
    """What each candidate costs above its block's cheapest, in a unit of a handy size."""
    above = np.nan_to_num(cost.table - np.nanmin(cost.table, axis=1, keepdims=True))
    if not above.any():
        return above, 1.0
    if _counts(cost):
        unit = float(np.gcd.reduce(above.astype(np.int64).ravel()))
    else:
        unit = float(above.max()) / SCALE
    return above / unit, unit
