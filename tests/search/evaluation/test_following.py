"""Neck and head have batch norms too: each architecture is scored with statistics of its own in
the whole model, as if it were alone.
"""

import copy

import pytest
import torch
from conftest import pinas_model
from evaluations import CLASSES, assert_unchanged, batches, shaken, snapshot
from mmengine.evaluator import BaseMetric
from mmengine.evaluator import Evaluator as Metrics
from mmpretrain.models import ClsDataPreprocessor
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_mm.algorithms.teacher import embed
from pinas_mm.engine import SupernetValLoop
from pinas_mm.registry import METRICS, MODELS
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import CrossPathScore, PredictScore, ProbeScore
from pinas_mm.search.evaluation.scores.cross_path import SCORING, STUDENT, TEACHER

# Equal ones, common beginnings, and such with nothing in common.
ARCHS = ["000", "321", "320", "310", "012", "321", "001"]
CALIBRATION = batches(6, 6, 5, seed=1)
IMAGES = batches(9, 4, seed=2)
HIDDEN = 12


class Double(ClsDataPreprocessor):
    """Images in the networks' precision."""

    def forward(self, data, training=False):
        return {k: v.double() if k == "inputs" else v for k, v in super().forward(data).items()}


class NormedNeck(nn.Module):
    """A norm of feature maps and one of vectors."""

    def __init__(self, channels):
        super().__init__()
        self.before, self.after = nn.BatchNorm2d(channels), nn.BatchNorm1d(channels)

    def forward(self, feats):
        return (self.after(self.before(feats[-1]).relu().mean((2, 3))),)


@METRICS.register_module()
class Scores(BaseMetric):
    """Sums of the classes' scores: they show what a count of hits would hide."""

    def process(self, data_batch, data_samples):
        self.results += [sample["pred_score"] for sample in data_samples]

    def compute_metrics(self, results):
        sums = torch.stack(results).sum(0)
        return {f"class{index}": float(value) for index, value in enumerate(sums)}


@METRICS.register_module()
class Hits(BaseMetric):
    """What ProbeScore counts, in mmpretrain's words."""

    def process(self, data_batch, data_samples):
        self.results += [bool(s["pred_label"] == s["gt_label"]) for s in data_samples]

    def compute_metrics(self, results):
        return {"top1": 100 * sum(results) / len(results)}


METRIC = [dict(type="pinas_mm.Scores"), dict(type="pinas_mm.Hits")]


def necks(space):
    channels = space.out_channels[-1]
    nonlinear = dict(
        type="NonLinearNeck",
        in_channels=channels,
        hid_channels=HIDDEN,
        out_channels=channels,
        norm_cfg=dict(type="BN1d"),
    )
    return {
        "mmpretrain's neck": (nonlinear, None),
        "a neck of one's own": (NormedNeck(channels), None),
        "a norm in the head": (dict(type="GlobalAveragePooling"), nn.BatchNorm1d(channels)),
        "both": (nonlinear, nn.BatchNorm1d(channels)),
    }


def classifier(space, kind, **backbone):
    """A classifier with batch norms after the backbone, in float64."""
    torch.manual_seed(0)
    neck, norm = necks(space)[kind]
    inner = dict(
        type="ImageClassifier",
        _scope_="mmpretrain",
        backbone=dict(type="pinas_mm.PiNASSupernet", space=space.to_dict(), **backbone),
        neck=neck,
        head=dict(type="LinearClsHead", num_classes=CLASSES, in_channels=space.out_channels[-1]),
        data_preprocessor=Double(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0]),
    )
    model = MODELS.build(dict(type="pinas_mm.SinglePath", model=inner))
    if norm is not None:
        fc = model.model.head.fc
        model.model.head.fc = nn.Sequential(norm, fc)
    return shaken(model).double()


KINDS = ["mmpretrain's neck", "a neck of one's own", "a norm in the head", "both"]


def alone(model, arch):
    """The long way: every batch norm averages over the calibration batches along the path."""
    model = copy.deepcopy(model).eval()
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
    metrics = Metrics(copy.deepcopy(METRIC))
    with torch.no_grad(), model.backbone.on(arch):
        for batch in CALIBRATION:
            model.model.test_step(batch)
        model.eval()
        for batch in IMAGES:
            metrics.process(data_samples=model.model.test_step(batch), data_batch=batch)
    return metrics.evaluate(sum(len(batch["inputs"]) for batch in IMAGES))


def close(metrics):
    return pytest.approx(metrics, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory", [0, "1G"])
def test_together_are_as_each_alone_the_long_way(space, kind, memory):
    model = classifier(space, kind)
    before = snapshot(model)
    found = Evaluator(model, PredictScore(METRIC), CALIBRATION, IMAGES, memory).evaluate(ARCHS)
    assert_unchanged(model, before)
    expected = [alone(model, arch) for arch in ARCHS]
    assert len({metrics["class0"] for metrics in expected}) == len(set(ARCHS))
    for arch, mine, theirs in zip(ARCHS, found, expected, strict=True):
        assert mine == close(theirs), arch
    # Of what follows, the statistics matter: those of another architecture give other numbers.
    assert found[0] != close(found[4])


@pytest.mark.parametrize("kind", KINDS)
def test_the_probe_counts_what_it_would_alone(space, kind):
    model = classifier(space, kind)
    found = Evaluator(model, ProbeScore(topk=1), CALIBRATION, IMAGES).evaluate(ARCHS)
    assert [metrics["accuracy/top1"] for metrics in found] == pytest.approx(
        [alone(model, arch)["top1"] for arch in ARCHS]
    )


@pytest.mark.parametrize(
    "backbone",
    [
        dict(norm_cfg=dict(type="GN", num_groups=2)),
        # The first two architectures that differ in the last stage only end at the same place.
        dict(out_indices=(0,)),
        dict(frozen_stages=1, norm_eval=True),
    ],
    ids=["no norms before", "first stage", "frozen"],
)
def test_whatever_the_supernet_is(space, backbone):
    model = classifier(space, "a neck of one's own", **backbone)
    before = snapshot(model)
    found = Evaluator(model, PredictScore(METRIC), CALIBRATION, IMAGES).evaluate(ARCHS)
    assert_unchanged(model, before)
    for arch, mine in zip(ARCHS, found, strict=True):
        assert mine == close(alone(model, arch)), arch


def test_dropped_architectures_leave_the_others_their_statistics(space):
    model = classifier(space, "both")
    evaluator = Evaluator(model, PredictScore(METRIC), CALIBRATION, IMAGES)
    found = evaluator.evaluate(ARCHS, on_batch=lambda done, *_: {0, 2, 5} if done == 9 else ())
    for index in (1, 3, 4, 6):
        assert found[index] == close(alone(model, ARCHS[index]))
    assert found[0] != close(alone(model, ARCHS[0]))


class Loader(list):
    """Batches that are a data loader's."""

    @property
    def dataset(self):
        return [image for batch in self for image in batch["inputs"]]


@pytest.mark.parametrize("kind", ["a neck of one's own", "both"])
def test_the_validation_of_a_training_gives_the_same_numbers(runner, space, kind):
    run = runner("small_linear.py", **{"model.model.backbone.init_cfg": None})
    run.model = model = classifier(space, kind)
    before = snapshot(model.eval())
    loop = SupernetValLoop(
        run,
        Loader(IMAGES),
        Metrics(METRIC),
        calibration_dataloader=run.cfg.calibration_dataloader,
        calibration_batches=len(CALIBRATION),
        archs=ARCHS,
    )
    loop.calibration = CALIBRATION
    result = loop.run()
    assert_unchanged(model, before)
    found = Evaluator(model, PredictScore(METRIC), CALIBRATION, IMAGES).evaluate(ARCHS)
    for name in found[0]:
        values = torch.tensor([metrics[name] for metrics in found])
        assert result[name] == pytest.approx(float(values.mean()), rel=1e-6)
        assert result[f"{name}_std"] == pytest.approx(float(values.std(correction=0)), rel=1e-5)


def embedded(networks, calibration, views, arch):
    """Unit embeddings of batches along a path, with statistics of the calibration batches."""
    backbone, neck = copy.deepcopy(networks)
    norms = [m for part in (backbone, neck) for m in part.modules() if isinstance(m, _BatchNorm)]
    for module in (backbone.eval(), neck.eval()):
        assert any(norm in module.modules() for norm in norms)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for images in calibration:
            embed(backbone, neck, images, arch)
        for norm in norms:
            norm.eval()
        return [embed(backbone, neck, images, arch) for images in views]


def test_the_label_free_score_of_student_and_teacher_with_norms_in_their_necks(space):
    neck = dict(_delete_=True, **necks(space)["mmpretrain's neck"][0])
    neck |= dict(hid_channels=HIDDEN, out_channels=16)
    model = shaken(pinas_model(neck=neck)).double()
    score = CrossPathScore(partners=3)
    before = snapshot(model)
    found = Evaluator(model, score, CALIBRATION, IMAGES).evaluate(ARCHS)
    assert_unchanged(model, before)
    calibration = [score.prepare_calibration(batch, n)[0] for n, batch in enumerate(CALIBRATION)]
    ours, theirs = (
        [score.view(batch, n, SCORING, whose) for n, batch in enumerate(IMAGES)]
        for whose in (STUDENT, TEACHER)
    )
    keys = [embedded(model.teacher_networks, calibration, theirs, path) for path in score.paths()]
    for arch, metrics in zip(ARCHS, found, strict=True):
        path = space.arch(arch)
        queries = embedded((model.backbone, model.neck), calibration, ours, path)
        loss = hits = 0
        for of_path in keys:
            for query, key in zip(queries, of_path, strict=True):
                loss += float(model.head.pair(query, key)) * len(query)
            nearest = (torch.cat(queries) @ torch.cat(of_path).T).argmax(1)
            hits += int((nearest == torch.arange(len(nearest))).sum())
        number = len(nearest) * len(keys)
        assert metrics["cross_path/score"] == pytest.approx(-loss / number, rel=1e-10)
        assert metrics["cross_path/retrieval"] == pytest.approx(100 * hits / number)
    assert len({metrics["cross_path/score"] for metrics in found}) == len(set(ARCHS))
