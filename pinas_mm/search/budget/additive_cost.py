"""Costs of architectures that are sums over their blocks."""

from __future__ import annotations

import dataclasses

import numpy as np

from pinas_mm.space.cost import CostTable


@dataclasses.dataclass(frozen=True, eq=False)
class AdditiveCost:
    """One cost of every architecture.

    Args:
        name: ``params``, ``macs``, ``latency``.
        fixed: of what every architecture has.
        table: of each candidate of each block, shape (blocks, candidates). Counts are whole
            numbers, exact up to 2^53; latency is in seconds.
    """

    name: str
    fixed: float
    table: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", np.asarray(self.table, dtype=float))
        object.__setattr__(self, "fixed", float(self.fixed))

    def of(self, choices: np.ndarray) -> np.ndarray:
        """The costs of architectures: candidate indices (n, blocks) to (n,)."""
        choices = np.asarray(choices, dtype=np.int64)
        total = np.full(len(choices), self.fixed)
        # Block after block: NumPy's sums round differently for one architecture and for many.
        for row, column in zip(self.table, choices.T, strict=True):
            total += row[column]
        return total

    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest cost of the space."""
        # Through of(), so that rounding is the same there and here.
        low, high = self.of(np.stack([self.table.argmin(axis=1), self.table.argmax(axis=1)]))
        return float(low), float(high)


def additive_costs(table: CostTable) -> list[AdditiveCost]:
    """``params`` and ``macs`` of a space."""
    return [
        AdditiveCost("params", table.fixed.params, table.params),
        AdditiveCost("macs", table.fixed.macs, table.macs),
    ]
