"""Costs of architectures that are sums over their blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.space.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Cost:
    """Learnable parameters, and multiply-adds of convolutions and classifier for one image."""

    params: int
    macs: int

    def __str__(self) -> str:
        return f"{self.params:,} parameters, {self.macs / 1e9:.3f} G multiply-adds"


@dataclasses.dataclass(frozen=True, eq=False)
class AdditiveCost:
    """One cost of every architecture.

    Args:
        name: ``params``, ``macs``, ``latency``, or of a user's own.
        fixed: of what every architecture has.
        table: of each candidate of each block, shape (blocks, candidates), with what stands around
            it: shortcut, transition. Where a candidate may not stand it is NaN. Counts are whole
            numbers, exact up to 2^53; latency is in seconds.
    """

    name: str
    fixed: float
    table: NDArray[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", np.asarray(self.table, dtype=float))
        object.__setattr__(self, "fixed", float(self.fixed))

    def of(self, choices: NDArray[Any]) -> NDArray[Any]:
        """The costs of architectures: candidate indices (n, blocks) to (n,)."""
        choices = np.asarray(choices, dtype=np.int64)
        total = np.full(len(choices), self.fixed)
        # Block after block: NumPy's sums round differently for one architecture and for many.
        for row, column in zip(self.table, choices.T, strict=True):
            total += row[column]
        return total

    def extremes(self) -> NDArray[Any]:
        """The cheapest and the dearest architecture, candidate indices of shape (2, blocks)."""
        return np.stack([np.nanargmin(self.table, axis=1), np.nanargmax(self.table, axis=1)])

    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest cost of the space."""
        # Through of(), so that rounding is the same there and here.
        low, high = self.of(self.extremes())
        return float(low), float(high)


class CostTable:
    """Additive costs of a search space's architectures, parameters and multiply-adds among them.

    :func:`pinas_mm.models.cost.count_costs` makes one by counting.

    Args:
        space: the search space.
        costs: each under its own name.
        counted: what they are the costs of, in words.
        image_size: height and width of the images in pixels; None where nobody says.
    """

    def __init__(
        self,
        space: SearchSpace,
        costs: Iterable[AdditiveCost],
        counted: str = "backbone",
        image_size: tuple[int, int] | None = None,
    ) -> None:
        self.space, self.counted, self.image_size = space, counted, image_size
        self.costs = {cost.name: cost for cost in costs}

    def __getitem__(self, name: str) -> AdditiveCost:
        return self.costs[name]

    def cost(self, arch: Any) -> Cost:
        """Parameters and multiply-adds of an architecture in any form that the space reads."""
        choices = np.array([self.space.arch(arch)])
        return Cost(*(int(self.costs[name].of(choices)[0]) for name in ("params", "macs")))

    def bounds(self) -> tuple[Cost, Cost]:
        """Smallest and largest parameters, and smallest and largest multiply-adds, of the space."""
        params, macs = self.costs["params"].bounds(), self.costs["macs"].bounds()
        low, high = (Cost(int(p), int(m)) for p, m in zip(params, macs, strict=True))
        return low, high
