"""Optuna's rows of trials in few statements: its own way asks for each trial and parameter.

A trial of 16 blocks is 24 rows, and each worker reads what all others have finished, so that
with many workers this is where the time goes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages._rdb.models import (
    TrialHeartbeatModel,
    TrialIntermediateValueModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import TrialState
from sqlalchemy.orm import Session

TRIALS = TrialModel.__table__.c
# A trial's rows of each table, in the order of their numbers, as Optuna's own reading has them.
PARTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "params": (TrialParamModel, ("param_name", "param_value", "distribution_json")),
    "values": (TrialValueModel, ("objective", "value", "value_type")),
    "user_attributes": (TrialUserAttributeModel, ("key", "value_json")),
    "system_attributes": (TrialSystemAttributeModel, ("key", "value_json")),
    "intermediate_values": (
        TrialIntermediateValueModel,
        ("step", "intermediate_value", "intermediate_value_type"),
    ),
}
# More trials than these are not named one by one.
FEW = 100


@dataclasses.dataclass
class TrialRows:
    """What the database has of one trial; each part is a list of rows."""

    trial_id: int
    number: int
    state: TrialState
    datetime_start: datetime | None
    datetime_complete: datetime | None
    params: list[Any]
    values: list[Any]
    user_attributes: list[Any]
    system_attributes: list[Any]
    intermediate_values: list[Any]


def read_rows(
    session: Session, ids: Sequence[int], study_id: int = -1, newer: int = -1
) -> list[TrialRows]:
    """Trials by their ids, in six statements.

    Args:
        ids: of trials to read.
        study_id, newer: the study of which those with larger ids than ``newer`` are read too.
    """
    wanted: dict[str, Any] = dict(ids=ids, study=study_id, newer=newer)
    heads = session.execute(HEADS, wanted).all()
    if not heads:
        return []
    few = len(heads) <= FEW
    if few:
        wanted = dict(ids=[head[0] for head in heads])
    parts: dict[str, defaultdict[int, list[Any]]] = {name: defaultdict(list) for name in PARTS}
    for name in PARTS:
        for row in session.execute(_of_part(name, few), wanted):
            parts[name][row[0]].append(row)
    return [TrialRows(*head, *(parts[name][head[0]] for name in PARTS)) for head in heads]


def _chosen() -> sqlalchemy.ColumnElement[bool]:
    newer = TRIALS.trial_id > sqlalchemy.bindparam("newer")
    of_study = sqlalchemy.and_(TRIALS.study_id == sqlalchemy.bindparam("study"), newer)
    named = TRIALS.trial_id.in_(sqlalchemy.bindparam("ids", expanding=True))
    return sqlalchemy.or_(named, of_study)


@functools.cache
def _of_part(name: str, few: bool) -> sqlalchemy.Select[Any]:
    """Reads one table's rows: of the trials named, or of all that are wanted."""
    model, wanted = PARTS[name]
    columns, (number,) = model.__table__.c, model.__table__.primary_key
    among: Any = sqlalchemy.bindparam("ids", expanding=True)
    among = among if few else sqlalchemy.select(TRIALS.trial_id).where(_chosen())
    read = sqlalchemy.select(columns.trial_id, *(columns[column] for column in wanted))
    return read.where(columns.trial_id.in_(among)).order_by(number)


# A statement that is there already costs a tenth of one that is put together each time.
HEADS = (
    sqlalchemy.select(
        TRIALS.trial_id,
        TRIALS.number,
        TRIALS.state,
        TRIALS.datetime_start,
        TRIALS.datetime_complete,
    )
    .where(_chosen())
    .order_by(TRIALS.trial_id)
)
_BEATS = TrialHeartbeatModel.__table__.c
HEARTBEATS = (
    sqlalchemy.select(TRIALS.trial_id, _BEATS.heartbeat, sqlalchemy.func.now())
    .outerjoin(TrialHeartbeatModel.__table__, _BEATS.trial_id == TRIALS.trial_id)
    .where(TRIALS.study_id == sqlalchemy.bindparam("study"), TRIALS.state == TrialState.RUNNING)
)


def read_heartbeats(session: Session, study_id: int) -> list[tuple[int, datetime | None, datetime]]:
    """The study's running trials: id, last sign of life and the time, both the database's."""
    return [tuple(row) for row in session.execute(HEARTBEATS, dict(study=study_id))]


def write_params(
    session: Session,
    trial_id: int,
    choices: Mapping[str, Any],
    known: Mapping[str, CategoricalDistribution],
) -> None:
    """Writes all parameters of a trial that has none, in one statement."""
    rows = [
        dict(
            trial_id=trial_id,
            param_name=name,
            param_value=known[name].to_internal_repr(choice),
            distribution_json=_text(known[name]),
        )
        for name, choice in choices.items()
    ]
    session.execute(sqlalchemy.insert(TrialParamModel.__table__), rows)


def write_attributes(session: Session, trial_id: int, attributes: Mapping[str, str]) -> None:
    """Writes attributes of a trial, each as JSON; what it had under these names is replaced."""
    table = TrialUserAttributeModel.__table__
    named = sqlalchemy.and_(table.c.trial_id == trial_id, table.c.key.in_(list(attributes)))
    session.execute(sqlalchemy.delete(table).where(named))
    rows = [dict(trial_id=trial_id, key=key, value_json=text) for key, text in attributes.items()]
    session.execute(sqlalchemy.insert(table), rows)


@functools.lru_cache(maxsize=1024)
def distribution_of(text: str) -> BaseDistribution:
    """A distribution from its JSON; the same for all trials that have the same one."""
    return json_to_distribution(text)


@functools.lru_cache(maxsize=1024)
def _text(distribution: CategoricalDistribution) -> str:
    return distribution_to_json(distribution)
