"""A search's record: who evaluates what, and what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from mmengine.logging import print_log
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective, check_given
from pinas_mm.search.record.access import ERRORS, Access
from pinas_mm.search.record.encoding import arch_of, held, parameter_names, parameters
from pinas_mm.search.record.evaluations import Evaluations
from pinas_mm.search.record.findings import Findings
from pinas_mm.search.record.identity import identify
from pinas_mm.search.record.left import Leavings, Left
from pinas_mm.search.record.lock import sqlite_file
from pinas_mm.search.record.recovery import put_back
from pinas_mm.search.record.storage import cause_of, damages, open_storage
from pinas_mm.space import Arch

# Trials that are left out are named up to this number.
MOST_NAMED = 5


@dataclasses.dataclass
class Claim:
    """An architecture that this process has taken on, None while it is chosen, and when."""

    trial: Trial
    arch: Arch | None
    began: float = dataclasses.field(default_factory=time.time)


class Record:
    """The Optuna study of a search, shared by any number of processes and machines.

    What is guaranteed, whatever is killed when: each trial is finished once; one whose worker died
    goes back to the queue after ``grace`` seconds without a heartbeat and is evaluated by whoever
    asks next; none is lost. What a worker died with is evaluated alone from then on, so that an
    architecture that kills its workers takes no other with it; after five times it is given up as
    failed. A database that is away for a while is waited for. Trials that cannot be used, damaged
    ones or those of other programs, are named and left out.

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
        patience: seconds that the database may be away before that is an error.

    Raises:
        UserError: the database cannot be reached or written, is damaged, or holds a search that
            differs.
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
        patience: float = 600,
    ) -> None:
        self.objectives, self.budget, self.trials = tuple(objectives), budget, trials
        self.space = budget.space
        self._leavings = Leavings(budget, trials)
        self._evaluations = Evaluations(budget, self.objectives)
        self._heartbeat, self._grace = heartbeat, grace
        self._named: set[int] = set()
        self._storage = open_storage(url, heartbeat, grace)
        self._storage.check(self.space, len(self.objectives))
        self._access = Access(url, self._storage, study, patience)

        def opened() -> Study:
            made = optuna.create_study(
                storage=self._storage,
                study_name=study,
                directions=[objective.direction for objective in self.objectives],
                sampler=sampler,
                pruner=pruner or optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            file = sqlite_file(url)
            name = file.name if file else self._storage.engine.url.database
            directions = [StudyDirection[o.direction.upper()] for o in self.objectives]
            identify(made, identity, directions, str(name))
            return made

        with damages(url):
            self.study = self._access.locked(opened)
            self._access.study = self.study
            self._access.unlocked(self._trials)
        self._name_faults()

    def claim(self, number: int) -> list[Claim]:
        """Takes on up to ``number`` architectures, abandoned ones first, each of those alone.

        The sampler thinks while nobody is kept waiting: its trial is entered before, and the
        architecture after. Where another process has taken the same one meanwhile, it thinks again.

        Returns:
            None when all are finished or in somebody's work, or the budget's architectures are
            used up: see :meth:`finished`.
        """
        claims: list[Claim] = []
        # The last one, which an interruption at the end of its transaction must not lose.
        entered: list[Claim] = []
        try:
            with self.beating(claims):
                while len(claims) < number:
                    enter = functools.partial(self._enter, entered, bool(claims))
                    left = self._access.locked(enter)
                    if left is None:
                        break
                    claims += entered
                    entered.clear()
                    claims[-1].arch = self._choose(claims[-1].trial, left)
                    if claims[-1].arch is None:
                        claims.pop()
                    elif left.next_died:
                        break
        except BaseException:
            self.release([*claims, *entered])
            raise
        self._name_faults()
        return claims

    @contextlib.contextmanager
    def beating(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Gives signs of life for claims while a ``with`` block works on them; it may add some."""
        stop = threading.Event()

        def beat() -> None:
            reached = True
            while True:
                try:
                    for claim in tuple(claims):
                        self._storage.record_heartbeat(claim.trial._trial_id)
                    reached = True
                except ERRORS as error:
                    # A database that is away for a moment must not end the evaluation.
                    self._access.away(error)
                    if reached:
                        print_log(f"no heartbeat this time: {cause_of(error)}", "current")
                    reached = False
                if stop.wait(self._heartbeat):
                    return

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
        costs = self.costs(cast(Arch, claim.arch))
        known = {**costs, **metrics}
        for objective in self.objectives:
            check_given(objective.name, known)
        values = [known[objective.name] for objective in self.objectives]
        trial_id = claim.trial._trial_id

        def work() -> bool:
            state = TrialState.PRUNED if pruned else TrialState.COMPLETE
            if not pruned and not np.isfinite(values).all():
                self._check_others_have_numbers(claim, values)
                state = TrialState.FAIL
            found = self._storage.get_trial(trial_id).state
            if found == TrialState.WAITING:
                # It was put back, and nobody has begun with it.
                self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
            elif found != TrialState.RUNNING:
                print_log(
                    f"{claim.arch} is finished already, by another worker that took it over: "
                    "result dropped",
                    "current",
                )
                return False
            # Optuna's own times are of each machine's own zone.
            times = [claim.began, time.time()]
            attributes = dict(arch=str(claim.arch), metrics=dict(metrics), costs=costs, times=times)
            self._storage.set_trial_user_attrs(trial_id, attributes)
            complete = state == TrialState.COMPLETE
            self.study.tell(claim.trial, values if complete else None, state)
            return True

        return self._access.locked(work)

    def report(self, claim: Claim, value: float, step: int) -> bool:
        """Tells the pruner how an architecture stands; returns whether it is hopeless."""

        def work() -> bool:
            claim.trial.report(value, step=step)
            return claim.trial.should_prune()

        return self._access.unlocked(work)

    def release(self, claims: Sequence[Claim]) -> None:
        """Puts claims that will not be finished back in the queue: nobody waits for them then.

        Who releases is about to end: where the database is away it is not waited for, and others
        take the claims over without a heartbeat.
        """

        def work() -> None:
            for claim in claims:
                trial = self._storage.get_trial(claim.trial._trial_id)
                if trial.state == TrialState.RUNNING:
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

        try:
            self._access.locked(work, patience=0)
        except UserError as error:
            print_log(
                f"what was in work cannot be put back now ({error}): it is taken up again after "
                f"{self._grace} s",
                "current",
            )

    def finished(self) -> bool:
        """Whether nothing is left to do or to wait for."""

        def work() -> bool:
            self._recover()
            left = self._leavings.of(self._trials())
            return not left.running and not left.has_one()

        return self._access.locked(work)

    def costs(self, arch: Arch) -> dict[str, float]:
        """An architecture's costs by name."""
        return {
            name: float(values[0]) for name, values in self.budget.costs(np.array([arch])).items()
        }

    def findings(
        self, checkpoint: str = "", sampler: str = "", patience: float | None = None
    ) -> Findings:
        """What is finished so far and within the budget.

        Args:
            checkpoint, sampler: for the report.
            patience: seconds that the database may be away; None is the record's.
        """
        trials = self._access.unlocked(self._trials, patience)
        self._name_faults()
        faulty = self._storage.faults.keys()
        return self._evaluations.findings(trials, faulty, sampler, checkpoint)

    def _enter(self, entered: list[Claim], others: bool) -> Left | None:
        """Takes the next trial of the queue, or a new one; the lock must be held.

        Args:
            entered: becomes the one claim.
            others: whether this process has claimed some, to which none is added that a worker
                died with.

        Returns:
            What was left; None where there is nothing to take.
        """
        entered.clear()
        self._recover()
        left = self._leavings.of(self._trials())
        if not left.has_one() or (others and left.next_died):
            return None
        # As Optuna's ask, which expects heartbeats of its own loop and asks for all trials again.
        self.study._thread_local.cached_all_trials = None
        if left.waiting:
            trial_id = left.waiting[0]._trial_id
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        else:
            trial_id = self.study._storage.create_new_trial(self.study._study_id)
        entered.append(Claim(Trial(self.study, trial_id), None))
        self._storage.record_heartbeat(trial_id)
        return left

    def _choose(self, trial: Trial, left: Left) -> Arch | None:
        """A trial's architecture, the sampler's where it has none yet.

        Returns:
            None where it is outside the budget, or the trial was given up meanwhile.
        """
        entered, names = trial._cached_frozen_trial, parameter_names(self.space)
        arch = arch_of(entered, self.space)
        fixed = held(entered, names)
        if arch is None and len(fixed) == len(names):
            arch = Arch(fixed.values(), self.space.depths)
        while True:
            chosen = arch or Arch((trial.relative_params[n] for n in names), self.space.depths)
            known = left.held if arch is None else None
            kept = self._access.locked(functools.partial(self._keep, trial, chosen, known))
            if not isinstance(kept, Left):
                return kept
            # As entered, so that the sampler is asked anew.
            left, trial = kept, Trial(self.study, trial._trial_id)

    def _keep(self, trial: Trial, arch: Arch, known: frozenset[Arch] | None) -> Arch | Left | None:
        """Writes down a trial's architecture; the lock must be held.

        Args:
            known: architectures that the sampler knew of; None where the queue has chosen.

        Returns:
            The architecture; what is left now where another process has taken it since then; None
            as for :meth:`_choose`.
        """
        trials = self._trials()
        found = trials[trial.number]
        written = arch_of(found, self.space)
        if found.state != TrialState.RUNNING or (known is not None and written is not None):
            # Given up while the sampler thought for too long, and maybe taken over.
            return None
        if not self.budget.feasible(np.array([arch]))[0]:
            print_log(
                f"trial {trial.number}, {arch}, waited and is outside the budget: failed",
                "current",
            )
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        if written is not None:
            return arch
        if (
            known is not None
            and arch in (left := self._leavings.of(trials)).held
            and arch not in known
        ):
            return left
        self._storage.set_trial_params(
            trial._trial_id,
            {n: c for n, c in parameters(arch, self.space).items() if n not in found.params},
        )
        return arch

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

    def _name_faults(self) -> None:
        """Says once which trials are left out."""
        faults = {n: text for n, text in self._storage.faults.items() if n not in self._named}
        if not faults:
            return
        self._named |= faults.keys()
        texts = [f"trial {number}: {text}" for number, text in sorted(faults.items())]
        more = f"; and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
        print_log(
            f"left out of the record, {len(texts)} in number: "
            f"{'; '.join(texts[:MOST_NAMED])}{more}",
            "current",
        )

    def _recover(self) -> None:
        """Puts trials whose worker died back in the queue; the lock must be held."""
        # While the database was away nobody could give a sign of life.
        certain = time.monotonic() - self._access.lost >= self._grace
        put_back(self._storage, self.study, self.space, certain)
