"""No sampler proposes anything twice or outside the budget, whatever the space and the scores."""

import drawn
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.record.encoding import distributions
from pinas_mm.search.samplers import SpaceExhausted, build_sampler

# Small numbers, so that each sampler soon does what makes it itself.
SAMPLERS = {
    "EvolutionSampler": dict(population=4, tournament=2, crossover=0.5),
    "LaNASSampler": dict(startup=4, leaf=2),
    "PredictorSampler": dict(startup=4),
    "NSGAIISampler": dict(population_size=4),
    "RandomSampler": {},
    "TPESampler": dict(n_startup_trials=4),
}
scores = st.sampled_from((0.0, 1.0, -1e30, float("inf"))) | st.floats(-1, 1)
ends = st.sampled_from((TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED))


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=4)
@given(st.data())
def test_each_feasible_architecture_is_proposed_once(name, data):
    # Where nothing is to be chosen Optuna asks no sampler.
    spaces = drawn.spaces(most_blocks=3, most_candidates=3).filter(lambda space: space.size > 1)
    space = data.draw(spaces)
    cost = data.draw(drawn.costs(space))
    archs = drawn.everything(space)
    bound = drawn.summed(cost, data.draw(st.sampled_from(archs)))
    met = {arch for arch in archs if drawn.summed(cost, arch) <= bound}
    budget = Budget(space, [cost], [Constraint("macs", "<=", float(bound))])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = build_sampler(dict(type=name, **SAMPLERS[name]), space, budget)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    proposed = []
    for _ in met:
        trial = study.ask(distributions(space))
        proposed.append(tuple(trial.params.values()))
        state, score = data.draw(ends), data.draw(scores)
        trial.report(score, step=1)
        study.tell(trial, score if state == TrialState.COMPLETE else None, state=state)
    assert sorted(proposed) == sorted(met)
    with pytest.raises(SpaceExhausted):
        study.ask(distributions(space))
