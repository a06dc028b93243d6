"""From a record's trials to findings, again and again while it grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import cast

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.record.settled import Settled
from pinas_mm.space import Arch

# What trials that cannot be used are counted as, beside Optuna's states.
LEFT_OUT = "left out"


class Evaluations:
    """Makes findings of the trials of one record; each finished one is looked at once.

    Args:
        budget: evaluated architectures outside it are left out.
        objectives: of the record.
    """

    def __init__(self, budget: Budget, objectives: tuple[Objective, ...]) -> None:
        self._budget, self._objectives = budget, objectives
        self._start: float | None
        self._settled: Settled
        self._evaluated: list[Evaluated]
        self._states: Counter[TrialState]
        self._forget()

    def findings(
        self,
        trials: Sequence[FrozenTrial],
        left_out: Collection[int],
        sampler: str,
        checkpoint: str,
    ) -> Findings:
        """What trials of a record are.

        Args:
            trials: all of it, by their numbers.
            left_out: numbers of those that cannot be used.
            sampler, checkpoint: for the report.
        """
        anew, fresh, rest = self._settled.split(trials)
        started = min(map(_began, _complete([*fresh, *rest])), default=None)
        # Seconds count from the first start, of a trial that may take the longest.
        later = self._start is not None and started is not None and started < self._start
        if anew or later:
            self._forget()
            _, fresh, rest = self._settled.split(trials)
            started = min(map(_began, _complete(trials)), default=None)
        if self._start is None:
            self._start = started
        self._evaluated += self._within(fresh)
        self._states += _counted(fresh, left_out)
        evaluated = [*self._evaluated, *self._within(rest)]
        states = self._states + _counted(rest, left_out)
        return Findings(
            space=self._budget.space,
            objectives=self._objectives,
            constraints=self._budget.constraints,
            sampler=sampler,
            evaluated=tuple(sorted(evaluated, key=lambda e: (e.seconds, e.trial))),
            states={
                **{state.name.lower(): states[state] for state in TrialState},
                **({LEFT_OUT: len(left_out)} if left_out else {}),
            },
            checkpoint=checkpoint,
        )

    def _forget(self) -> None:
        self._start, self._settled = None, Settled()
        self._evaluated, self._states = [], Counter()

    def _within(self, trials: Sequence[FrozenTrial]) -> list[Evaluated]:
        """Those of the trials that are complete and within the budget."""
        complete = _complete(trials)
        archs = [arch_of(trial, self._budget.space) for trial in complete]
        shape = len(archs), self._budget.space.num_blocks
        within = self._budget.feasible(np.array(archs).reshape(shape))
        return [
            Evaluated(
                trial=trial.number,
                arch=cast(Arch, arch),
                values=tuple(trial.values),
                metrics=trial.user_attrs["metrics"],
                costs=trial.user_attrs["costs"],
                seconds=_ended(trial) - cast(float, self._start),
            )
            for trial, arch, fits in zip(complete, archs, within, strict=True)
            if fits
        ]


def _counted(trials: Sequence[FrozenTrial], left_out: Collection[int]) -> Counter[TrialState]:
    return Counter(trial.state for trial in trials if trial.number not in left_out)


def _complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


# Of a trial that another program wrote by Optuna's times, which do not say their zone: this one's.
def _began(trial: FrozenTrial) -> float:
    """When a complete trial began, in seconds since 1970."""
    times = trial.user_attrs.get("times")
    return times[0] if times else cast(datetime, trial.datetime_start).timestamp()


def _ended(trial: FrozenTrial) -> float:
    times = trial.user_attrs.get("times")
    return times[1] if times else cast(datetime, trial.datetime_complete).timestamp()
