"""Optuna's storage that names the trials of a record that cannot be used, and why."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Container, Mapping
from datetime import timedelta
from numbers import Real
from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import (
    StudyModel,
    TrialIntermediateValueModel,
    TrialModel,
    TrialValueModel,
)
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.encoding import distributions
from pinas_mm.search.record.rows import (
    TrialRows,
    distribution_of,
    read_heartbeats,
    read_rows,
    write_attributes,
    write_params,
)
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
        self._checked: tuple[dict[str, CategoricalDistribution], int] | None = None
        super().__init__(*args, **kwargs)

    def check(self, space: SearchSpace, objectives: int) -> None:
        """Checks from here on against a space and a number of objectives."""
        self._checked = distributions(space), objectives

    def set_trial_params(self, trial_id: int, choices: Mapping[str, int]) -> None:
        """Writes the architecture of a trial that has none."""
        known = self._checked[0] if self._checked else {}
        with _create_scoped_session(self.scoped_session) as session:
            write_params(session, trial_id, choices, known)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Writes several attributes of a trial at once."""
        texts = {name: json.dumps(value) for name, value in attributes.items()}
        with _create_scoped_session(self.scoped_session) as session:
            write_attributes(session, trial_id, texts)

    def silent_trials(self, study_id: int) -> list[tuple[int, bool]]:
        """The running trials without a sign of life for the grace period: their ids, and whether
        there ever was one.

        One of a time to come, from before the clock was set back, is none.
        """
        with _create_scoped_session(self.scoped_session) as session:
            beats = read_heartbeats(session, study_id)
        patience = timedelta(seconds=cast(int, self.grace_period))
        return [
            (trial_id, beat is not None)
            for trial_id, beat, now in beats
            if beat is None or abs(now.replace(tzinfo=None) - beat) > patience
        ]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Optuna's method."""
        with _create_scoped_session(self.scoped_session) as session:
            rows = read_rows(session, [trial_id])
            if not rows:
                # Raises what Optuna's own method does.
                TrialModel.find_or_raise_by_id(trial_id, session)
            return self._made(rows[0])

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        # Optuna's only place that reads several trials.
        older = [number for number in included_trial_ids if number <= trial_id_greater_than]
        with _create_scoped_session(self.scoped_session) as session:
            rows = read_rows(session, older, study_id, trial_id_greater_than)
            if not rows:
                # Raises where somebody deleted the study.
                StudyModel.find_or_raise_by_id(study_id, session)
        return [self._made(row) for row in rows if states is None or row.state in states]

    def _made(self, rows: TrialRows) -> FrozenTrial:
        """The trial of its rows; a failed one of those that cannot be used."""
        try:
            made = _frozen(rows)
            fault = fault_of(made, *self._checked) if self._checked else None
        except UNREADABLE as error:
            fault = f"cannot be read, {error or type(error).__name__}"
        if fault is None:
            return made
        if rows.state != TrialState.FAIL:
            self.faults[rows.number] = fault
        nothing: dict[str, Any] = dict(params=[], user_attributes=[], system_attributes=[])
        return _frozen(
            dataclasses.replace(
                rows, state=TrialState.FAIL, values=[], intermediate_values=[], **nothing
            )
        )

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        # Optuna compares with the study's first trial of this parameter, which may be anybody's.
        super()._set_trial_param(
            trial_id, param_name, param_value_internal, distribution, distribution
        )


def _frozen(rows: TrialRows) -> FrozenTrial:
    """Optuna's trial of its rows, as its own storage makes it."""
    values = [0.0] * len(rows.values)
    for _, objective, value, kind in rows.values:
        values[objective] = TrialValueModel.stored_repr_to_value(value, kind)
    known = {name: (distribution_of(text), value) for _, name, value, text in rows.params}
    reported = TrialIntermediateValueModel.stored_repr_to_intermediate_value
    return FrozenTrial(
        number=rows.number,
        state=rows.state,
        value=None,
        values=values or None,
        datetime_start=rows.datetime_start,
        datetime_complete=rows.datetime_complete,
        params={name: kind.to_external_repr(value) for name, (kind, value) in known.items()},
        distributions={name: kind for name, (kind, _) in known.items()},
        user_attrs={key: json.loads(text) for _, key, text in rows.user_attributes},
        system_attrs={key: json.loads(text) for _, key, text in rows.system_attributes},
        intermediate_values={
            step: reported(v, kind) for _, step, v, kind in rows.intermediate_values
        },
        trial_id=rows.trial_id,
    )


def fault_of(
    trial: FrozenTrial, known: Mapping[str, CategoricalDistribution], objectives: int
) -> str | None:
    """What keeps a trial from being evaluated, or from being a result; None where nothing does."""
    chosen = dict(trial.params)
    if not trial.state.is_finished():
        chosen = {**trial.system_attrs.get("fixed_params", {}), **chosen}
    for name, distribution in known.items():
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
    if not (trial.datetime_start and trial.datetime_complete):
        return "it has no time"
    times = trial.user_attrs.get("times", [0, 0])
    if not (isinstance(times, list) and len(times) == 2 and all(map(_is_finite, times))):
        return f"its attribute times is {times!r}: when it began and ended, in seconds"
    return None


def _is_choice(value: Any, choices: tuple[Any, ...]) -> bool:
    return isinstance(value, Real) and value in choices


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
