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
        self._forget(None)

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
        complete = (trial for trial in trials if trial.state == TrialState.COMPLETE)
        start = min((_times(trial)[0] for trial in complete), default=None)
        if start != self._start:
            # Seconds count from the first start, of a trial that may take the longest.
            self._forget(start)
        anew, fresh, rest = self._settled.split(trials)
        if anew:
            self._evaluated.clear()
            self._states.clear()
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

    def _forget(self, start: float | None) -> None:
        self._start, self._settled = start, Settled()
        self._evaluated: list[Evaluated] = []
        self._states: Counter[TrialState] = Counter()

    def _within(self, trials: Sequence[FrozenTrial]) -> list[Evaluated]:
        """Those of the trials that are complete and within the budget."""
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
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
                seconds=_times(trial)[1] - cast(float, self._start),
            )
            for trial, arch, fits in zip(complete, archs, within, strict=True)
            if fits
        ]


def _counted(trials: Sequence[FrozenTrial], left_out: Collection[int]) -> Counter[TrialState]:
    return Counter(trial.state for trial in trials if trial.number not in left_out)


def _times(trial: FrozenTrial) -> tuple[float, float]:
    """When a complete trial began and ended, in seconds since 1970.

    Of one that another program wrote by Optuna's times, which do not say their zone: this one's.
    """
    ends = trial.datetime_start, trial.datetime_complete
    began, ended = trial.user_attrs.get("times") or (cast(datetime, t).timestamp() for t in ends)
    return began, ended
