"""Whether a record is of the search that opens it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.study import Study

from pinas_mm.errors import UserError


def identify(study: Study, identity: Mapping[str, Any], directions: list[Any], name: str) -> None:
    """Signs a new record, or checks that an old one is of the same search.

    Args:
        study: the record's.
        identity: all that makes results comparable, plain values.
        directions: Optuna's, of the objectives.
        name: of the record, for the message.

    Raises:
        UserError: it holds another search, or does not say which.
    """
    # Another study alone would replace the report that lies in the work dir.
    mend = "Take another --work-dir, with a --storage of many searches another --study-name too"
    wanted = json.loads(json.dumps(identity))
    try:
        found = study.user_attrs.get("identity")
    except ValueError as error:
        raise UserError(
            f"the record {name} does not say of which search it is ({error}): {mend}"
        ) from None
    if found is None and not study.get_trials(deepcopy=False) and study.directions == directions:
        study.set_user_attr("identity", wanted)
        return
    found = found or {}
    differences = list(_differences(found, wanted))
    if study.directions != directions:
        # What Optuna was told when somebody else made the study.
        words = [", ".join(d.name.lower() for d in ds) for ds in (study.directions, directions)]
        differences.append("directions was {} and is now {}".format(*words))
    if differences:
        raise UserError(
            f"the record {name} holds another search: {'; '.join(differences)}. "
            f"{mend}, or the settings it was made with"
        )


def _differences(was: Any, now: Any, name: str = "") -> Iterator[str]:
    """Where two identities differ, as deep inside as it can be said."""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        was, now = ({f"[{i}]": value for i, value in enumerate(values)} for values in (was, now))
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            inner = f"{name}{key}" if key.startswith("[") or not name else f"{name}.{key}"
            yield from _differences(was.get(key), now.get(key), inner)
    elif was != now:
        yield f"{name or 'identity'} was {_short(was)} and is now {_short(now)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
