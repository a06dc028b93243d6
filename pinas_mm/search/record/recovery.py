"""What becomes of trials whose worker died."""

from __future__ import annotations

from mmengine.logging import print_log
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.search.record.encoding import arch_of
from pinas_mm.space import SearchSpace

# A worker that an architecture kills each time must not be sent there for ever.
MAX_ATTEMPTS = 5


def put_back(storage: RDBStorage, study: Study, space: SearchSpace, certain: bool) -> None:
    """Puts trials whose worker died back in the queue; the study's lock must be held.

    Optuna's own way out, failing them and queueing copies, counts each death as a trial.

    Args:
        storage, study: the record's.
        space: the search space.
        certain: whether who gives no sign of life is dead.
    """
    stale = set(storage._get_stale_trial_ids(study._study_id)) if certain else set()
    died = []
    for trial in study.get_trials(deepcopy=False):
        # Claiming needs the lock: where we hold it, nobody is choosing an architecture now.
        chosen = len(trial.params) >= space.num_blocks
        if trial.state == TrialState.RUNNING and (not chosen or trial._trial_id in stale):
            _put_back(storage, trial, space)
            if chosen:
                died.append(str(trial.number))
    if died:
        numbers = ", ".join(died)
        print_log(f"trials whose worker died are tried again, each alone: {numbers}", "current")


def died_with(trial: FrozenTrial, space: SearchSpace) -> bool:
    """Whether a worker died with a trial; one that was not chosen yet has killed nobody."""
    return "died" in trial.user_attrs and arch_of(trial, space) is not None


def _put_back(storage: RDBStorage, trial: FrozenTrial, space: SearchSpace) -> None:
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
