"""What a search has found so far: every evaluated architecture, and the best of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pinas_mm.search.objective import Objective
from pinas_mm.space import Arch, SearchSpace


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
        constraints: in text form, such as ``macs<=5.3G``.
        sampler: name of the sampler.
        evaluated: complete trials within the constraints, in the order of their ends.
        states: number of trials by state: complete, pruned, failed, running, waiting.
        checkpoint: of the supernet, as given.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[str, ...]
    sampler: str
    evaluated: tuple[Evaluated, ...]
    states: dict[str, int]
    checkpoint: str = ""

    def best(self, number: int | None = None) -> list[Evaluated]:
        """The best architectures, best first.

        With one objective by its value, of equals the earlier trial first. With several the
        Pareto front first (each of its members beaten by nobody in everything), then the front of
        what is left, and so on; within a front by the first objective.
        """
        gains = np.array(
            [
                [o.sign * v for o, v in zip(self.objectives, e.values, strict=True)]
                for e in self.evaluated
            ]
        ).reshape(len(self.evaluated), len(self.objectives))
        fronts = pareto_fronts(gains)
        order = sorted(
            range(len(self.evaluated)),
            key=lambda i: (fronts[i], -gains[i, 0], self.evaluated[i].trial),
        )
        return [self.evaluated[i] for i in order[:number]]

    def front(self) -> list[Evaluated]:
        """The Pareto front, by the first objective; with one objective the best alone."""
        best = self.best()
        if len(self.objectives) == 1:
            return best[:1]
        gains = np.array(
            [[o.sign * v for o, v in zip(self.objectives, e.values, strict=True)] for e in best]
        ).reshape(len(best), len(self.objectives))
        fronts = pareto_fronts(gains)
        return [e for e, front in zip(best, fronts, strict=True) if front == 0]

    def to_dict(self, number: int = 10) -> dict[str, Any]:
        """``best.json``: plain Python types, architectures in text form."""
        return dict(
            checkpoint=self.checkpoint,
            space=self.space.to_dict(),
            objectives=[dataclasses.asdict(objective) for objective in self.objectives],
            constraints=list(self.constraints),
            sampler=self.sampler,
            trials=self.states,
            best=[
                dict(rank=rank, arch=str(e.arch), trial=e.trial, metrics=e.metrics, costs=e.costs)
                for rank, e in enumerate(self.best(number), 1)
            ],
        )


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
    at_least = (gains[:, None] >= gains[None]).all(axis=2)
    beats = at_least & (gains[:, None] > gains[None]).any(axis=2)
    left = np.ones(len(gains), dtype=bool)
    front = 0
    while left.any():
        current = left & ~beats[left].any(axis=0)
        fronts[current] = front
        left &= ~current
        front += 1
    return fronts
