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
        waiting: trials in the queue.
        wanted: trials to start besides.
        seen: architectures in the record.
    """

    budget: Budget
    waiting: int
    wanted: int
    seen: set[Arch]

    def has_one(self) -> bool:
        """Whether a trial waits, or one more is wanted and the budget has an architecture left."""
        if self.waiting > 0 or self.wanted <= 0:
            return self.waiting > 0
        return self.budget.has_other(self.seen)

    def take(self, arch: Arch) -> None:
        """Counts a claim; Optuna hands waiting trials out first."""
        if self.waiting > 0:
            self.waiting -= 1
        else:
            self.wanted -= 1
        self.seen.add(arch)
