"""What a search's record says, for those who do not search."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.trial import TrialState

from pinas_mm.analysis.results import Results
from pinas_mm.errors import UserError
from pinas_mm.operations.plain_layers import of_file
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.checked_storage import CheckedStorage
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.search.record.storage import damages, open_storage, storage_errors
from pinas_mm.space import SearchSpace


def read_record(
    url: str | Path, study: str = "search", metric: str | None = None
) -> tuple[SearchSpace, Objective, Results, tuple[Objective, ...]]:
    """The space of a search, and a metric of all architectures that it has evaluated.

    Args:
        url: path of a SQLite file, or a database URL.
        study: name of the search in it.
        metric: or cost, as :func:`as_score` reads it; None is the first objective.

    Returns:
        The space; the metric with its direction; its values, of an architecture that was evaluated
        several times the mean, with the costs of each; the objectives.

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
        space = SearchSpace.build(of_file(identity["space"]))
        storage.check(space, len(found.directions))
        trials = found.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        objectives = tuple(
            Objective(text.rpartition(" ")[0], direction.name.lower())
            for text, direction in zip(identity["objectives"], found.directions, strict=True)
        )
    wanted = objectives[0] if metric is None else as_score(metric, objectives)
    numbers: dict[str, list[float]] = {}
    costs: dict[str, dict[str, float]] = {}
    for trial in trials:
        if trial.number in storage.faults:
            continue
        text = str(arch_of(trial, space))
        known = {**trial.user_attrs["costs"], **trial.user_attrs["metrics"]}
        if wanted.name not in known:
            raise UserError(f"{url} has no metric {wanted.name}: it has {', '.join(known)}")
        numbers.setdefault(text, []).append(known[wanted.name])
        costs[text] = {n: trial.user_attrs["costs"][n] for n in ("params", "macs")}
    if not numbers:
        raise UserError(f"{url} has no architecture that is evaluated yet")
    return space, wanted, Results.of_numbers(str(url), wanted.name, numbers, costs), objectives


@contextlib.contextmanager
def _closing(storage: CheckedStorage) -> Iterator[None]:
    """Lets go of the database, whose log the last who has it open puts into its file."""
    try:
        yield
    finally:
        storage.remove_session()
        storage.engine.dispose()


def as_score(text: str, known: Sequence[Objective] = ()) -> Objective:
    """Reads ``name``, ``name:max`` or ``name:min``.

    Without a direction it has that of the known objective of its name; where there is none, more is
    better, also of a cost.

    Raises:
        UserError: it is none of these.
    """
    if ":" in text:
        return Objective.parse(text)
    return directed(Objective.parse(f"{text}:max").name, known)


def directed(name: str, known: Sequence[Objective]) -> Objective:
    """The known objective of a name; where there is none, more is better."""
    return next((one for one in known if one.name == name), Objective(name, "maximize"))
