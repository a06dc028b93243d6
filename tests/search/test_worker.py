"""One worker: waiting for others, ending, pruning, giving back what an error left."""

import threading
import time

import pytest

from pinas_mm.errors import UserError
from pinas_mm.search import worker
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


def test_metric_that_the_score_does_not_give_is_named_while_pruning(open_record, sqlite):
    record = open_record(sqlite)
    with pytest.raises(UserError, match=r"objective score is not among .*: other"):
        work(record, Made("other"), batch=4, prunes=True)
