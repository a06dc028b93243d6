"""Optuna's own samplers, without their repeats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.errors import UserError
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.encoding import distributions
from pinas_mm.search.samplers.base import ArchSampler
from pinas_mm.search.samplers.history import History
from pinas_mm.space import SearchSpace

# Those of Optuna's samplers that draw categorical parameters and have a seed. QMCSampler takes any,
# but leaves categorical ones to chance.
OPTUNA_SAMPLERS = (
    "GPSampler",
    "NSGAIISampler",
    "NSGAIIISampler",
    "RandomSampler",
    "TPESampler",
)
# It logs a line for each categorical parameter that it draws by itself.
TALKATIVE = "GPSampler"
# How often a sampler is asked for something new before its proposal is changed.
ASKED = 8


class Unrepeated(ArchSampler):
    """A sampler of Optuna's that proposes no architecture twice and none outside the budget.

    It is made anew for each trial, with a seed of its own, so that its proposals depend on the
    record alone as ours do.

    Args:
        inner: the sampler's class.
        space, budget, seed, objectives: see :class:`ArchSampler`.
        options: keyword arguments of the class.
    """

    def __init__(
        self,
        inner: type[BaseSampler],
        space: SearchSpace,
        budget: Budget | None = None,
        seed: int = 0,
        objectives: Sequence[Objective] = (),
        **options: Any,
    ) -> None:
        super().__init__(space, budget, seed, objectives)
        self._class, self._options = inner, options
        self._build(seed)

    def propose(self, history: History, rng: np.random.Generator) -> Sequence[int] | None:
        """Not used: the inner sampler needs the study."""
        return None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Optuna's method, the inner sampler's."""
        self._inner(trial).before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Optuna's method, the inner sampler's."""
        self._inner(trial).after_trial(study, trial, state, values)

    def _proposals(
        self, study: Study, trial: FrozenTrial, history: History, rng: np.random.Generator
    ) -> Iterator[Sequence[int] | None]:
        inner = self._inner(trial)
        for _ in range(ASKED):
            # Samplers warn of what is decided here: that they are experimental, that they
            # draw categorical parameters independently.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                common = inner.infer_relative_search_space(study, trial)
                chosen = inner.sample_relative(study, trial, common)
                for name, distribution in distributions(self.space).items():
                    if name not in chosen:
                        chosen[name] = inner.sample_independent(study, trial, name, distribution)
            yield [int(chosen[name]) for name in distributions(self.space)]

    def _inner(self, trial: FrozenTrial) -> BaseSampler:
        seed = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0]
        return self._build(int(seed))

    def _build(self, seed: int) -> BaseSampler:
        quiet = {"warn_independent_sampling": False} if self._class.__name__ == TALKATIVE else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._class(**{"seed": seed, **quiet, **self._options})


def optuna_sampler(
    name: str,
    space: SearchSpace,
    budget: Budget | None = None,
    seed: int = 0,
    objectives: Sequence[Objective] = (),
    **options: Any,
) -> Unrepeated:
    """One of ``OPTUNA_SAMPLERS``, wrapped in :class:`Unrepeated`.

    Raises:
        UserError: it does not take the options.
    """
    try:
        return Unrepeated(
            getattr(optuna.samplers, name), space, budget, seed, objectives, **options
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} does not take {options}: {error}") from None
