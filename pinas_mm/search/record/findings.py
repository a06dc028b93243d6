"""What a search has found so far: every evaluated architecture, and the best of them."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.budget.objective import Objective
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.whole_numbers import is_whole


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

    def best(self, number: int | None = None) -> list[Evaluated]:
        """The best architectures, best first.

        With one objective by its value, of equals the earlier trial first. With several the
        Pareto front first (each of its members beaten by nobody in everything), then the front of
        what is left, and so on; within a front by the first objective.

        Args:
            number: how many at most; None is all.

        Raises:
            UserError: ``number`` is no whole number of at least 0.
        """
        if number is not None and not is_whole(number, 0):
            raise UserError(f"best({number!r}): give a whole number of at least 0, or None for all")
        gains = self._gains()
        fronts = pareto_fronts(gains, math.inf if number is None else number)
        trials = np.array([e.trial for e in self.evaluated])
        order = np.lexsort((trials, -gains[:, 0], fronts))
        return [self.evaluated[i] for i in order[:number]]

    def front(self) -> list[Evaluated]:
        """The Pareto front, by the first objective; with one objective the best alone."""
        if len(self.objectives) == 1:
            return self.best(1)
        return self.best(int((pareto_fronts(self._gains(), 1) == 0).sum()))

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

    def _gains(self) -> NDArray[Any]:
        """Objectives so that more is better, shape (evaluated, objectives)."""
        values = np.array([e.values for e in self.evaluated], dtype=float)
        signs = [objective.sign for objective in self.objectives]
        return values.reshape(-1, len(signs)) * signs


def pareto_fronts(
    gains: NDArray[Any] | Sequence[Sequence[float]], number: float = math.inf
) -> NDArray[Any]:
    """Which front each row is on: 0 is beaten by no row, 1 only by rows of 0, and so on.

    Args:
        gains: shape (n, objectives), more is better. A row beats another that it equals nowhere
            less and somewhere more.
        number: how many rows of the first fronts are asked for. Fronts that these do not reach into
            may be told as one, to be done with sooner.

    Returns:
        Whole numbers, shape (n,).
    """
    gains = np.asarray(gains, dtype=float)
    if len(gains) == 0:
        return np.zeros(0, dtype=int)
    if gains.shape[1] == 1:
        return np.unique(-gains[:, 0], return_inverse=True)[1]
    # Equal rows are on the same front; whoever beats a row stands before it in this order.
    rows, places = np.unique(-gains, axis=0, return_inverse=True)
    ranked = _of_two(-rows) if gains.shape[1] == 2 else _of_many(-rows, number)
    return ranked[places.ravel()]


def _of_two(gains: NDArray[Any]) -> NDArray[Any]:
    """Fronts of different rows of two columns, in falling order: each front is beaten in the second
    column by the last of its rows, so that a row's is found by bisection (Jensen 2003).
    """
    least: list[float] = []
    ranked = np.zeros(len(gains), dtype=int)
    for row, second in enumerate((-gains[:, 1]).tolist()):
        front = bisect.bisect_right(least, second)
        least[front : front + 1] = [second]
        ranked[row] = front
    return ranked


def _of_many(gains: NDArray[Any], number: float) -> NDArray[Any]:
    """The same of any number of columns: a row is on the first front that has no member that beats
    it, found by bisection, since who is beaten on a front is beaten on all before it (Zhang et al.
    2015). A front is done with once those before it have `number` rows.
    """
    ranked = np.zeros(len(gains), dtype=int)
    # In falling order the first column saves no row; of the others' values, those of a member that
    # another member has or passes say nothing more.
    fronts: list[NDArray[Any]] = []
    sizes: list[int] = []
    known = 0
    for row, values in enumerate(gains[:, 1:, None]):
        front = bisect.bisect_left(
            fronts, True, key=lambda members: not (members >= values).all(axis=0).any()
        )
        ranked[row] = front
        if front < len(fronts):
            kept = fronts[front][:, (fronts[front] > values).any(axis=0)]
            fronts[front] = np.hstack([kept, values])
            sizes[front] += 1
        elif known < number:
            fronts.append(values)
            sizes.append(1)
        else:
            continue
        known += 1
        if known - sizes[-1] >= number:
            known -= sizes.pop()
            fronts.pop()
    return ranked
