"""What becomes of trials whose worker died."""

from __future__ import annotations

from mmengine.logging import print_log
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.encoding import arch_of
from pinas_mm.search.record.faults import CheckedStorage
from pinas_mm.space import SearchSpace

# A worker that an architecture kills each time must not be sent there for ever.
MAX_ATTEMPTS = 5


def put_back(storage: CheckedStorage, study: Study, space: SearchSpace, certain: bool) -> None:
    """Puts trials whose worker died back in the queue; the study's lock must be held.

    Optuna's own way out, failing them and queueing copies, counts each death as a trial.

    Args:
        storage, study: the record's.
        space: the search space.
        certain: whether who gives no sign of life is dead.
    """
    if not certain:
        return
    died = []
    for trial_id, beaten in storage.silent_trials(study._study_id):
        trial = storage.get_trial(trial_id)
        if trial.state != TrialState.RUNNING:
            # One that cannot be used is left as it is.
            continue
        chosen = arch_of(trial, space) is not None
        # Who chooses has given a sign of life: without one it is no claim of ours.
        if beaten or not chosen:
            _put_back(storage, trial, space)
        if beaten and chosen:
            died.append(str(trial.number))
    if died:
        numbers = ", ".join(died)
        print_log(f"trials whose worker died are tried again, each alone: {numbers}", "current")


def died_with(trial: FrozenTrial, space: SearchSpace) -> bool:
    """Whether a worker died with a trial; one that was not chosen yet has killed nobody."""
    return "died" in trial.user_attrs and arch_of(trial, space) is not None


def _put_back(storage: CheckedStorage, trial: FrozenTrial, space: SearchSpace) -> None:
    died = trial.user_attrs.get("died", 0) + 1
    storage.set_trial_user_attr(trial._trial_id, "died", died)
    state = TrialState.WAITING if died < MAX_ATTEMPTS else TrialState.FAIL
    storage.set_trial_state_values(trial._trial_id, state)
    if state == TrialState.FAIL:
        print_log(
            f"{arch_of(trial, space)} took its worker with it {died} times: failed, another takes "
            "its place",
            "current",
        )
