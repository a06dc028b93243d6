"""What a search has left to hand out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.search.record.recovery import attempts_at, died_with
from pinas_mm.search.record.settled import Settled
from pinas_mm.space import Arch

HELD = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


@dataclasses.dataclass(frozen=True)
class Remaining:
    """What there is to claim, while the lock is held.

    Attributes:
        budget: the record's.
        waiting: the trials in the queue, in its order: those last whose evaluation came to nothing
            most often.
        outside: how many trials wait besides for others, outside the budget here.
        next_died: whether the first of them is to be evaluated alone.
        wanted: trials to start besides.
        seen: architectures in the record.
        held: those of them that have not failed.
        running: trials in work.
        choosing: trials whose architecture is not chosen yet; each takes one that is left.
    """

    budget: Budget
    waiting: tuple[FrozenTrial, ...]
    outside: int
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


class RemainingTracker:
    """Finds what is left, again and again as the record grows.

    Args:
        budget: the record's.
        trials: architectures to finish in all.

    Attributes:
        outside: numbers of trials that are outside the budget here. While they wait for a machine
            whose budget they meet, others take their places.
    """

    def __init__(self, budget: Budget, trials: int) -> None:
        self._budget, self._trials = budget, trials
        self.outside: set[int] = set()
        self._settled = Settled()
        self._seen: set[Arch] = set()
        self._held: set[Arch] = set()
        self._number = 0

    def of(self, trials: Sequence[FrozenTrial], strangers: Collection[int] = ()) -> Remaining:
        """What is left of a record.

        Args:
            trials: all of it, in the order of their numbers.
            strangers: numbers of running trials that are not waited for; others take their places.
        """
        anew, fresh, rest = self._settled.split(trials, {*self.outside, *strangers})
        if anew:
            self._seen, self._held, self._number = set(), set(), 0
        self._number += self._add(fresh, self._seen, self._held)
        seen, held = set(self._seen), set(self._held)
        number = self._number + self._add(rest, seen, held)
        space = self._budget.space
        passed = {TrialState.WAITING: self.outside, TrialState.RUNNING: strangers}
        ours = [trial for trial in rest if trial.number not in passed.get(trial.state, ())]
        number -= len(rest) - len(ours)
        waiting = tuple(
            sorted((trial for trial in ours if trial.state == TrialState.WAITING), key=attempts_at)
        )
        return Remaining(
            budget=self._budget,
            waiting=waiting,
            outside=sum(t.state == TrialState.WAITING and t.number in self.outside for t in rest),
            next_died=bool(waiting) and died_with(waiting[0], space),
            wanted=self._trials - number,
            seen=frozenset(seen),
            held=frozenset(held),
            running=sum(trial.state == TrialState.RUNNING for trial in ours),
            choosing=sum(
                not trial.state.is_finished() and arch_of(trial, space) is None for trial in ours
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
