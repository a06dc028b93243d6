"""A search's record: who evaluates what, and what came of it."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from mmengine.logging import print_log
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.errors import UserError, raised_at, reason
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective, check_given
from pinas_mm.search.evaluation.evaluator import ShareError
from pinas_mm.search.record.access import Access
from pinas_mm.search.record.beating import beating
from pinas_mm.search.record.claiming import Claim, Claiming
from pinas_mm.search.record.evaluations import Evaluations
from pinas_mm.search.record.findings import Findings
from pinas_mm.search.record.identity import identify
from pinas_mm.search.record.lock import sqlite_file
from pinas_mm.search.record.recovery import Recovery
from pinas_mm.search.record.storage import GRACE, HEARTBEAT, damages, open_storage
from pinas_mm.space import Arch

# Trials that are left out are named up to this number.
MOST_NAMED = 5


class Record:
    """The Optuna study of a search, shared by any number of processes and machines.

    What is guaranteed, whatever is killed when: each trial is finished once; one whose worker died
    goes back to the queue after ``grace`` seconds without a heartbeat and is evaluated by whoever
    asks next; none is lost. What a worker died with, or whose evaluation raised, is evaluated alone
    from then on, so that an architecture that kills its workers takes no other with it; after five
    times it is given up as failed. What waits and is outside the budget here is left for others. A
    database that is away for a while is waited for. Trials that cannot be used, damaged ones or
    those of other programs, are named and left out; those that another program has begun are waited
    for no longer than ``grace``.

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
        heartbeat: int = HEARTBEAT,
        grace: int = GRACE,
        patience: float = 600,
    ) -> None:
        self.objectives, self.budget, self.trials = tuple(objectives), budget, trials
        self.space = budget.space
        self._evaluations = Evaluations(budget, self.objectives)
        self._heartbeat, self._grace = heartbeat, grace
        self._named: set[int] = set()
        self._storage = open_storage(url, heartbeat, grace)
        self._storage.check(self.space, len(self.objectives))
        self._access = Access(url, self._storage, study, patience)
        self._recovery = Recovery(self._storage, self._access, self.space)

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
            self._claiming = Claiming(
                self.study, self._storage, self._access, budget, trials, self._recovery
            )
            self._access.unlocked(self._trials)
        self._name_faults()

    def claim(self, number: int) -> list[Claim]:
        """Takes on up to ``number`` architectures: those that wait first, abandoned ones alone.

        The sampler thinks while nobody is kept waiting: its trial is entered before, and the
        architecture after. Where another process has taken the same one meanwhile, it thinks again.

        Returns:
            The claims; an empty list when all are finished or in somebody's work, or the budget's
            architectures are used up: see :meth:`finished`.
        """
        claims: list[Claim] = []
        # The last one, which an interruption at the end of its transaction must not lose.
        entered: list[Claim] = []
        try:
            with self.beating(claims):
                while len(claims) < number:
                    enter = functools.partial(self._claiming.enter, entered, bool(claims))
                    left = self._access.locked(enter)
                    if left is None:
                        break
                    claims += entered
                    entered.clear()
                    claims[-1].arch = self._claiming.choose(claims[-1].trial, left)
                    if claims[-1].arch is None:
                        claims.pop()
                    elif left.next_died:
                        break
        except BaseException:
            self.release([*claims, *entered])
            raise
        self._name_faults()
        return claims

    def beating(self, claims: Sequence[Claim]) -> contextlib.AbstractContextManager[None]:
        """Gives signs of life for claims while a ``with`` block works on them; it may add some."""

        def trials() -> list[int]:
            return [claim.trial._trial_id for claim in tuple(claims)]

        return beating(self._storage, self._access, trials, self._heartbeat)

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
            if not np.isfinite(values).all():
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
        """Tells the pruner how an architecture stands.

        Returns:
            Whether it is hopeless, or had been given up and is finished, which :meth:`finish` says.
        """

        def work() -> bool:
            try:
                claim.trial.report(value, step=step)
            except UpdateFinishedTrialError:
                return True
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

    def raised(self, claims: Sequence[Claim], error: Exception) -> bool:
        """Puts claims back whose evaluation raised an error: each is tried again by itself.

        Returns:
            Whether any architecture is complete; else the fault may be that of all of them.
        """
        # A rank's share says it itself.
        where = "" if isinstance(error, ShareError) else f" ({raised_at(error)})"
        print_log(
            f"evaluating {', '.join(str(claim.arch) for claim in claims)} raised "
            f"{type(error).__name__}: {reason(error)}{where}",
            "current",
        )

        def work() -> bool:
            for claim in claims:
                trial = self._storage.get_trial(claim.trial._trial_id)
                if trial.state == TrialState.RUNNING:
                    self._recovery.try_again(trial)
            return self._has_complete()

        return self._access.locked(work)

    def finished(self) -> bool:
        """Whether nothing is left to do here or to wait for; what is left for others is said."""

        left = self._access.locked(self._claiming.left)
        over = not left.running and not left.has_one()
        if over and left.outside:
            print_log(
                f"{left.outside} trials still wait that are outside the budget here: a machine or "
                "a run whose budget they meet evaluates them",
                "current",
            )
        return over

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

    def _check_others_have_numbers(self, claim: Claim, values: Sequence[float]) -> None:
        """One odd architecture must not end a search; a supernet without any score must."""
        named = ", ".join(f"{o.name} {v}" for o, v in zip(self.objectives, values, strict=True))
        if not self._has_complete():
            raise UserError(
                f"{claim.arch} has {named}, and no architecture a number so far: a network with "
                "weights that are no numbers has no score; take an earlier checkpoint"
            )
        print_log(f"{claim.arch} has {named}: failed, another takes its place", "current")

    def _has_complete(self) -> bool:
        return any(trial.state == TrialState.COMPLETE for trial in self._trials())

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
