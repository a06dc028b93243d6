"""What a search has found so far: every evaluated architecture, and the best of them."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.space import Arch, SearchSpace

# What trials that cannot be used are counted as, beside Optuna's states.
LEFT_OUT = "left out"


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """One finished trial.

    Attributes:
        trial: its number in the record.
        arch: the architecture.
        values: of the objectives, in their order.
        metrics: all that was measured.
        costs: ``params``, ``macs`` and, where measured, ``latency`` in seconds.
        seconds: from the search's start to its end.
    """

    trial: int
    arch: Arch
    values: tuple[float, ...]
    metrics: dict[str, float]
    costs: dict[str, float]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Findings:
    """A finished or running search.

    Attributes:
        space: the search space.
        objectives: what was looked for.
        constraints: what bounded it, such as ``macs<=5.3G``.
        sampler: name of the sampler.
        evaluated: complete trials within the constraints, in the order of their ends.
        states: number of trials by state: complete, pruned, fail, running, waiting, and where there
            are trials that cannot be used, ``left out``.
        checkpoint: of the supernet, as given.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    sampler: str
    evaluated: tuple[Evaluated, ...]
    states: dict[str, int]
    checkpoint: str = ""

    @classmethod
    def read(
        cls,
        trials: Sequence[FrozenTrial],
        left_out: Collection[int],
        budget: Budget,
        objectives: tuple[Objective, ...],
        sampler: str,
        checkpoint: str,
    ) -> Findings:
        """What trials of a record are, of whose numbers ``left_out`` cannot be used."""
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        archs = [arch_of(trial, budget.space) for trial in complete]
        within = budget.feasible(np.array(archs).reshape(len(archs), budget.space.num_blocks))
        start = min(
            (trial.datetime_start for trial in trials if trial.datetime_start), default=None
        )
        evaluated = [
            Evaluated(
                trial=trial.number,
                arch=arch,
                values=tuple(trial.values),
                metrics=trial.user_attrs["metrics"],
                costs=trial.user_attrs["costs"],
                seconds=(trial.datetime_complete - start).total_seconds(),
            )
            for trial, arch, fits in zip(complete, archs, within, strict=True)
            if fits
        ]
        states = Counter(trial.state for trial in trials if trial.number not in left_out)
        return cls(
            space=budget.space,
            objectives=objectives,
            constraints=budget.constraints,
            sampler=sampler,
            evaluated=tuple(sorted(evaluated, key=lambda e: (e.seconds, e.trial))),
            states={
                **{state.name.lower(): states[state] for state in TrialState},
                **({LEFT_OUT: len(left_out)} if left_out else {}),
            },
            checkpoint=checkpoint,
        )

    def best(self, number: int | None = None) -> list[Evaluated]:
        """The best architectures, best first.

        With one objective by its value, of equals the earlier trial first. With several the
        Pareto front first (each of its members beaten by nobody in everything), then the front of
        what is left, and so on; within a front by the first objective.
        """
        gains = self._gains()
        fronts = pareto_fronts(gains)
        order = sorted(
            range(len(self.evaluated)),
            key=lambda i: (fronts[i], -gains[i, 0], self.evaluated[i].trial),
        )
        return [self.evaluated[i] for i in order[:number]]

    def front(self) -> list[Evaluated]:
        """The Pareto front, by the first objective; with one objective the best alone."""
        if len(self.objectives) == 1:
            return self.best(1)
        return self.best(int((pareto_fronts(self._gains()) == 0).sum()))

    def to_dict(self, number: int = 10) -> dict[str, Any]:
        """``best.json``: plain Python types, architectures in text form.

        A metric that is no finite number, which JSON cannot write, is None.
        """
        return dict(
            checkpoint=self.checkpoint,
            space=self.space.to_dict(),
            objectives=[dataclasses.asdict(objective) for objective in self.objectives],
            constraints=list(map(str, self.constraints)),
            sampler=self.sampler,
            trials=dict(self.states),
            best=[
                dict(
                    rank=rank,
                    arch=str(e.arch),
                    trial=e.trial,
                    metrics={k: v if math.isfinite(v) else None for k, v in e.metrics.items()},
                    costs=dict(e.costs),
                )
                for rank, e in enumerate(self.best(number), 1)
            ],
        )

    def _gains(self) -> np.ndarray:
        """Objectives so that more is better, shape (evaluated, objectives)."""
        values = np.array([e.values for e in self.evaluated], dtype=float)
        signs = [objective.sign for objective in self.objectives]
        return values.reshape(-1, len(signs)) * signs


def pareto_fronts(gains: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
    """Which front each row is on: 0 is beaten by no row, 1 only by rows of 0, and so on.

    Args:
        gains: shape (n, objectives), more is better. A row beats another that it equals nowhere
            less and somewhere more.

    Returns:
        Whole numbers, shape (n,).
    """
    gains = np.asarray(gains, dtype=float)
    fronts = np.zeros(len(gains), dtype=int)
    if len(gains) == 0:
        return fronts
    if gains.shape[1] == 1:
        return np.unique(-gains[:, 0], return_inverse=True)[1]
    # Whoever beats a row stands before it in this order.
    order = np.lexsort(-gains.T[::-1])
    gains = gains[order]
    ranked = np.zeros(len(gains), dtype=int)
    for row in range(1, len(gains)):
        above = gains[:row]
        beaten_by = (above >= gains[row]).all(axis=1) & (above > gains[row]).any(axis=1)
        ranked[row] = ranked[:row][beaten_by].max(initial=-1) + 1
    fronts[order] = ranked
    return fronts
