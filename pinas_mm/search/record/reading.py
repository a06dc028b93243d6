"""What a search's record says, for those who do not search."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.trial import TrialState

from pinas_mm.analysis.results import Results
from pinas_mm.errors import UserError
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.search.record.faults import CheckedStorage
from pinas_mm.search.record.storage import damages, open_storage, storage_errors
from pinas_mm.space import SearchSpace


def read_record(
    url: str | Path, study: str = "search", metric: str | None = None
) -> tuple[SearchSpace, Objective, Results]:
    """The space of a search, and a metric of all architectures that it has evaluated.

    Args:
        url: path of a SQLite file, or a database URL.
        study: name of the search in it.
        metric: or cost, with ``:min`` where less is better; None is the first objective.

    Returns:
        The space; the metric with its direction; its values, with the costs of each architecture.

    Raises:
        UserError: there is no such record, study or metric, or it is damaged.
    """
    storage = open_storage(url, reads=True)
    with _closing(storage), storage_errors(url), damages(url):
        try:
            found = optuna.load_study(study_name=study, storage=storage)
        except KeyError:
            names = ", ".join(optuna.get_all_study_names(storage)) or "none"
            raise UserError(f"{url} has no study {study}: it has {names}") from None
        identity = found.user_attrs.get("identity")
        if identity is None:
            raise UserError(f"study {study} of {url} does not say of which search it is")
        space = SearchSpace.build(identity["space"])
        storage.check(space, len(found.directions))
        trials = found.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        name = identity["objectives"][0].rpartition(" ")[0]
        first = Objective(name, found.directions[0].name.lower())
    wanted = first if metric is None or metric == first.name else as_score(metric)
    results = Results(str(url), wanted.name, {}, {})
    for trial in trials:
        if trial.number in storage.faults:
            continue
        text = str(arch_of(trial, space))
        known = {**trial.user_attrs["costs"], **trial.user_attrs["metrics"]}
        if wanted.name not in known:
            raise UserError(f"{url} has no metric {wanted.name}: it has {', '.join(known)}")
        results.texts[text] = text
        results.values[text] = {"": known[wanted.name]}
        results.costs[text] = {n: trial.user_attrs["costs"][n] for n in ("params", "macs")}
    if not results.values:
        raise UserError(f"{url} has no architecture that is evaluated yet")
    return space, wanted, results


@contextlib.contextmanager
def _closing(storage: CheckedStorage) -> Iterator[None]:
    """Lets go of the database, whose log the last who has it open puts into its file."""
    try:
        yield
    finally:
        storage.remove_session()
        storage.engine.dispose()


def as_score(text: str) -> Objective:
    """Reads ``name`` or ``name:min``; more is better unless it says so, also of a cost."""
    return Objective.parse(text if ":" in text else f"{text}:max")
