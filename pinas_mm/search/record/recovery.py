"""What becomes of trials that nobody finishes: the worker died, the evaluation raised."""

from __future__ import annotations

import time
from typing import cast

from mmengine.logging import print_log
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.access import Access
from pinas_mm.search.record.checked_storage import CheckedStorage
from pinas_mm.search.record.encoding import arch_of
from pinas_mm.space import SearchSpace

# An architecture that comes to no result must not be evaluated for ever.
MAX_ATTEMPTS = 5


class Recovery:
    """Finds running trials that nobody finishes; the study's lock must be held.

    Optuna's own way out, failing them and queueing copies, counts each death as a trial.

    Args:
        storage, access: the record's.
        space: the search space.

    Attributes:
        strangers: numbers of running trials that no worker of ours has begun, of another program's
            ``ask``, which are not waited for.
    """

    def __init__(self, storage: CheckedStorage, access: Access, space: SearchSpace) -> None:
        self._storage, self._access, self._space = storage, access, space
        self._grace = cast(int, storage.grace_period)
        # When they were first seen: Optuna's times do not say their zone.
        self._seen: dict[int, float] = {}
        self.strangers: frozenset[int] = frozenset()

    def put_back(self, study: Study) -> None:
        """Puts trials whose worker died back in the queue."""
        # While the database was away nobody could give a sign of life.
        if time.monotonic() - self._access.lost < self._grace:
            return
        died, strange = [], []
        for trial_id, beaten in self._storage.silent_trials(study._study_id):
            trial = self._storage.get_trial(trial_id)
            if trial.state != TrialState.RUNNING:
                # One that cannot be used is left as it is.
                continue
            chosen = arch_of(trial, self._space) is not None
            # Who chooses has given a sign of life: without one it is no claim of ours.
            if beaten or not chosen:
                self.try_again(trial)
            else:
                strange.append(trial.number)
            if beaten and chosen:
                died.append(str(trial.number))
        if died:
            numbers = ", ".join(died)
            print_log(f"trials whose worker died are tried again, each alone: {numbers}", "current")
        self._look_at(strange)

    def try_again(self, trial: FrozenTrial) -> None:
        """Puts a running trial back whose evaluation has no result; after the last attempt it is a
        failed one.
        """
        attempts = attempts_at(trial) + 1
        self._storage.set_trial_user_attr(trial._trial_id, "died", attempts)
        state = TrialState.WAITING if attempts < MAX_ATTEMPTS else TrialState.FAIL
        self._storage.set_trial_state_values(trial._trial_id, state)
        if state == TrialState.FAIL:
            print_log(
                f"{arch_of(trial, self._space) or f'trial {trial.number}'} has no result after "
                f"{attempts} attempts: failed, another takes its place",
                "current",
            )

    def _look_at(self, strange: list[int]) -> None:
        now = time.monotonic()
        self._seen = {number: self._seen.get(number, now) for number in strange}
        late = {number for number, seen in self._seen.items() if now - seen > self._grace}
        if fresh := sorted(late - self.strangers):
            print_log(
                "trials that another program has begun, without a sign of life, are not waited "
                f"for, others take their places: {', '.join(map(str, fresh))}",
                "current",
            )
        self.strangers = frozenset(late)


def attempts_at(trial: FrozenTrial) -> int:
    """How often a trial's evaluation came to nothing."""
    return int(trial.user_attrs.get("died", 0))


def died_with(trial: FrozenTrial, space: SearchSpace) -> bool:
    """Whether a trial's evaluation came to nothing; one that was not chosen yet had none."""
    return attempts_at(trial) > 0 and arch_of(trial, space) is not None
