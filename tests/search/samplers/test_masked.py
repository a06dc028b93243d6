"""Where blocks differ in what is allowed, samplers propose all of it, each once, and no more."""

import itertools

import numpy as np
import optuna
import pytest
from spaces import SPACES

from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.record.encoding import distributions
from pinas_mm.search.samplers import SpaceExhausted, build_sampler
from pinas_mm.search.samplers.library import OPTUNA_SAMPLERS
from pinas_mm.space import SearchSpace

# Small numbers, so that each sampler soon does what makes it itself.
SAMPLERS = {
    "EvolutionSampler": dict(population=6, tournament=3, crossover=0.5),
    "LaNASSampler": dict(startup=6, leaf=2),
    "PredictorSampler": dict(startup=6),
    **{name: {} for name in OPTUNA_SAMPLERS},
    "GPSampler": dict(n_startup_trials=4),
    "NSGAIISampler": dict(population_size=6),
    "NSGAIIISampler": dict(population_size=6),
    "TPESampler": dict(n_startup_trials=6),
}
MASKED = SPACES["masked"]
CHOICES = (0, 2, 3), (0, 2, 3), (1, 4), (0, 3, 4)
# Optuna's Gaussian process takes a second a proposal.
FEW = (2, 3), (3,), (1, 4), (0, 4)
WORTH = np.random.default_rng(0).normal(size=(4, 5))


def score(arch):
    return float(WORTH[np.arange(4), list(arch)].sum())


def search(name, space, budget=None):
    """All that a sampler proposes until there is nothing left, and the best of it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = build_sampler(dict(type=name, **SAMPLERS[name]), space, budget)
    study, archs = optuna.create_study(sampler=sampler, direction="maximize"), []
    while True:
        try:
            trial = study.ask(distributions(space))
        except SpaceExhausted:
            return archs, tuple(study.best_params.values())
        archs.append(tuple(trial.params.values()))
        study.tell(trial, score(archs[-1]))


@pytest.mark.parametrize("name", SAMPLERS)
def test_all_that_is_allowed_is_proposed_once_and_the_best_is_found(name):
    choices = FEW if name == "GPSampler" else CHOICES
    space = SearchSpace.build({**MASKED.to_dict(), "allowed": choices})
    archs, best = search(name, space)
    assert sorted(archs) == list(itertools.product(*choices))
    assert best == max(archs, key=score)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "GPSampler"])
def test_within_a_budget_too(name):
    costs, everything = list(count_costs(MASKED, 16).costs.values()), MASKED.everything()
    macs = costs[1].of(everything)
    bound = np.median(macs)
    archs, best = search(name, MASKED, Budget(MASKED, costs, [f"macs<={int(bound)}"]))
    assert sorted(archs) == sorted(map(tuple, everything[macs <= bound].tolist()))
    assert best == max(archs, key=score)


@pytest.mark.parametrize("name", ["EvolutionSampler", "LaNASSampler", "PredictorSampler"])
def test_the_best_comes_before_most_others(name):
    archs, best = search(name, MASKED)
    assert archs.index(best) < len(archs) // 2
