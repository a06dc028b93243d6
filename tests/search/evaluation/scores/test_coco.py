"""What COCO's metric leaves to those who ask it."""

import copy

from mmengine.evaluator import Evaluator
from mmengine.fileio import dump

from pinas_mm.search.evaluation.scores.coco import shared_annotations


def test_copies_of_metrics_share_annotations_and_nothing_else(tmp_path):
    box = dict(id=1, image_id=0, category_id=1, bbox=[1, 2, 9, 9], area=81, iscrowd=0)
    images, categories = [dict(id=0, height=48, width=64)], [dict(id=1, name="a")]
    content = dict(images=images, annotations=[box], categories=categories)
    dump(content, tmp_path / "truth.json")
    evaluator = Evaluator(
        [
            dict(type="mmdet.CocoMetric", ann_file=str(tmp_path / "truth.json")),
            dict(type="mmpretrain.Accuracy"),
        ]
    )
    evaluator.metrics[0].results.append("of one architecture")
    shared = shared_annotations(evaluator.metrics)
    copies = [copy.deepcopy(evaluator, dict(shared)) for _ in range(2)]
    for one in copies:
        own = one.metrics[0]
        assert own._coco_api is evaluator.metrics[0]._coco_api
        assert own.results == evaluator.metrics[0].results
        assert own.results is not evaluator.metrics[0].results
        assert one.metrics[1] is not evaluator.metrics[1]
    assert copies[0].metrics[0].results is not copies[1].metrics[0].results
