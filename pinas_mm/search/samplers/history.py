"""What a sampler knows when it proposes: the study's record as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.encoding import parameter_names
from pinas_mm.space import SearchSpace

# Weight of the sum beside the maximum (Knowles 2006, ParEGO, equation 2).
AUGMENTATION = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """A record as a sampler sees it.

    Attributes:
        archs: evaluated architectures as candidate indices, shape (n, blocks), in the order of
            their trials; all different.
        scores: shape (n,), finite, more is better. An architecture that was evaluated several
            times has its mean.
        pending: architectures that are in work or wait, shape (m, blocks).
        seen: all that are not to be proposed.
    """

    archs: np.ndarray
    scores: np.ndarray
    pending: np.ndarray
    seen: frozenset[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, number: int) -> np.ndarray:
        """Indices of the best, best first; of equals the earlier first."""
        return np.argsort(-self.scores, kind="stable")[:number]

    @classmethod
    def read(
        cls, study: Study, trial: FrozenTrial, space: SearchSpace, rng: np.random.Generator
    ) -> tuple[History, frozenset[tuple[int, ...]]]:
        """The history before a trial, and the architectures whose trials all failed.

        Pruned trials count with their last intermediate value where there is one objective.
        Several objectives become one by an augmented Chebyshev scalarization whose weights are
        drawn here, once a proposal (Knowles 2006, ParEGO).
        """
        rows: dict[tuple[int, ...], int] = {}
        values: list[list[float]] = []
        places: list[int] = []
        pending, seen, failed = [], set(), set()
        names = parameter_names(space)
        # Hyperband shows a sampler a part of the study only.
        whole = getattr(study, "_study", study)
        for other in whole.get_trials(deepcopy=False):
            if other.number == trial.number:
                continue
            choices = tuple(held(other, names).values())
            if len(choices) < len(names):
                continue
            if other.state == TrialState.FAIL:
                failed.add(choices)
                continue
            seen.add(choices)
            if other.state in (TrialState.RUNNING, TrialState.WAITING):
                pending.append(choices)
                continue
            found = _values(other, len(study.directions))
            if found is not None:
                places.append(rows.setdefault(choices, len(rows)))
                values.append(found)
        signs = np.array([1 if d == StudyDirection.MAXIMIZE else -1 for d in study.directions])
        gains = np.zeros((len(rows), len(signs)))
        np.add.at(gains, places, _finite(np.array(values).reshape(-1, len(signs))))
        gains *= signs / np.bincount(places, minlength=len(rows))[:, None]
        history = cls(
            archs=np.array(list(rows), dtype=np.int64).reshape(-1, space.num_blocks),
            scores=scalarize(gains, rng),
            pending=np.array(pending, dtype=np.int64).reshape(-1, space.num_blocks),
            seen=frozenset(seen),
        )
        return history, frozenset(failed - seen)


def held(trial: FrozenTrial, names: Sequence[str]) -> dict[int, int]:
    """Candidates by block that the record has for a trial, of the parameters ``names``.

    A trial that waits for its first turn has its architecture among Optuna's fixed parameters.
    """
    chosen = trial.params
    if trial.state in (TrialState.WAITING, TrialState.RUNNING):
        chosen = {**trial.system_attrs.get("fixed_params", {}), **chosen}
    return {block: int(chosen[name]) for block, name in enumerate(names) if name in chosen}


def scalarize(gains: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


def _finite(values: np.ndarray) -> np.ndarray:
    """Infinite values become the largest or smallest finite one of their column."""
    if np.isfinite(values).all():
        return values
    finite = np.where(np.isfinite(values), values, np.nan)
    filled = np.where(np.isnan(finite).all(axis=0), 0.0, finite)
    return np.clip(values, np.nanmin(filled, axis=0), np.nanmax(filled, axis=0))
