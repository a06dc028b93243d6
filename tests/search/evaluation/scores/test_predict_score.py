"""What a whole model predicts scores architectures, as its library would test each alone."""

import copy

import pytest
import torch
from evaluations import assert_unchanged, batches, classifier, plain, snapshot
from mmengine.evaluator import Evaluator as Metrics
from mmengine.fileio import dump
from single_paths import single_path
from whole_models import (
    detections,
    detector,
    mask_rcnn,
    masked_detections,
    segmentor,
    segments,
    sliding_segmentor,
    with_instances,
)

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.images import Batches
from pinas_mm.search.evaluation.scores import PredictScore

ACCURACY = [
    dict(type="mmpretrain.Accuracy", topk=(1, 3)),
    dict(type="mmpretrain.SingleLabelMetric", items=["precision"], prefix="mean"),
]
CALIBRATION, IMAGES = batches(6, 6, seed=1), batches(9, 4, seed=2)
ARCHS = ["01-2", "32-0", "01-1", "01-2"]
CLASS_NAMES = dict(classes=("a", "b", "c", "d"))


def coco(**options):
    """COCO's metric of ground truth that the samples bring along."""
    return dict(type="mmdet.CocoMetric", **options)


KINDS = dict(
    FCOS=(detector, detections),
    mask_rcnn=(mask_rcnn, masked_detections),
    segmentor=(segmentor, segments),
    slide=(sliding_segmentor, segments),
)


def alone(model, arch, calibration, images, metrics):
    """The long way: the library's own test along a path, its statistics those of the path in a
    training step.
    """

    def run(numbered):
        number, batch = numbered
        data = model.model.data_preprocessor(copy.deepcopy(batch), True)
        torch.manual_seed(number)
        with model.backbone.on(arch):
            model.model(**data, mode="loss")

    metrics = Metrics(metrics)
    metrics.dataset_meta = CLASS_NAMES
    model.eval()
    with Statistics(model, run, enumerate(calibration)).applied(), torch.no_grad():
        for batch in images:
            batch = copy.deepcopy(batch)
            metrics.process(model.test_step(batch, arch), batch)
    return metrics.evaluate(sum(len(batch["inputs"]) for batch in images))


@pytest.mark.parametrize(("config", "data"), KINDS.values(), ids=KINDS)
def test_equal_to_the_library_s_test_of_each(space, config, data):
    model = single_path(config(space), torch.float32)
    torch.manual_seed(1)
    images, calibration = [data(), data()], [data() for _ in range(3)]
    metrics = [dict(type="pinas_mm.EveryNumber")]
    if data is segments:
        metrics.append(dict(type="mmseg.IoUMetric"))
    else:
        metrics.append(coco(metric=["bbox", "proposal"]))
        images = [with_instances(batch) for batch in images]
    before, score = snapshot(model), PredictScore(metrics)
    evaluator = Evaluator(model, score, calibration, Batches(lambda: images, [2, 2], CLASS_NAMES))
    names = evaluator.names
    found = evaluator.evaluate(ARCHS)
    assert_unchanged(model, before)
    assert score.whole == (config is sliding_segmentor)
    for arch, of_arch in zip(ARCHS, found, strict=True):
        assert tuple(of_arch) == names
        expected = alone(copy.deepcopy(model), arch, calibration, images, metrics)
        # To the bit: also sums over thousands of numbers.
        assert of_arch == expected
    assert found[0] == found[3]
    assert len({metrics["sum0"] for metrics in found}) == 3
    # In any company, and with the supernet's own statistics.
    assert evaluator.evaluate(ARCHS[1:2]) == found[1:2]
    (mixed,) = Evaluator(model, PredictScore(metrics), None, evaluator._images).evaluate(ARCHS[:1])
    assert mixed["sum0"] != found[0]["sum0"]


def test_a_classifier_s_metrics(space):
    model = classifier(space)
    evaluator = Evaluator(model, PredictScore(ACCURACY), CALIBRATION, IMAGES)
    assert evaluator.names == ("accuracy/top1", "accuracy/top3", "mean/precision")
    partial = []
    found = evaluator.evaluate(
        ["000", "321", "012"], on_batch=lambda done, total, now: partial.append(now) or ()
    )
    for arch, metrics in zip(["000", "321", "012"], found, strict=True):
        expected = plain(model, arch, CALIBRATION, IMAGES, ACCURACY)
        assert metrics == pytest.approx(expected, rel=1e-5)
        assert tuple(metrics) == evaluator.names
    # Metrics can be asked for again and again.
    assert partial[-1] == found
    assert partial[0] != found
    assert "pred_label" not in IMAGES[0]["data_samples"][0]


def test_nothing_detected_is_an_average_precision_of_0(space, capfd):
    config = mask_rcnn(space)
    config.test_cfg.rcnn.score_thr = 1.1
    model = single_path(config, torch.float32)
    images = Batches(lambda: [with_instances(masked_detections())], [2], CLASS_NAMES)
    evaluator = Evaluator(model, PredictScore(coco()), [masked_detections()], images)
    names = tuple(f"coco/bbox_mAP{end}" for end in ("", "_50", "_75", "_s", "_m", "_l"))
    assert evaluator.names == names
    (metrics,) = evaluator.evaluate(ARCHS[:1])
    assert metrics["coco/bbox_mAP"] == 0
    assert "Average Precision" not in capfd.readouterr().out


def test_only_the_images_scored_count(space, tmp_path):
    """An annotation file may list more than a search looks at."""
    batch = with_instances(detections())
    boxes = [sample.gt_instances.bboxes for sample in batch["data_samples"]]
    entries = [(n, box.tolist()) for n, of_image in enumerate(boxes) for box in of_image]
    entries.append((99, [0, 0, 5, 5]))
    annotations = [
        dict(
            id=n + 1,
            image_id=image,
            category_id=1,
            bbox=[x, y, right - x, bottom - y],
            area=(right - x) * (bottom - y),
            iscrowd=0,
        )
        for n, (image, (x, y, right, bottom)) in enumerate(entries)
    ]
    content = dict(
        images=[dict(id=n) for n in (0, 1, 99)],
        annotations=annotations,
        categories=[dict(id=n + 1, name=name) for n, name in enumerate("abcd")],
    )
    found = []
    for name, images in (("all.json", content["images"]), ("two.json", content["images"][:2])):
        kept = [a for a in annotations if a["image_id"] in {image["id"] for image in images}]
        dump(content | dict(images=images, annotations=kept), tmp_path / name)
        score = PredictScore(coco(ann_file=str(tmp_path / name)))
        model = single_path(detector(space), torch.float32)
        evaluator = Evaluator(model, score, [batch], Batches(lambda: [batch], [2], CLASS_NAMES))
        found.append(evaluator.evaluate(ARCHS))
    assert found[0] == found[1]


BOXES = [dict(id=1, image_id=0, category_id=1, bbox=[1, 2, 9, 9], area=81, iscrowd=0)]
KNOWN = [dict(id=n, file_name=f"{n}.jpg", height=48, width=64) for n in (0, 1)]


@pytest.mark.parametrize(
    ("images", "boxes", "said"),
    [
        (KNOWN, [], r"truth.json of CocoMetric has no annotations"),
        (KNOWN[:1], BOXES, r"truth.json .*does not have image 1, which .* reads from a/1.jpg"),
        ([KNOWN[0], KNOWN[1] | dict(file_name="b/2.jpg")], BOXES, r"has b/2.jpg of .* as image 1"),
        ([KNOWN[0] | dict(width=65), KNOWN[1]], BOXES, r"has 0.jpg of 65 x 48 pixels as image 0"),
        (None, None, r"no ann_file, and the search's images bring no instances along.*meta_keys"),
    ],
)
def test_ground_truth_of_other_images_is_refused(space, tmp_path, images, boxes, said):
    batch = detections()
    for number, sample in enumerate(batch["data_samples"]):
        # One is turned, as EXIF says.
        shape = (64, 48) if number else (48, 64)
        sample.set_metainfo(dict(img_id=number, img_path=f"a/{number}.jpg", ori_shape=shape))
    categories = [dict(id=n + 1, name=name) for n, name in enumerate("abcd")]

    def evaluate(**options):
        model = single_path(detector(space), torch.float32)
        images = Batches(lambda: [batch], [2], CLASS_NAMES)
        return Evaluator(model, PredictScore(coco(**options)), None, images).names

    def truth(images, boxes):
        content = dict(images=images, annotations=boxes, categories=categories)
        dump(content, tmp_path / "truth.json")
        return dict(ann_file=str(tmp_path / "truth.json"))

    assert "coco/bbox_mAP" in evaluate(**truth(KNOWN, BOXES))
    with pytest.raises(UserError, match=said):
        evaluate(**(truth(images, boxes) if images else {}))


@pytest.mark.parametrize(
    ("build", "data", "metric", "said"),
    [
        (detector, detections, dict(type="mmseg.IoUMetric"), "IoUMetric fails on what FCOS pred"),
        (detector, detections, dict(type="mmpretrain.Accuracy"), "pred_label"),
        (detector, detections, coco(metric=["bbox", "segm"]), "CocoMetric .*segm is not in res"),
        (segmentor, segments, coco(), "CocoMetric fails on what EncoderDecoder .*pred_sem_seg"),
    ],
)
def test_metrics_of_another_task_are_refused(space, build, data, metric, said):
    batch = data()
    batch = with_instances(batch) if build is detector else batch
    model = single_path(build(space), torch.float32)
    images = Batches(lambda: [batch], [2], CLASS_NAMES)
    with pytest.raises(UserError, match=said) as caught:
        tuple(Evaluator(model, PredictScore(metric), None, images).names)
    assert "is it of this task" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_input_is_refused(space):
    def evaluate(metrics, model=None):
        model = classifier(space) if model is None else model
        return Evaluator(model, PredictScore(metrics), CALIBRATION, IMAGES).evaluate(["000"])

    with pytest.raises(UserError, match="no metrics"):
        PredictScore([])
    with pytest.raises(UserError, match=r"Nope is unknown: .*mmpretrain\.Accuracy, .*mmseg\.IoU"):
        PredictScore(dict(type="Nope"))
    with pytest.raises(UserError, match="prefix"):
        evaluate([ACCURACY[0], ACCURACY[0]])
    single = dict(type="mmpretrain.SingleLabelMetric", items=["recall"], average=None)
    with pytest.raises(UserError, match="average"):
        evaluate(single)
    with pytest.raises(UserError, match=r"CocoMetric cannot be made .*gone.json"):
        evaluate(coco(ann_file="gone.json"))
    with pytest.raises(UserError, match=r"CocoMetric cannot be made .*metric_thing"):
        evaluate(coco(metric_thing=1))
    with pytest.raises(UserError, match="needs a pinas_mm"):
        evaluate(ACCURACY, classifier(space).backbone)
