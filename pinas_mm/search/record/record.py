"""A search's record: who evaluates what, and what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from mmengine.logging import print_log
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective, check_given
from pinas_mm.search.record.encoding import arch_of, distributions
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.record.left import Left
from pinas_mm.search.record.lock import StudyLock, sqlite_file
from pinas_mm.search.record.storage import open_storage, storage_errors
from pinas_mm.space import Arch

HELD = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
# A worker that an architecture kills each time must not be sent there for ever.
MAX_ATTEMPTS = 5


@dataclasses.dataclass
class Claim:
    """An architecture that this process has taken on."""

    trial: Trial
    arch: Arch


class Record:
    """The Optuna study of a search, shared by any number of processes and machines.

    What is guaranteed, whatever is killed when: each trial is finished once; one whose worker died
    goes back to the queue after ``grace`` seconds without a heartbeat and is evaluated by whoever
    asks next; none is lost. An architecture that took its worker with it each of five times is
    given up as failed.

    Args:
        url: any database URL that Optuna's RDBStorage takes, or the path of a SQLite file.
        study: name of the study in it.
        objectives: what to look for.
        budget: which architectures may be evaluated, and their costs.
        sampler, pruner: Optuna's; a pruner of None never prunes.
        identity: all that makes results comparable, plain values; a record with another one is
            refused.
        trials: architectures to finish in all.
        heartbeat: seconds between signs of life of the trials in work.
        grace: seconds without one after which a trial counts as abandoned.

    Raises:
        UserError: the database cannot be reached or written, or holds a search that differs.
    """

    def __init__(
        self,
        url: str | Path,
        study: str,
        objectives: Sequence[Objective],
        budget: Budget,
        sampler: optuna.samplers.BaseSampler,
        identity: Mapping[str, Any],
        trials: int,
        pruner: optuna.pruners.BasePruner | None = None,
        heartbeat: int = 20,
        grace: int = 90,
    ) -> None:
        self.url, self.objectives, self.budget, self.trials = url, tuple(objectives), budget, trials
        self.space = budget.space
        self._heartbeat = heartbeat
        self._storage: RDBStorage = open_storage(url, heartbeat, grace)
        with storage_errors(url):
            self._lock = StudyLock(self._storage.engine, study, sqlite_file(url))
            with self._lock():
                self.study = optuna.create_study(
                    storage=self._storage,
                    study_name=study,
                    directions=[objective.direction for objective in self.objectives],
                    sampler=sampler,
                    pruner=pruner or optuna.pruners.NopPruner(),
                    load_if_exists=True,
                )
                self._identify(identity)

    def claim(self, number: int) -> list[Claim]:
        """Takes on up to ``number`` architectures, abandoned ones first.

        Returns:
            None when all are finished or in somebody's work, or the budget's architectures are
            used up: see :meth:`finished`.
        """
        claims = []
        with storage_errors(self.url), self._lock():
            self._recover()
            left = self._left()
            while len(claims) < number and left.has_one():
                claim = self._ask()
                if self.budget.feasible(np.array([claim.arch]))[0]:
                    claims.append(claim)
                    left.take(claim.arch)
                else:
                    # It was queued when the search had another budget.
                    self.study.tell(claim.trial, state=TrialState.FAIL)
                    left = self._left()
        return claims

    @contextlib.contextmanager
    def beating(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Gives signs of life for claims while a ``with`` block works on them."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._heartbeat):
                try:
                    for claim in claims:
                        self._storage.record_heartbeat(claim.trial._trial_id)
                except (SQLAlchemyError, StorageInternalError) as error:
                    # A database that is away for a moment must not end the evaluation.
                    print_log(f"no heartbeat this time: {error}", "current")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def finish(self, claim: Claim, metrics: Mapping[str, float], pruned: bool = False) -> bool:
        """Writes down an evaluated architecture; one with an objective that is no number failed.

        Returns:
            False where the trial had been given up and taken over: the result is dropped.

        Raises:
            UserError: an objective is missing among the metrics and costs, or is no number before
                any architecture had one.
        """
        costs = self.costs(claim.arch)
        known = {**costs, **metrics}
        for objective in self.objectives:
            check_given(objective.name, known)
        values = [known[objective.name] for objective in self.objectives]
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        with storage_errors(self.url), self._lock():
            if not pruned and not np.isfinite(values).all():
                self._check_others_have_numbers(claim, values)
                state = TrialState.FAIL
            if self._storage.get_trial(claim.trial._trial_id).state != TrialState.RUNNING:
                print_log(
                    f"{claim.arch} was taken over by another worker: result dropped", "current"
                )
                return False
            claim.trial.set_user_attr("arch", str(claim.arch))
            claim.trial.set_user_attr("metrics", dict(metrics))
            claim.trial.set_user_attr("costs", costs)
            complete = state == TrialState.COMPLETE
            self.study.tell(claim.trial, values if complete else None, state)
        return True

    def release(self, claims: Sequence[Claim]) -> None:
        """Puts claims that will not be finished back in the queue: nobody waits for them then."""
        with storage_errors(self.url), self._lock():
            for claim in claims:
                trial = self._storage.get_trial(claim.trial._trial_id)
                if trial.state == TrialState.RUNNING:
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def finished(self) -> bool:
        """Whether nothing is left to do or to wait for."""
        with storage_errors(self.url), self._lock():
            self._recover()
            running = any(trial.state == TrialState.RUNNING for trial in self._trials())
            return not running and not self._left().has_one()

    def costs(self, arch: Arch) -> dict[str, float]:
        """An architecture's costs by name."""
        return {
            name: float(values[0]) for name, values in self.budget.costs(np.array([arch])).items()
        }

    def findings(self, checkpoint: str = "", sampler: str = "") -> Findings:
        """What is finished so far and within the budget."""
        with storage_errors(self.url):
            trials = self._trials()
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        archs = [arch_of(trial, self.space) for trial in complete]
        within = self.budget.feasible(np.array(archs).reshape(len(archs), self.space.num_blocks))
        start = min(
            (trial.datetime_start for trial in trials if trial.datetime_start), default=None
        )
        evaluated = [
            Evaluated(
                trial=trial.number,
                arch=arch,
                values=tuple(trial.values),
                metrics=trial.user_attrs["metrics"],
                costs=trial.user_attrs["costs"],
                seconds=(trial.datetime_complete - start).total_seconds(),
            )
            for trial, arch, fits in zip(complete, archs, within, strict=True)
            if fits
        ]
        return Findings(
            space=self.space,
            objectives=self.objectives,
            constraints=self.budget.constraints,
            sampler=sampler,
            evaluated=tuple(sorted(evaluated, key=lambda e: (e.seconds, e.trial))),
            states={
                state.name.lower(): sum(trial.state == state for trial in trials)
                for state in TrialState
            },
            checkpoint=checkpoint,
        )

    def _ask(self) -> Claim:
        """The next trial of the queue, or a new one; the lock must be held."""
        with warnings.catch_warnings():
            # Optuna expects heartbeats of its own loop only; ours come from beating().
            warnings.simplefilter("ignore")
            trial = self.study.ask()
        self._storage.record_heartbeat(trial._trial_id)
        for name, distribution in distributions(self.space).items():
            trial.suggest_categorical(name, distribution.choices)
        return Claim(trial, arch_of(trial, self.space))

    def _check_others_have_numbers(self, claim: Claim, values: Sequence[float]) -> None:
        """One odd architecture must not end a search; a supernet without any score must."""
        named = ", ".join(f"{o.name} {v}" for o, v in zip(self.objectives, values, strict=True))
        if not any(trial.state == TrialState.COMPLETE for trial in self._trials()):
            raise UserError(
                f"{claim.arch} has {named}, and no architecture a number so far: a network with "
                "weights that are no numbers has no score; take an earlier checkpoint"
            )
        print_log(f"{claim.arch} has {named}: failed, another takes its place", "current")

    def _trials(self) -> list[FrozenTrial]:
        # Through the study, whose storage keeps finished trials in memory.
        return self.study.get_trials(deepcopy=False)

    def _recover(self) -> None:
        """Puts trials whose worker died back in the queue; the lock must be held.

        Optuna's own way out, failing them and queueing copies, takes two steps, and a worker can be
        killed between them.
        """
        stale = set(self._storage._get_stale_trial_ids(self.study._study_id))
        for trial in self._trials():
            # Claiming needs the lock: where we hold it, nobody is choosing an architecture now.
            unchosen = len(trial.params) < self.space.num_blocks
            if trial.state == TrialState.RUNNING and (unchosen or trial._trial_id in stale):
                self._put_back(trial._trial_id)

    def _put_back(self, trial_id: int) -> None:
        died = self._storage.get_trial(trial_id).user_attrs.get("died", 0) + 1
        self._storage.set_trial_user_attr(trial_id, "died", died)
        state = TrialState.WAITING if died < MAX_ATTEMPTS else TrialState.FAIL
        self._storage.set_trial_state_values(trial_id, state)

    def _left(self) -> Left:
        trials = self._trials()
        return Left(
            budget=self.budget,
            waiting=sum(trial.state == TrialState.WAITING for trial in trials),
            wanted=self.trials - sum(trial.state in HELD for trial in trials),
            seen={arch_of(trial, self.space) for trial in trials} - {None},
        )

    def _identify(self, identity: Mapping[str, Any]) -> None:
        """Signs a new record, or checks that an old one is of the same search."""
        wanted = json.loads(json.dumps(identity))
        found = self.study.user_attrs.get("identity")
        if found is None and not self.study.get_trials(deepcopy=False):
            self.study.set_user_attr("identity", wanted)
            return
        differences = list(_differences(found or {}, wanted))
        if differences:
            file = sqlite_file(self.url)
            name = file.name if file else self._storage.engine.url.database
            raise UserError(
                f"the record {name} holds "
                f"another search: {'; '.join(differences)}. Take another --work-dir or "
                "--study-name, or the settings it was made with"
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
        yield f"{name} was {_short(was)} and is now {_short(now)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
