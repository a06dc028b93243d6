"""What a search has left to hand out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.search.record.recovery import died_with
from pinas_mm.search.record.settled import Settled
from pinas_mm.space import Arch

HELD = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


@dataclasses.dataclass(frozen=True)
class Left:
    """What there is to claim, while the lock is held.

    Attributes:
        budget: the record's.
        waiting: the trials in the queue, in its order.
        next_died: whether a worker died with the first of them.
        wanted: trials to start besides.
        seen: architectures in the record.
        held: those of them that have not failed.
        running: trials in work.
        choosing: trials whose architecture is not chosen yet; each takes one that is left.
    """

    budget: Budget
    waiting: tuple[FrozenTrial, ...]
    next_died: bool
    wanted: int
    seen: frozenset[Arch]
    held: frozenset[Arch]
    running: int
    choosing: int

    def has_one(self) -> bool:
        """Whether a trial waits, or one more is wanted and the budget has an architecture left."""
        if self.waiting or self.wanted <= 0:
            return bool(self.waiting)
        return self.budget.has_other(self.seen, self.choosing)


class Leavings:
    """Finds what is left, again and again as the record grows.

    Args:
        budget: the record's.
        trials: architectures to finish in all.
    """

    def __init__(self, budget: Budget, trials: int) -> None:
        self._budget, self._trials = budget, trials
        self._settled = Settled()
        self._seen: set[Arch] = set()
        self._held: set[Arch] = set()
        self._number = 0

    def of(self, trials: Sequence[FrozenTrial]) -> Left:
        """What is left of a record with these trials, in the order of their numbers."""
        anew, fresh, rest = self._settled.split(trials)
        if anew:
            self._seen, self._held, self._number = set(), set(), 0
        self._number += self._add(fresh, self._seen, self._held)
        seen, held = set(self._seen), set(self._held)
        number = self._number + self._add(rest, seen, held)
        space = self._budget.space
        waiting = tuple(trial for trial in rest if trial.state == TrialState.WAITING)
        return Left(
            budget=self._budget,
            waiting=waiting,
            next_died=bool(waiting) and died_with(waiting[0], space),
            wanted=self._trials - number,
            seen=frozenset(seen),
            held=frozenset(held),
            running=sum(trial.state == TrialState.RUNNING for trial in rest),
            choosing=sum(
                not trial.state.is_finished() and arch_of(trial, space) is None for trial in rest
            ),
        )

    def _add(self, trials: Sequence[FrozenTrial], seen: set[Arch], held: set[Arch]) -> int:
        """Adds the trials' architectures; returns how many of them have not failed."""
        number = 0
        for trial in trials:
            arch = arch_of(trial, self._budget.space)
            number += trial.state in HELD
            if arch is not None:
                seen.add(arch)
                if trial.state in HELD:
                    held.add(arch)
        return number
