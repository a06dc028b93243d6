"""Who takes which trial on, and with which architecture."""

from __future__ import annotations

import dataclasses
import functools
import time

import numpy as np
from mmengine.logging import print_log
from optuna.study import Study
from optuna.trial import Trial, TrialState

from pinas_mm.search.budget.budget import Budget, SpaceExhausted
from pinas_mm.search.record.access import Access
from pinas_mm.search.record.checked_storage import CheckedStorage
from pinas_mm.search.record.encoding import arch_of, held, parameter_names, parameters
from pinas_mm.search.record.recovery import Recovery
from pinas_mm.search.record.remaining import Remaining, RemainingTracker
from pinas_mm.space import Arch


@dataclasses.dataclass
class Claim:
    """An architecture that this process has taken on, None while it is chosen, and when."""

    trial: Trial
    arch: Arch | None
    began: float = dataclasses.field(default_factory=time.time)


class Claiming:
    """Takes trials on: enters them under the study's lock, lets the sampler think without it.

    Args:
        study, storage, access: the record's.
        budget: which architectures may be evaluated here.
        trials: architectures to finish in all.
        recovery: the record's.
    """

    def __init__(
        self,
        study: Study,
        storage: CheckedStorage,
        access: Access,
        budget: Budget,
        trials: int,
        recovery: Recovery,
    ) -> None:
        self._study, self._storage, self._access = study, storage, access
        self._budget, self._space, self._recovery = budget, budget.space, recovery
        self._remaining = RemainingTracker(budget, trials)

    def left(self) -> Remaining:
        """What is left once trials whose worker died are put back; the lock must be held."""
        self._recovery.put_back(self._study)
        return self._remaining.of(self._study.get_trials(deepcopy=False), self._recovery.strangers)

    def enter(self, entered: list[Claim], others: bool) -> Remaining | None:
        """Takes the next trial of the queue, or a new one; the lock must be held.

        Args:
            entered: becomes the one claim.
            others: whether this process has claimed some, to which none is added that is to be
                evaluated alone.

        Returns:
            What was left; None where there is nothing to take.
        """
        entered.clear()
        left = self.left()
        if not left.has_one() or (others and left.next_died):
            return None
        # As Optuna's ask, which expects heartbeats of its own loop and asks for all trials again.
        self._study._thread_local.cached_all_trials = None
        if left.waiting:
            trial_id = left.waiting[0]._trial_id
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        else:
            trial_id = self._study._storage.create_new_trial(self._study._study_id)
        entered.append(Claim(Trial(self._study, trial_id), None))
        self._storage.record_heartbeat(trial_id)
        return left

    def choose(self, trial: Trial, left: Remaining) -> Arch | None:
        """A trial's architecture, the sampler's where it has none yet.

        Returns:
            None where it is outside the budget, or the trial was given up meanwhile.
        """
        entered, names = trial._cached_frozen_trial, parameter_names(self._space)
        arch = arch_of(entered, self._space)
        fixed = held(entered, names)
        if arch is None and len(fixed) == len(names):
            arch = Arch(fixed.values(), self._space.depths)
        while True:
            try:
                chosen = arch or Arch((trial.relative_params[n] for n in names), self._space.depths)
            except SpaceExhausted:
                if not fixed:
                    raise
                # Nothing within the budget has the part that stands in the record.
                self._access.locked(functools.partial(self._leave, trial, None))
                return None
            known = left.held if arch is None else None
            kept = self._access.locked(functools.partial(self._keep, trial, chosen, known))
            if not isinstance(kept, Remaining):
                return kept
            # As entered, so that the sampler is asked anew.
            left, trial = kept, Trial(self._study, trial._trial_id)

    def _keep(
        self, trial: Trial, arch: Arch, known: frozenset[Arch] | None
    ) -> Arch | Remaining | None:
        """Writes down a trial's architecture; the lock must be held.

        Args:
            known: architectures that the sampler knew of; None where the queue has chosen.

        Returns:
            The architecture; what is left now where another process has taken it since then; None
            as for :meth:`choose`.
        """
        trials = self._study.get_trials(deepcopy=False)
        found = trials[trial.number]
        written = arch_of(found, self._space)
        if found.state != TrialState.RUNNING or (known is not None and written is not None):
            # Given up while the sampler thought for too long, and maybe taken over.
            return None
        if not self._budget.feasible(np.array([arch]))[0]:
            self._leave(trial, arch)
            return None
        if written is not None:
            return arch
        if (
            known is not None
            and arch in (left := self._remaining.of(trials, self._recovery.strangers)).held
            and arch not in known
        ):
            return left
        self._storage.set_trial_params(
            trial._trial_id,
            {n: c for n, c in parameters(arch, self._space).items() if n not in found.params},
        )
        return arch

    def _leave(self, trial: Trial, arch: Arch | None) -> None:
        """Leaves a trial to others, whose budget it may meet: latency is each machine's own.

        Args:
            trial: as this process has it; taken over meanwhile by another it is that one's.
            arch: its architecture, None where nothing within the budget has the part that it has.
        """
        found = self._storage.get_trial(trial._trial_id)
        if found.state != TrialState.RUNNING or arch_of(found, self._space) not in (None, arch):
            return
        self._remaining.outside.add(trial.number)
        self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        print_log(
            f"trial {trial.number}, {arch or 'a part of one'}, waited and is outside the budget "
            "here: left for "
            "others, another takes its place",
            "current",
        )
