"""Three workers on one record, one of them killed: every trial is finished once, none is lost."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter

import pytest
import torch
from conftest import CONFIGS, move_apart
from mmengine.config import Config
from mmengine.registry import init_default_scope
from optuna.trial import TrialState

from pinas_mm.engine.run_search import search_loaders
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.build import build_evaluator
from pinas_mm.search.worker import work

pytestmark = pytest.mark.slow

TRIALS = 30
COMPLETE = (TrialState.COMPLETE,)


@pytest.fixture(scope="module")
def evaluator(digits):
    """A real one: the small probe on the small digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(digits))
        cfg = Config.fromfile(CONFIGS / "small_search.py")
    cfg.model.model.backbone.pop("init_cfg")
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    move_apart(model)
    names = ("score", "dataloader", "images", "calibration_dataloader", "calibration_batches")
    settings = {**cfg.search, **search_loaders(cfg)}
    return build_evaluator(model, seed=0, **{name: settings[name] for name in names})


def run_worker(open_record, url, study, evaluator, told) -> None:
    record = open_record(url, study=study, trials=TRIALS, objectives="accuracy/top1", grace=2)
    told.put(os.getpid())
    work(record, evaluator, batch=3)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("round_number", range(5))
def test_every_trial_is_finished_once(database, round_number, evaluator, open_record, request):
    url = request.getfixturevalue(database)
    study = f"round_{round_number}"
    open_record(url, study=study, trials=TRIALS, objectives="accuracy/top1", grace=2)
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    arguments = open_record, url, study, evaluator, told
    workers = [context.Process(target=run_worker, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    victim = told.get(timeout=60)
    # A random moment of the search, not of the clock: a fast machine must not be done before it.
    watched = open_record(url, study=study, trials=TRIALS, objectives="accuracy/top1", grace=2)
    share, delay = random.randrange(TRIALS // 2), random.uniform(0, 0.05)
    end = time.monotonic() + 60
    while len(watched.study.get_trials(deepcopy=False, states=COMPLETE)) < share:
        assert time.monotonic() < end, "no trial is finished"
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(victim, signal.SIGKILL)
    for worker in workers:
        worker.join(timeout=120)
    codes = sorted(worker.exitcode for worker in workers)
    assert codes == [-signal.SIGKILL, 0, 0], f"killed {delay:.3f} s after {share} trials"

    record = open_record(url, study=study, trials=TRIALS, objectives="accuracy/top1", grace=2)
    trials = record.study.trials
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": TRIALS}, (share, delay)
    archs = [tuple(trial.params.values()) for trial in trials]
    assert len(set(archs)) == TRIALS
    assert record.finished()
    # What several processes wrote is what one alone would have.
    alone = evaluator.evaluate([record.space.arch(arch) for arch in archs])
    assert [trial.user_attrs["metrics"] for trial in trials] == alone


class Deadly:
    """Scores, and dies as by the system's out-of-memory killer where it gets one architecture."""

    def __init__(self, poison):
        self.poison = poison

    def evaluate(self, archs, on_batch=None, progress=None):
        if self.poison in archs:
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"score": float(sum(arch))} for arch in archs]


def work_until_death(open_record, url, poison) -> None:
    work(open_record(url, grace=2), Deadly(poison), batch=8)


def test_an_architecture_that_kills_its_workers_takes_no_other_with_it(open_record, sqlite):
    watched = open_record(sqlite, grace=2)
    claims = watched.claim(8)
    poison = claims[5].arch
    watched.release(claims)
    context = multiprocessing.get_context("fork")
    codes = []
    while not watched.finished():
        worker = context.Process(target=work_until_death, args=(open_record, sqlite, poison))
        worker.start()
        worker.join(timeout=120)
        codes.append(worker.exitcode)
    assert codes == [-signal.SIGKILL] * 5 + [0]
    states = Counter(trial.state.name for trial in watched.study.trials)
    assert states == {"COMPLETE": 20, "FAIL": 1}
    (failed,) = (t for t in watched.study.trials if t.state == TrialState.FAIL)
    assert tuple(failed.params.values()) == poison
