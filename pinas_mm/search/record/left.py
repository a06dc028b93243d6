"""What a search has left to hand out."""

from __future__ import annotations

import dataclasses

from pinas_mm.search.budget.budget import Budget
from pinas_mm.space import Arch


@dataclasses.dataclass
class Left:
    """What there is to claim, while the lock is held.

    Args:
        budget: the record's.
        waiting: of the trials in the queue, in its order, whether a worker died with one.
        wanted: trials to start besides.
        seen: architectures in the record.
    """

    budget: Budget
    waiting: list[bool]
    wanted: int
    seen: set[Arch]

    def has_one(self) -> bool:
        """Whether a trial waits, or one more is wanted and the budget has an architecture left."""
        if self.waiting or self.wanted <= 0:
            return bool(self.waiting)
        return self.budget.has_other(self.seen)

    def next_died(self) -> bool:
        """Whether the next trial is one that a worker died with."""
        return bool(self.waiting) and self.waiting[0]

    def take(self, arch: Arch) -> None:
        """Counts a claim; Optuna hands waiting trials out first."""
        if self.waiting:
            self.waiting.pop(0)
        else:
            self.wanted -= 1
        self.seen.add(arch)
