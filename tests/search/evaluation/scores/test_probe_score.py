"""Hits counted on tensors are mmpretrain's Accuracy."""

import pytest
import torch
from evaluations import CLASSES, batches, classifier
from mmengine.evaluator import Evaluator as Metrics
from mmpretrain.structures import DataSample

from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.scores import ProbeScore


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_equal_to_the_metric(space, scale):
    model = classifier(space).eval()
    # So steep that most classes have probability 0.
    model.model.head.fc.weight.data *= scale
    score = ProbeScore(topk=(1, 3, 5))
    score.bind(model)
    tally = score.new_tally()
    metric = Metrics(dict(type="mmpretrain.Accuracy", topk=(1, 3, 5)))
    random = torch.Generator().manual_seed(1)
    for number, batch in enumerate(batches(40, 25)):
        inputs, labels = score.prepare(batch, number)
        feats = (torch.randn(len(inputs), 32, 2, 2, generator=random),)
        with torch.no_grad():
            score.update(tally, feats, labels)
            metric.process(model.model.head.predict(model.model.neck(feats), batch["data_samples"]))
    found, expected = score.metrics(tally), metric.evaluate(65)
    assert tuple(found) == score.names
    assert found == pytest.approx(expected, rel=1e-6)
    assert 0 < found["accuracy/top1"] < found["accuracy/top5"]


def test_bad_input_is_refused(space, build_pinas):
    with pytest.raises(UserError, match=r"configs/pinas_linear\.py"):
        ProbeScore().bind(build_pinas())
    with pytest.raises(UserError, match=f"{CLASSES} classes"):
        ProbeScore(topk=(1, 8)).bind(classifier(space))
    for topk in ((), 0, (1, "5")):
        with pytest.raises(UserError, match="topk"):
            ProbeScore(topk=topk)
    score = ProbeScore()
    score.bind(classifier(space))
    unlabelled = dict(batches(2)[0], data_samples=[DataSample(), DataSample()])
    with pytest.raises(UserError, match="one label for each image"):
        score.prepare(unlabelled, 0)
