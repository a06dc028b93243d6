"""What every sampler promises: nothing twice, nothing infeasible, the same again from a record."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.record.encoding import arch_of, distributions, parameters
from pinas_mm.search.samplers import SpaceExhausted, build_sampler
from pinas_mm.search.samplers.gaussian_process import ArchProcess
from pinas_mm.search.samplers.library import OPTUNA_SAMPLERS
from pinas_mm.search.samplers.predictor import chosen
from pinas_mm.space import SearchSpace

OURS = ["EvolutionSampler", "LaNASSampler", "PredictorSampler"]
ALL = [*OURS, *OPTUNA_SAMPLERS]
# Optuna's Gaussian process takes a second a proposal; a test of its own covers it.
FAST = [name for name in ALL if name != "GPSampler"]
# Small numbers, so that each sampler soon does what makes it itself.
EARLY = {
    "EvolutionSampler": dict(population=6, tournament=3, crossover=0.5),
    "LaNASSampler": dict(startup=6, leaf=2),
    "PredictorSampler": dict(startup=6),
    "NSGAIISampler": dict(population_size=6),
    "NSGAIIISampler": dict(population_size=6),
    "TPESampler": dict(n_startup_trials=6),
    "GPSampler": dict(n_startup_trials=6),
}


def built(name, space, budget=None, seed=0):
    return build_sampler(dict(type=name, **EARLY.get(name, {})), space, budget, seed=seed)


def study_of(sampler, directions=("maximize",)):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, directions=directions)


def ask(study, space):
    trial = study.ask(distributions(space))
    return trial, tuple(trial.params.values())


def score(arch):
    return float(sum(arch)) + 0.1 * arch[0] * arch[-1]


def search(study, space, number):
    archs = []
    for _ in range(number):
        trial, arch = ask(study, space)
        study.tell(trial, [score(arch)] * len(study.directions))
        archs.append(arch)
    return archs


@pytest.fixture(scope="module")
def tiny():
    """2 x 4 blocks: 16 architectures."""
    return SearchSpace(depths=(2,), widths=(64,), strides=(1,))


@pytest.mark.parametrize("name", FAST)
def test_everything_is_proposed_once_and_then_nothing(space, name):
    study = study_of(built(name, space))
    assert len(set(search(study, space, space.size))) == space.size
    with pytest.raises(SpaceExhausted, match="64"):
        ask(study, space)


def test_optunas_gaussian_process_exhausts_a_space_too(tiny):
    study = study_of(built("GPSampler", tiny))
    assert len(set(search(study, tiny, tiny.size))) == tiny.size
    with pytest.raises(SpaceExhausted):
        ask(study, tiny)


@pytest.mark.parametrize("name", FAST)
def test_only_what_is_feasible_is_proposed(space, name):
    costs = list(count_costs(space).costs.values())
    everything = np.indices((4, 4, 4)).reshape(3, -1).T
    bound = np.median(costs[1].of(everything))
    budget = Budget(space, costs, [f"macs<={int(bound)}"])
    feasible = {tuple(row) for row in everything[budget.feasible(everything)].tolist()}
    assert 0 < len(feasible) < 64
    study = study_of(built(name, space, budget))
    assert set(search(study, space, len(feasible))) == feasible
    with pytest.raises(SpaceExhausted):
        ask(study, space)


@pytest.mark.parametrize("name", FAST)
def test_proposals_follow_from_seed_and_record(space, name):
    study = study_of(built(name, space))
    search(study, space, 12)
    copy = study_of(built(name, space))
    copy.add_trials(study.get_trials())
    assert ask(study, space)[1] == ask(copy, space)[1]
    again = study_of(built(name, space))
    assert search(again, space, 12) == [tuple(arch_of(t, space)) for t in study.trials[:12]]
    other = study_of(built(name, space, seed=1))
    assert search(other, space, 12) != search(study_of(built(name, space)), space, 12)


@pytest.mark.parametrize("name", OURS)
def test_work_that_waits_or_runs_is_not_proposed_again(space, name):
    study = study_of(built(name, space))
    search(study, space, 10)
    queued = space.arch("000")
    for _ in range(20):
        ask(study, space)
    held = {tuple(arch_of(trial, space)) for trial in study.trials}
    if queued not in held:
        study.enqueue_trial(parameters(queued, space))
        assert ask(study, space)[1] == tuple(queued)
        held.add(tuple(queued))
    study.enqueue_trial(parameters(waiting := _absent(space, held), space))
    # Waiting trials are handed out first, so a proposal beside one is asked of the sampler itself.
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.number = 1000
    drawn = study.sampler.sample_relative(study, trial, distributions(space))
    assert tuple(drawn.values()) not in {*held, tuple(waiting)}
    assert len(held) == len([t for t in study.trials if t.state != TrialState.WAITING])


@pytest.mark.parametrize("name", OURS)
def test_failed_architectures_come_last(tiny, name):
    study = study_of(built(name, tiny))
    trial, failed = ask(study, tiny)
    study.tell(trial, state=TrialState.FAIL)
    assert failed not in search(study, tiny, 15)
    assert search(study, tiny, 1) == [failed]
    with pytest.raises(SpaceExhausted):
        ask(study, tiny)


@pytest.mark.parametrize("name", OURS)
def test_pruned_trials_count_with_their_last_value(space, name):
    study = study_of(built(name, space))
    for number in range(20):
        trial, arch = ask(study, space)
        if number % 2:
            trial.report(score(arch) - 1, step=1)
            trial.report(score(arch), step=2)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, score(arch))
    complete = study_of(built(name, space))
    for trial in study.trials:
        value = score(tuple(trial.params.values()))
        complete.add_trial(
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=value
            )
        )
    assert ask(study, space)[1] == ask(complete, space)[1]


@pytest.mark.parametrize("name", [*OURS, "NSGAIISampler", "TPESampler"])
def test_several_objectives(space, name):
    study = study_of(built(name, space), ("maximize", "minimize"))
    archs = []
    for _ in range(30):
        trial, arch = ask(study, space)
        study.tell(trial, (float(sum(arch)), float(arch[0])))
        archs.append(arch)
    assert len(set(archs)) == 30
    if name in OURS:
        # The best of the first objective, and of these the best of the second too.
        assert {(0, 3, 3), (3, 3, 3)} & set(archs)


@pytest.mark.parametrize("name", OURS)
def test_a_trial_that_has_a_part_of_its_architecture_gets_the_rest(space, name):
    study = study_of(built(name, space))
    archs = search(study, space, 20)
    study.enqueue_trial({"block_01": 2})
    arch = ask(study, space)[1]
    assert arch[1] == 2
    assert arch not in archs


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("value", [0.5, float("inf"), -1e30])
def test_degenerate_scores(space, name, value):
    study, archs = study_of(built(name, space)), set()
    for number in range(20):
        trial, arch = ask(study, space)
        study.tell(trial, value if number else 0.5)
        archs.add(space.arch(arch))
    assert len(archs) == 20


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(("blocks", "candidates"), [(1, 4), (1, 2), (2, 2), (16, 4)])
def test_spaces_of_all_shapes(name, blocks, candidates):
    space = SearchSpace(
        candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 42), (2, 2, 40)][:candidates],
        depths=(blocks,),
        widths=(64,),
        strides=(1,),
    )
    number = min(space.size, 20)
    assert len(set(search(study_of(built(name, space)), space, number))) == number


def _absent(space, held):
    return next(arch for arch in map(space.arch, np.ndindex(4, 4, 4)) if tuple(arch) not in held)


@pytest.mark.parametrize("name", [*OURS, "TPESampler"])
def test_hyperband_which_shows_a_part_of_the_study_brings_no_repeats(space, name):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=8, reduction_factor=2)
    study = optuna.create_study(sampler=built(name, space), pruner=pruner, directions=["maximize"])
    archs = []
    for _ in range(space.size):
        trial, arch = ask(study, space)
        trial.report(score(arch), step=1)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, score(arch))
        archs.append(arch)
    assert len(set(archs)) == space.size


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Nope", "unknown"),
        ("pinas_mm.Nope", "unknown"),
        ("BaseSampler", "cannot search"),
        ("CmaEsSampler", "cannot search"),
        ("GridSampler", "cannot search"),
        # It takes categorical parameters, and draws them as RandomSampler does.
        ("QMCSampler", "cannot search"),
    ],
)
def test_unknown_samplers_are_told_the_known_ones(space, name, fault):
    known = "EvolutionSampler.*PredictorSampler.*TPESampler"
    with pytest.raises(UserError, match=f"{name} .*{fault}.*{known}"):
        build_sampler(name, space)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="LaNASSampler", cats=1), "cats.*startup"),
        (dict(type="pinas_mm.EvolutionSampler", population=0), "population"),
        (dict(type="PredictorSampler", startup=1), "startup"),
        (dict(type="PredictorSampler", startup="many"), "many"),
        (dict(type="TPESampler", cats=1), "TPESampler.*cats"),
        (dict(type="NSGAIISampler", population_size=1), "population_size"),
        (dict(type="LaNASSampler", seed=3), "seed"),
        (dict(startup=3), "None"),
    ],
)
def test_bad_configs(space, config, message):
    with pytest.raises(UserError, match=message):
        build_sampler(config, space)


@pytest.mark.parametrize("number", [8, 20, 400])
def test_a_subset_has_the_best_the_newest_and_some_of_all(number):
    scores = np.random.default_rng(0).permutation(1000).astype(float)
    for known in (5, number, number + 1, 1000):
        kept = chosen(scores[:known], number)
        assert len(kept) == min(known, number)
        assert kept.tolist() == sorted(set(kept.tolist()))
    best = np.argsort(-scores)[: number // 2]
    assert set(best) <= set(kept)
    assert set(range(1000 - number // 4, 1000)) <= set(kept)
    others = np.sort(scores[sorted(set(kept) - set(best) - set(range(1000 - number // 4, 1000)))])
    assert others[0] < 10
    assert np.diff(others).max() < 2 * 1000 / len(others)


@pytest.mark.parametrize("directions", [("maximize",), ("maximize", "minimize")])
def test_a_gaussian_process_stays_small_and_is_seldom_fitted(space, monkeypatch, directions):
    fitted, conditioned = [], []
    fit, condition = ArchProcess.fit, ArchProcess.condition

    def counted_fit(self, archs, scores):
        fitted.append(len(archs))
        return fit(self, archs, scores)

    def counted_condition(self, hyper, archs, scores, pending):
        conditioned.append(len(archs))
        return condition(self, hyper, archs, scores, pending)

    monkeypatch.setattr(ArchProcess, "fit", counted_fit)
    monkeypatch.setattr(ArchProcess, "condition", counted_condition)

    def archs(subset):
        fitted.clear()
        conditioned.clear()
        config = dict(type="PredictorSampler", startup=8, subset=subset)
        return search(study_of(build_sampler(config, space), directions), space, 40)

    capped = archs(20)
    assert max(fitted) == max(conditioned) == 20
    assert archs(20) == capped
    whole = archs(400)
    assert whole == archs(40)
    # The first 20 results are all there is to know, capped or not.
    assert capped[:20] == whole[:20]
    # 8, 10, 12, 14, 17, 20, 24, 28, 33 and 38 results, in both views.
    assert len(fitted) <= 20
