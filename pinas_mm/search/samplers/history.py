"""What a sampler knows when it proposes: the study's record as arrays."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.encoding import held, parameter_names
from pinas_mm.search.record.settled import Settled
from pinas_mm.space import SearchSpace

# Weight of the sum beside the maximum (Knowles 2006, ParEGO, equation 2).
AUGMENTATION = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """A record as a sampler sees it.

    Attributes:
        archs: evaluated architectures as candidate indices, shape (n, blocks), in the order of
            their trials; all different.
        gains: the objectives, shape (n, objectives), finite, more is better. An architecture that
            was evaluated several times has its mean.
        scores: one number of these, shape (n,), more is better. Several objectives become one by
            :func:`scalarize`, whose weights are drawn once a proposal.
        pending: architectures that are in work or wait, shape (m, blocks).
        seen: all that are not to be proposed.
    """

    archs: NDArray[Any]
    gains: NDArray[Any]
    scores: NDArray[Any]
    pending: NDArray[Any]
    seen: frozenset[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, number: int) -> NDArray[Any]:
        """Indices of the best, best first; of equals the earlier first."""
        return np.argsort(-self.scores, kind="stable")[:number]

    def beginning(self, number: int, seed: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The first ``number`` architectures, and scores that later proposals find again.

        Args:
            seed: of the weights of several objectives, instead of the proposal's own.
        """
        if self.gains.shape[1] == 1:
            return self.archs[:number], self.scores[:number]
        weights = np.random.default_rng([*seed, number])
        return self.archs[:number], scalarize(self.gains[:number], weights)


class Reader:
    """Reads the histories of one study, finished trials once.

    Args:
        space: the search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space, self._settled = space, Settled()
        self._sum = _Sum(space.num_blocks)

    def read(
        self, study: Study, trial: FrozenTrial, rng: np.random.Generator
    ) -> tuple[History, frozenset[tuple[int, ...]]]:
        """The history before a trial, and the architectures whose trials all failed.

        Pruned trials count with their last intermediate value where there is one objective.

        Args:
            rng: draws the weights of several objectives.
        """
        # Hyperband shows a sampler a part of the study only.
        whole = getattr(study, "_study", study)
        objectives, names = len(study.directions), parameter_names(self._space)
        anew, fresh, rest = self._settled.split(whole.get_trials(deepcopy=False))
        if anew:
            self._sum = _Sum(self._space.num_blocks)
        self._sum.add(fresh, names, objectives)
        summed, pending = self._sum.copy(), []
        finished = []
        for other in rest:
            if other.number == trial.number:
                continue
            if other.state.is_finished():
                finished.append(other)
                continue
            choices = tuple(held(other, names).values())
            if len(choices) == len(names):
                summed.seen.add(choices)
                pending.append(choices)
        summed.add(finished, names, objectives)
        signs = np.array([1 if d == StudyDirection.MAXIMIZE else -1 for d in study.directions])
        gains = np.zeros((len(summed.rows), objectives))
        np.add.at(gains, summed.places, _finite(summed.values.reshape(-1, objectives)))
        gains *= signs / np.bincount(summed.places, minlength=len(summed.rows))[:, None]
        history = History(
            archs=summed.archs,
            gains=gains,
            scores=scalarize(gains, rng),
            pending=np.array(pending, dtype=np.int64).reshape(-1, self._space.num_blocks),
            seen=frozenset(summed.seen),
        )
        return history, frozenset(summed.failed - summed.seen)


class _Sum:
    """What finished trials say.

    Attributes:
        rows: evaluated architectures, each with its place among them.
        archs: the same as an array, shape (rows, blocks).
        values: of the objectives, shape (results, objectives).
        places: of the results' architectures, shape (results,).
        seen, failed: architectures that have not failed, and that have.
    """

    def __init__(self, blocks: int) -> None:
        self.rows: dict[tuple[int, ...], int] = {}
        self.archs = np.zeros((0, blocks), dtype=np.int64)
        self.values = np.zeros(0)
        self.places = np.zeros(0, dtype=np.int64)
        self.seen: set[tuple[int, ...]] = set()
        self.failed: set[tuple[int, ...]] = set()

    def copy(self) -> _Sum:
        """One that can be added to by itself."""
        other = copy.copy(self)
        other.rows, other.seen, other.failed = dict(self.rows), set(self.seen), set(self.failed)
        return other

    def add(self, trials: Sequence[FrozenTrial], names: Sequence[str], objectives: int) -> None:
        """Adds finished trials."""
        known, values, places = len(self.rows), [], []
        for trial in trials:
            choices = tuple(held(trial, names).values())
            if len(choices) < len(names):
                continue
            if trial.state == TrialState.FAIL:
                self.failed.add(choices)
                continue
            self.seen.add(choices)
            found = _values(trial, objectives)
            if found is not None:
                places.append(self.rows.setdefault(choices, len(self.rows)))
                values += found
        if values:
            fresh = np.array(list(itertools.islice(self.rows, known, None)), dtype=np.int64)
            self.archs = np.concatenate([self.archs, fresh.reshape(-1, len(names))])
            self.values = np.concatenate([self.values, values])
            self.places = np.concatenate([self.places, places])


def scalarize(gains: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """One score of several: shape (n, objectives) to (n,), more is better in both.

    One objective stays as it is. Of several, each is scaled to [0, 1], and the score is minus the
    augmented Chebyshev distance from the best of each, with weights drawn uniformly from the
    simplex.
    """
    if gains.shape[1] == 1 or len(gains) == 0:
        return gains.sum(axis=1)
    weights = rng.dirichlet(np.ones(gains.shape[1]))
    low, high = gains.min(axis=0), gains.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    missing = weights * (high - gains) / span
    return -missing.max(axis=1) - AUGMENTATION * missing.sum(axis=1)


def _values(trial: FrozenTrial, objectives: int) -> list[float] | None:
    if trial.state == TrialState.COMPLETE:
        return list(trial.values)
    if objectives == 1 and trial.intermediate_values:
        last = trial.intermediate_values[max(trial.intermediate_values)]
        return None if np.isnan(last) else [last]
    return None


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Infinite values become the largest or smallest finite one of their column."""
    if np.isfinite(values).all():
        return values
    finite = np.where(np.isfinite(values), values, np.nan)
    filled = np.where(np.isnan(finite).all(axis=0), 0.0, finite)
    return np.clip(values, np.nanmin(filled, axis=0), np.nanmax(filled, axis=0))
