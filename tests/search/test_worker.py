"""One worker: waiting for others, ending, pruning, giving back what an error left."""

import multiprocessing
import threading
import time

import optuna
import pytest
import torch
from single_paths import image_classifier, single_path
from torch import distributed

from pinas_mm.errors import UserError
from pinas_mm.search import worker
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import ArchScore
from pinas_mm.search.record.recovery import MAX_ATTEMPTS
from pinas_mm.search.worker import work


class Made:
    """Scores by the sum of choices, in two halves of the images."""

    def __init__(self, name="score", fault=None):
        self.name, self.fault, self.seen = name, fault, []

    def evaluate(self, archs, on_batch=None, progress=None):
        self.seen += archs
        if self.fault is not None:
            raise self.fault
        metrics = [{self.name: float(sum(arch))} for arch in archs]
        if on_batch is not None:
            on_batch(1, 2, metrics)
        progress(1.0)
        return metrics


def test_works_until_the_record_is_full(open_record, sqlite):
    record, evaluator, told = open_record(sqlite), Made(), []
    work(record, evaluator, batch=8, progress=told.append)
    assert len(evaluator.seen) == len(set(evaluator.seen)) == 20
    assert told == [1.0] * 3
    assert record.finished()


def test_whether_to_stop_is_asked_before_each_batch(open_record, sqlite):
    answers = iter([True, False])
    record = open_record(sqlite)
    work(record, Made(), batch=8, should_stop=lambda: not next(answers))
    assert record.findings().states["complete"] == 8


class Odd(Made):
    """Has no number for the first architecture of all."""

    def evaluate(self, archs, on_batch=None, progress=None):
        metrics = super().evaluate(archs, on_batch, progress)
        if self.seen == archs:
            metrics[0] = {self.name: float("nan")}
        return metrics


def test_the_first_without_a_number_takes_no_other_with_it(open_record, sqlite):
    record = open_record(sqlite)
    work(record, Odd(), batch=4)
    states = record.findings().states
    assert (states["complete"], states["fail"], states["waiting"]) == (20, 1, 0)


def test_waits_for_another_workers_trials_and_says_so(open_record, sqlite, monkeypatch):
    monkeypatch.setattr(worker, "POLL", 0.05)
    record, other, told = open_record(sqlite), open_record(sqlite), []
    claims = other.claim(20)
    waiting = threading.Thread(target=work, args=(record, Made(), 8, told.append))
    waiting.start()
    deadline = time.monotonic() + 60
    while len(told) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert waiting.is_alive()
    for claim in claims:
        other.finish(claim, {"score": 1.0})
    waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert set(told) == {0.0}


@pytest.mark.parametrize("fault", [KeyError("x"), KeyboardInterrupt(), SystemExit(143)])
def test_an_error_gives_the_claims_back(open_record, sqlite, fault):
    record = open_record(sqlite)
    with pytest.raises(type(fault)):
        work(record, Made(fault=fault), batch=4)
    assert record.findings().states["waiting"] == 4


class Poisoned(Made):
    """Raises where it gets one of some architectures, of a number of all that it has seen."""

    def __init__(self, numbers, fault):
        super().__init__()
        self.numbers, self.poison, self.alone, self.raised = numbers, set(), [], fault

    def evaluate(self, archs, on_batch=None, progress=None):
        for arch in archs:
            if arch not in self.seen:
                self.seen.append(arch)
                if len(self.seen) - 1 in self.numbers:
                    self.poison.add(arch)
        if self.poison & set(archs):
            self.alone += archs if len(archs) == 1 else []
            raise self.raised
        return [{self.name: float(sum(arch))} for arch in archs]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("numbers", [{5}, {5, 6}, {19}])
def test_an_architecture_that_raises_is_given_up_alone(
    open_record, sqlite, printed, batch, numbers
):
    record, evaluator = open_record(sqlite), Poisoned(numbers, RuntimeError("out of\nmemory"))
    work(record, evaluator, batch)
    states = record.findings().states
    assert (states["complete"], states["fail"], states["waiting"]) == (20, len(numbers), 0)
    attempts = MAX_ATTEMPTS - (batch > 1)
    assert {arch: evaluator.alone.count(arch) for arch in evaluator.poison} == dict.fromkeys(
        evaluator.poison, attempts
    )
    out = printed()
    assert "raised RuntimeError: out of (test_worker.py:" in out
    assert out.count("no result after 5 attempts: failed") == len(numbers)


def test_of_the_first_batch_one_that_raises_ends_few_runs(open_record, sqlite):
    evaluator, ended = Poisoned({0}, KeyError("x")), 0
    while ended < 9:
        record = open_record(sqlite)
        try:
            work(record, evaluator, batch=4)
            break
        except KeyError:
            ended += 1
    # With the batch, and alone: then the others are tried before it.
    assert ended == 2
    states = record.findings().states
    assert (states["complete"], states["fail"]) == (20, 1)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_worker_that_breaks_does_not_fail_all_that_is_left(open_record, sqlite, batch):
    record = open_record(sqlite)
    work(record, Made(), 4, should_stop=lambda: record.findings().states["complete"] > 0)
    evaluator = Made(fault=RuntimeError("CUDA error"))
    with pytest.raises(RuntimeError, match="CUDA error"):
        work(record, evaluator, batch)
    assert record.findings().states["fail"] <= 2
    work(record, Made(), 4)
    assert record.findings().states["complete"] == 20


@pytest.mark.parametrize("fault", [UserError("x"), KeyboardInterrupt(), SystemExit(143)])
def test_what_is_no_architectures_fault_counts_against_none(open_record, sqlite, fault):
    record = open_record(sqlite)
    work(record, Made(), 4, should_stop=lambda: record.findings().states["complete"] > 0)
    with pytest.raises(type(fault)):
        work(record, Made(fault=fault), batch=4)
    waiting = [trial for trial in record.study.trials if trial.state.name == "WAITING"]
    assert len(waiting) == 4
    assert not any("died" in trial.user_attrs for trial in waiting)


def test_what_the_record_raises_counts_against_no_architecture(open_record, sqlite, monkeypatch):
    record = open_record(sqlite)
    work(record, Made(), 4, should_stop=lambda: record.findings().states["complete"] > 0)

    def tell(*args, **options):
        raise ValueError("a bug in a sampler's after_trial")

    monkeypatch.setattr(record.study, "tell", tell)
    evaluator = Made()
    with pytest.raises(ValueError, match="after_trial"):
        work(record, evaluator, batch=4)
    assert len(evaluator.seen) == 4
    waiting = [trial for trial in record.study.trials if trial.state.name == "WAITING"]
    assert len(waiting) == 4
    assert not any("died" in trial.user_attrs for trial in waiting)


class Odder(ArchScore):
    """Scores by the sum of choices; one architecture raises, on the one rank that has it."""

    names = ("score",)

    def measure(self, arch):
        if arch == self.backbone.space.arch("123"):
            raise RuntimeError("out of memory")
        return {"score": float(sum(arch))}


def work_on_rank(rank, folder, open_record, url, space):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    images = [dict(inputs=torch.zeros(2, 3, 16, 16), data_samples=[])]
    evaluator = Evaluator(single_path(image_classifier(space)), Odder(), [], images)
    work(None if rank else open_record(url, trials=1000), evaluator, batch=4)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_what_one_rank_raises_all_ranks_go_on_after(open_record, sqlite, space, tmp_path):
    context = multiprocessing.get_context("fork")
    arguments = tmp_path, open_record, sqlite, space
    ranks = [context.Process(target=work_on_rank, args=(rank, *arguments)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=120)
    assert [process.exitcode for process in ranks] == [0, 0]
    states = open_record(sqlite).findings().states
    assert (states["complete"], states["fail"]) == (space.size - 1, 1)


class Numberless(Made):
    """Of every third architecture no number, from the first images or from the last ones on."""

    def __init__(self, late, value):
        super().__init__()
        self.late, self.value, self.numberless = late, value, set()

    def evaluate(self, archs, on_batch=None, progress=None):
        without = {arch for arch in archs if sum(arch) % 3 == 0}
        self.numberless |= without
        metrics = [{"score": float(sum(arch))} for arch in archs]
        last = [
            {"score": self.value} if a in without else m
            for a, m in zip(archs, metrics, strict=True)
        ]
        dropped = on_batch(1, 2, metrics if self.late else last)
        return [m if i in dropped and self.late else last[i] for i, m in enumerate(metrics)]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_with_a_pruner_what_has_no_number_takes_no_place(open_record, sqlite, late, value):
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    record, evaluator = open_record(sqlite, pruner=pruner), Numberless(late, value)
    work(record, evaluator, batch=2, prunes=True)
    found = record.findings()
    states = found.states
    assert states["pruned"] > 0
    assert states["complete"] + states["pruned"] == 20
    assert not evaluator.numberless & {e.arch for e in found.evaluated}
    if not late:
        assert states["fail"] == len(evaluator.numberless)


def test_a_trial_that_was_given_up_while_pruning_ends_nothing(open_record, sqlite, printed):
    pruner = optuna.pruners.MedianPruner(n_startup_trials=0)
    record, other = open_record(sqlite, pruner=pruner), open_record(sqlite, pruner=pruner)

    class Suspended(Made):
        def evaluate(self, archs, on_batch=None, progress=None):
            if not self.seen:
                # As after more than the grace period without a sign of life.
                state = optuna.trial.TrialState.WAITING
                other._access.locked(lambda: other._storage.set_trial_state_values(1, state))
                (claim,) = other.claim(1)
                assert other.finish(claim, {"score": 7.0})
            return super().evaluate(archs, on_batch, progress)

    work(record, Suspended(), batch=2, prunes=True)
    assert "is finished already, by another worker" in printed()
    assert record.study.trials[0].value == 7.0
    states = record.findings().states
    assert states["complete"] + states["pruned"] == 20


def test_metric_that_the_score_does_not_give_is_named_while_pruning(open_record, sqlite):
    record = open_record(sqlite)
    with pytest.raises(UserError, match=r"objective score is not among .*: other"):
        work(record, Made("other"), batch=4, prunes=True)
