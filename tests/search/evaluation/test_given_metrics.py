"""What a score of one's own gives as metrics: numbers, whoever's they are, and nothing else."""

import json

import numpy as np
import pytest
import torch
from evaluations import batches, classifier

from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import ProbeScore, SynFlowScore

IMAGES = batches(9, 4, seed=2)


class Answers(ProbeScore):
    """Gives what it is told to, whatever was seen."""

    def __init__(self, answer):
        super().__init__()
        self.names, self.answer = None, answer

    def metrics(self, tally):
        return self.answer


@pytest.mark.parametrize(
    "number",
    [torch.tensor(0.5), torch.tensor(0.5).requires_grad_(), np.float32(0.5), np.array(0.5)],
)
def test_a_number_of_torch_or_numpy_is_a_number(space, number):
    evaluator, seen = Evaluator(classifier(space), Answers({"a": number}), None, IMAGES), []
    assert evaluator.names == ("a",)
    found = evaluator.evaluate(["000"], lambda done, total, partial: seen.extend(partial) or ())
    assert json.loads(json.dumps([*found, *seen])) == [{"a": 0.5}] * (1 + len(IMAGES))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"margin": torch.zeros(3)}, r"margin is a Tensor of shape \(3,\): return one number"),
        ({"margin": np.zeros(1)}, r"margin is a ndarray of shape \(1,\)"),
        ({"margin": "0.5"}, "margin is a str: return one number"),
        ({"margin": None}, "margin is a NoneType"),
        ({3: 0.5}, "3 is a float: .* under a name that is text"),
        (torch.tensor(0.5), "gives a Tensor: return a dict"),
    ],
)
def test_metrics_that_are_no_numbers_are_refused(space, answer, said):
    evaluator = Evaluator(classifier(space), Answers(answer), None, IMAGES)
    for call in (lambda: evaluator.names, lambda: evaluator.evaluate(["000"])):
        with pytest.raises(UserError, match=rf"^Answers\.metrics:? {said}"):
            call()


def test_what_an_architecture_gives_by_itself_is_held_to_the_same(build_pinas, monkeypatch):
    evaluator = Evaluator(build_pinas(), SynFlowScore(), None, IMAGES)
    monkeypatch.setattr(SynFlowScore, "measure", lambda self, arch: {"a": torch.tensor(0.5)})
    assert evaluator.evaluate(["000"]) == [{"a": 0.5}]
    monkeypatch.setattr(SynFlowScore, "measure", lambda self, arch: 0.5)
    with pytest.raises(UserError, match=r"SynFlowScore\.measure gives a float"):
        evaluator.evaluate(["000"])
