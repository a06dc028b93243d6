"""Any metric of mmpretrain scores architectures, under its own names."""

import pytest
from evaluations import batches, classifier, plain

from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import MetricScore

METRICS = [
    dict(type="mmpretrain.Accuracy", topk=(1, 3)),
    dict(type="mmpretrain.SingleLabelMetric", items=["precision"], prefix="mean"),
]
CALIBRATION, IMAGES = batches(6, 6, seed=1), batches(9, 4, seed=2)


def test_equal_to_the_plain_version(space):
    model = classifier(space)
    evaluator = Evaluator(model, MetricScore(METRICS), CALIBRATION, IMAGES)
    assert evaluator.names is None
    partial = []
    found = evaluator.evaluate(
        ["000", "321", "012"], on_batch=lambda done, total, now: partial.append(now) or ()
    )
    for arch, metrics in zip(["000", "321", "012"], found, strict=True):
        expected = plain(model, arch, CALIBRATION, IMAGES, METRICS)
        assert metrics == pytest.approx(expected, rel=1e-5)
        assert set(metrics) == {"accuracy/top1", "accuracy/top3", "mean/precision"}
    # Metrics can be asked for again and again.
    assert partial[-1] == found
    assert partial[0] != found
    assert "pred_label" not in IMAGES[0]["data_samples"][0]


def test_bad_input_is_refused(space):
    def evaluate(metrics):
        return Evaluator(classifier(space), MetricScore(metrics), CALIBRATION, IMAGES).evaluate(
            ["000"]
        )

    with pytest.raises(UserError, match="no metrics"):
        MetricScore([])
    with pytest.raises(UserError, match=r"Nope is unknown: .*mmpretrain\.Accuracy, mmpretrain"):
        MetricScore(dict(type="Nope"))
    with pytest.raises(UserError, match="prefix"):
        evaluate([METRICS[0], METRICS[0]])
    single = dict(type="mmpretrain.SingleLabelMetric", items=["recall"], average=None)
    with pytest.raises(UserError, match="average"):
        evaluate(single)
