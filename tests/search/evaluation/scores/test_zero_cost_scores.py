"""Zero-cost scores are those of each path alone, and leave the model as it was, to the bit."""

import numpy as np
import pytest
import torch
from conftest import pinas_model
from evaluations import CLASSES, assert_unchanged, batches, classifier, shaken, snapshot
from mmpretrain.structures import DataSample
from torch import nn

from pinas_mm.analysis.unchanged import unchanged
from pinas_mm.analysis.zero_cost import naswot, synflow
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.build import build_evaluator, build_score
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import (
    CostScore,
    GradNormScore,
    NASWOTScore,
    ProbeScore,
    SynFlowScore,
)
from pinas_mm.search.settings import SearchSettings
from pinas_mm.weights.initializers import load_subnet

ARCHS = ["000", "321", "320", "012", "321"]
IMAGES = batches(6, side=32)
SCORES = {
    "CostScore": CostScore,
    "SynFlowScore": SynFlowScore,
    "NASWOTScore": lambda: NASWOTScore(images=6),
    "GradNormScore": lambda: GradNormScore(images=6),
}
MODELS_OF = {"SinglePath": classifier, "PiNAS": lambda space: shaken(pinas_model())}


def without_labels(batch):
    return dict(inputs=batch["inputs"])


def alone(model, arch):
    """The stand-alone network with a path's weights."""
    backbone = PiNASBackbone(arch, model.backbone.space)
    load_subnet(backbone, model.backbone.state_dict(), "the supernet")
    return backbone


@pytest.mark.parametrize("kind", MODELS_OF)
@pytest.mark.parametrize("name", SCORES)
def test_order_and_company_do_not_matter_and_nothing_changes(space, kind, name):
    model = MODELS_OF[kind](space)
    model.backbone.layer1[0][1].eval()
    before, numbers = snapshot(model), torch.get_rng_state()
    # Only the loss of a classifier reads labels, and nothing reads calibration images.
    labelled = kind == "SinglePath" and name == "GradNormScore"
    images = IMAGES if labelled else list(map(without_labels, IMAGES))
    fractions = []
    evaluator = Evaluator(model, SCORES[name](), [], images)
    found = evaluator.evaluate(ARCHS, progress=fractions.append)
    assert fractions == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert {tuple(metrics) for metrics in found} == {evaluator.names}
    assert len({tuple(metrics.values()) for metrics in found}) == len(set(ARCHS))
    assert all(np.isfinite(list(metrics.values())).all() for metrics in found)
    assert evaluator.evaluate(ARCHS[::-1]) == found[::-1]
    again = Evaluator(model, SCORES[name](), [], images)
    assert [again.evaluate([arch])[0] for arch in ARCHS] == found
    assert evaluator.evaluate([]) == []
    assert_unchanged(model, before)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(numbers, torch.get_rng_state())


def test_costs_are_those_that_are_counted(space):
    model = classifier(space)
    table = count_costs(model.backbone, 32)
    found = Evaluator(model, CostScore(), [], IMAGES).evaluate(ARCHS)
    for arch, metrics in zip(ARCHS, found, strict=True):
        cost = table.cost(arch)
        assert metrics == {"zero_cost/params": cost.params, "zero_cost/macs": cost.macs}


@pytest.mark.parametrize("kind", MODELS_OF)
def test_a_path_is_measured_as_its_stand_alone_network(space, kind):
    model = MODELS_OF[kind](space)
    flows = Evaluator(model, SynFlowScore(), [], IMAGES).evaluate(ARCHS)
    switched = Evaluator(model, NASWOTScore(images=6), [], IMAGES).evaluate(ARCHS)
    inputs = model.data_preprocessor(IMAGES[0], False)["inputs"]
    inputs = inputs[0] if isinstance(inputs, list) else inputs
    for arch, flow, metrics in zip(ARCHS, flows, switched, strict=True):
        backbone = alone(model, arch)
        assert flow["zero_cost/synflow"] == pytest.approx(synflow(backbone, (3, 32, 32)), rel=1e-12)
        assert metrics["zero_cost/naswot"] == pytest.approx(naswot(backbone, inputs), rel=1e-9)


def test_gradient_norm_of_a_classifier_by_hand(space):
    model = classifier(space)
    found = Evaluator(model, GradNormScore(images=6), [], IMAGES).evaluate(ARCHS)
    for arch, metrics in zip(ARCHS, found, strict=True):
        with unchanged(model):
            network = alone(model, arch).train()
            data = model.data_preprocessor(IMAGES[0], True)
            logits = model.model.head.fc(network(data["inputs"])[-1].mean((2, 3)))
            labels = torch.cat([sample.gt_label for sample in data["data_samples"]])
            nn.functional.cross_entropy(logits, labels).backward()
        expected = sum(float(p.grad.norm()) for p in network.parameters())
        assert metrics["zero_cost/grad_norm"] == pytest.approx(expected, rel=1e-4)


def test_gradient_norm_without_labels_depends_on_the_seed_alone(space):
    model = MODELS_OF["PiNAS"](space)
    found = [
        Evaluator(model, GradNormScore(images=6, seed=seed), [], IMAGES).evaluate(["321"])[0]
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


class Unused(dict):
    """A loader's config that nothing may read."""

    def __getitem__(self, key):
        raise AssertionError(f"{key} was read")

    get = __getitem__


@pytest.mark.parametrize(
    ("score", "number"),
    [("SynFlowScore", 1), ("CostScore", 1), (dict(type="pinas_mm.NASWOTScore", images=5), 5)],
)
def test_no_more_images_are_loaded_than_are_looked_at(space, digits, score, number):
    pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
    dataset = dict(type="pinas_mm.ImageFolder", data_root=str(digits / "imagenet"), split="val")
    dataloader = dict(batch_size=2, num_workers=0, dataset=dict(dataset, pipeline=pipeline))
    evaluator = build_evaluator(classifier(space), score, dataloader, Unused(), images=10**6)
    assert [len(batch["inputs"]) for batch in evaluator._images] == [number]
    assert evaluator.evaluate(["000"])


SETTINGS = dict(score="SynFlowScore", dataloader={}, objectives="zero_cost/synflow")


def test_settings_ask_for_no_calibration_images(space):
    settings = SearchSettings.parse(SETTINGS)
    settings.check(classifier(space))
    assert settings.calibration_dataloader == {}
    missing = dict(dataset=dict(data_root="/none"))
    SearchSettings.parse(SETTINGS | {"calibration_dataloader": missing}).check_data()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            dict(type="NASWOTScore", images=1),
            "images is 1: allowed is a whole number of at least 2",
        ),
        (dict(type="NASWOTScore", images=2.5), "images is 2.5"),
        (dict(type="GradNormScore", images=True), "images is True"),
        (
            dict(type="GradNormScore", seed=-1),
            "seed is -1: allowed is a whole number from 0 to",
        ),
        (dict(type="SynFlowScore", images=3), "SynFlowScore does not take {'images': 3}"),
    ],
)
def test_bad_settings_are_one_line(score, message):
    with pytest.raises(UserError, match=message):
        build_score(score)


def headless(space):
    inner = dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="pinas_mm.PiNASSupernet", space=space.to_dict()),
        data_preprocessor=dict(type="mmpretrain.ClsDataPreprocessor", num_classes=CLASSES),
    )
    return MODELS.build(dict(type="pinas_mm.SinglePath", model=inner))


def test_bad_models_and_images_are_one_line(space):
    for score in SCORES.values():
        with pytest.raises(UserError, match="needs a model that trains a supernet"):
            Evaluator(nn.Linear(1, 1), score(), [], IMAGES)
    with pytest.raises(UserError, match="the ImageClassifier has no head"):
        Evaluator(headless(space), GradNormScore(), [], IMAGES)
    # What reads no head needs none.
    assert Evaluator(headless(space), SynFlowScore(), [], IMAGES).evaluate(["000"])
    model = classifier(space)
    unlabelled = [dict(IMAGES[0], data_samples=[DataSample()] * 6)]
    for images in (list(map(without_labels, IMAGES)), unlabelled):
        with pytest.raises(UserError, match="GradNormScore needs labels for the loss"):
            Evaluator(model, GradNormScore(), [], images).evaluate(["000"])
    with pytest.raises(UserError, match="got 1: give at least 2"):
        Evaluator(model, NASWOTScore(), [], batches(1)).evaluate(["000"])
    with pytest.raises(UserError, match="no images to score"):
        Evaluator(model, SynFlowScore(), [], [])
    with pytest.raises(UserError, match="too short"):
        Evaluator(model, SynFlowScore(), [], IMAGES).evaluate(["00"])


def test_pruning_is_refused(space):
    model = classifier(space)
    with pytest.raises(UserError, match="SynFlowScore measures each at once"):
        Evaluator(model, SynFlowScore(), [], IMAGES).evaluate(ARCHS, on_batch=lambda *_: ())
    with pytest.raises(UserError, match="SynFlowScore measures each at once"):
        SearchSettings.parse(SETTINGS | {"pruner": "MedianPruner"}).check(model)


def test_scores_of_feature_maps_still_ask_for_calibration_images(space):
    with pytest.raises(UserError, match="calibration batch"):
        Evaluator(classifier(space), ProbeScore(), [], IMAGES)
    with pytest.raises(UserError, match="search needs calibration_dataloader"):
        SearchSettings.parse(SETTINGS | {"score": "ProbeScore"})
