"""What is wrong with a trial of a record that others can write to as well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.encoding import distributions
from pinas_mm.space import SearchSpace

# What reading a damaged row can raise: no JSON, no member of an enumeration, no such choice.
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError)


class CheckedStorage(RDBStorage):
    """Optuna's storage, in which a trial that cannot be used is a failed one for all who read.

    A trial that a user enqueued, a damaged row, a result of another program: neither samplers nor
    reports have to know of them. The database is left as it is.

    Attributes:
        faults: what is wrong with which trial, by its number; filled by reading.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.faults: dict[int, str] = {}
        self._checked: tuple[SearchSpace, int] | None = None
        super().__init__(*args, **kwargs)

    def check(self, space: SearchSpace, objectives: int) -> None:
        """Checks from here on against a space and a number of objectives."""
        self._checked = space, objectives

    def _build_frozen_trial_from_trial_model(self, trial: Any) -> FrozenTrial:
        # Optuna's only place that makes a trial of its rows.
        try:
            made = super()._build_frozen_trial_from_trial_model(trial)
            fault = fault_of(made, *self._checked) if self._checked else None
        except UNREADABLE as error:
            fault = f"cannot be read, {error or type(error).__name__}"
        if fault is None:
            return made
        if trial.state != TrialState.FAIL:
            self.faults[trial.number] = fault
        return FrozenTrial(
            number=trial.number,
            state=TrialState.FAIL,
            value=None,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
            trial_id=trial.trial_id,
        )

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: Any,
        previous_distribution: Any,
    ) -> None:
        # Optuna compares with the study's first trial of this parameter, which may be anybody's.
        super()._set_trial_param(
            trial_id, param_name, param_value_internal, distribution, distribution
        )


def fault_of(trial: FrozenTrial, space: SearchSpace, objectives: int) -> str | None:
    """What keeps a trial from being evaluated, or from being a result; None where nothing does."""
    chosen = dict(trial.params)
    if not trial.state.is_finished():
        chosen = {**trial.system_attrs.get("fixed_params", {}), **chosen}
    for name, distribution in distributions(space).items():
        if name in chosen and not _is_choice(chosen[name], distribution.choices):
            allowed = ", ".join(map(str, distribution.choices))
            return f"{name} is {chosen[name]!r}: allowed are {allowed}"
        if name not in chosen and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            return f"it has no {name}"
    if not isinstance(trial.user_attrs.get("died", 0), int):
        return f"its attribute died is {trial.user_attrs['died']!r}"
    return _fault_of_result(trial, objectives) if trial.state == TrialState.COMPLETE else None


def _fault_of_result(trial: FrozenTrial, objectives: int) -> str | None:
    values = trial.values or []
    if len(values) != objectives or not all(map(_is_finite, values)):
        return f"its values are {trial.values}: {objectives} finite ones are needed"
    for name in ("metrics", "costs"):
        numbers = trial.user_attrs.get(name)
        if not isinstance(numbers, Mapping) or not all(
            isinstance(value, Real) for value in numbers.values()
        ):
            return f"its attribute {name} has not a number for each name"
    if not all(map(_is_finite, trial.user_attrs["costs"].values())):
        return "its attribute costs has numbers that are not finite"
    return None if trial.datetime_start and trial.datetime_complete else "it has no time"


def _is_choice(value: Any, choices: tuple[int, ...]) -> bool:
    return isinstance(value, Real) and value in choices


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
