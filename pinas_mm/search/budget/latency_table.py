"""What was measured: seconds of each candidate of each block, and so of any architecture."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.machine import usable_cores
from pinas_mm.operations.plain_layers import of_file
from pinas_mm.search.budget.objective import LATENCY
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import AdditiveCost

# A part's repeats differ by this share, half of them by more, where others use the cores as well.
SPREAD = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class LatencyTable:
    """Measured seconds of a space's parts; an architecture takes the sum of its parts': stem,
    blocks and, where a model was given, what follows the backbone there.

    Args:
        setting: what was measured where, plain values: device, torch, threads, space, image_size,
            batch_size, in_channels, repeats, form, dtype; of a whole model, ``following``: which.
        fixed: seconds of the stem, of what ends the network, and of what follows it, for one batch.
        table: seconds of each candidate of each block with what stands around it, shape (blocks,
            candidates); 0 where the block does not run, NaN where the candidate may not stand.
        load: of the machine before it was measured, see :func:`pinas_mm.machine.load`; None where
            it is not known.
        spread: how far half of a part's repeats lie apart, as a share of their median; the median
            of all parts.
        error: how far the sums are from whole architectures that were timed, as a share of their
            seconds; their median. None where none were.
    """

    setting: dict[str, Any]
    fixed: float
    table: NDArray[Any]
    load: float | None = None
    spread: float = 0.0
    error: float | None = None

    def additive(self) -> AdditiveCost:
        """The cost ``latency``, in seconds for one batch."""
        return AdditiveCost(LATENCY, self.fixed, self.table)

    def doubt(self) -> str | None:
        """Why these seconds may be others' as well; None where nothing speaks for it."""
        doubts = []
        if self.load is not None and self.load > 1:
            doubts.append(f"{self.load:.1f} processes wanted each core of the machine")
        if self.spread > SPREAD:
            doubts.append(f"repeats lay {self.spread:.0%} apart")
        if self.setting["threads"] > usable_cores():
            doubts.append(f"{self.setting['threads']} threads had {usable_cores()} cores")
        return " and ".join(doubts) or None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, from which :meth:`from_dict` makes an equal table."""
        # JSON has no NaN.
        table = [[None if math.isnan(x) else x for x in row] for row in self.table.tolist()]
        known = dict(setting=self.setting, fixed=self.fixed, table=table)
        return known | dict(load=self.load, spread=self.spread, error=self.error)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LatencyTable:
        """Reads :meth:`to_dict`'s.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        space = SearchSpace.build(of_file(content["setting"]["space"]))
        fixed, table = float(content["fixed"]), np.array(content["table"], dtype=float)
        if table.shape != space.mask.shape or not ((table >= 0) == space.mask).all() or fixed <= 0:
            raise ValueError("not one number of seconds a candidate of each block")
        load, error = (
            None if content.get(name) is None else float(content[name])
            for name in ("load", "error")
        )
        return cls(content["setting"], fixed, table, load, float(content.get("spread", 0)), error)
