"""Shifts are what made cases say they must be, and measuring them changes nothing."""

import random

import numpy as np
import pytest
import torch
from conftest import move_apart
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.model import BaseDataPreprocessor
from mmengine.utils import import_modules_from_strings
from single_paths import image_classifier, labelled, single_path, supernet

from pinas_mm.algorithms import SinglePath
from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.analysis.feature_shift import (
    FEATURE,
    compare_features,
    feature_shift,
    one_minus_cosine,
)
from pinas_mm.analysis.parameter_shift import PARAMETER, Snapshot, compare_gradients
from pinas_mm.analysis.shift import measure_shifts
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASSupernet
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

SAME = SearchSpace([(1, 1, 64)] * 3, (2, 1), (16, 16), (2, 2), expansion=2, stem_widths=(8, 8, 16))


def batches(number=2, images=6):
    made = torch.Generator().manual_seed(5)
    return [torch.randn(images, 3, 32, 32, generator=made) for _ in range(number)]


def of_images(a, b):
    """The three feature measures of made features."""
    cosine, l2, *kernels = compare_features(a, b)
    return [float(cosine), float(l2), float(one_minus_cosine(*kernels))]


def test_made_features_have_known_shifts():
    made = torch.Generator().manual_seed(0)
    a = torch.randn(8, 40, generator=made)
    b = torch.randn(8, 40, generator=made)
    turned = torch.linalg.qr(torch.randn(40, 40, generator=made))[0]
    near = dict(abs=1e-5)
    assert of_images(a, a) == pytest.approx([0, 0, 0], abs=1e-12)
    assert of_images(a, -a) == pytest.approx([2, 2, 0], **near)
    assert of_images(a, 3 * a) == pytest.approx([0, 2 / 5**0.5, 0], **near)
    assert of_images(a, a @ turned)[2] == pytest.approx(0, **near)
    # What all images have in common is no agreement to the kernels.
    assert of_images(a, b + 5)[2] == pytest.approx(of_images(a, b)[2], **near)
    # Orthogonal, of equal length.
    left, right = torch.zeros(4, 8), torch.zeros(4, 8)
    left[:, :4], right[:, 4:] = torch.eye(4), torch.eye(4)
    assert of_images(left, right)[:2] == pytest.approx([1, 2**0.5], **near)


def test_unrelated_features_do_not_look_alike_for_being_many():
    made = torch.Generator().manual_seed(0)
    few, many = ([torch.randn(12, d, generator=made) for _ in range(40)] for d in (6, 5000))
    for features in (few, many):
        found = [of_images(a, b)[2] for a, b in zip(features[::2], features[1::2], strict=True)]
        assert np.mean(found) == pytest.approx(1, abs=0.15)


def test_features_that_are_zero():
    zeros, ones = torch.zeros(5, 3), torch.ones(5, 3)
    assert of_images(zeros, zeros) == [0, 0, 0]
    assert of_images(zeros, ones) == pytest.approx([1, 2**0.5, 0])


def test_made_gradients_have_known_shifts():
    g = torch.tensor([1.0, -2.0, 0.0, 4.0])
    assert compare_gradients(g, g) == pytest.approx((0, 0))
    assert compare_gradients(g, -3 * g) == pytest.approx((2, 1))
    assert compare_gradients(g, torch.tensor([2.0, 1.0, 7.0, 0.0])) == pytest.approx((1, 0.5))
    assert compare_gradients(g, torch.tensor([0.0, 0.0, 1.0, 0.0])) == (1, None)


def test_identical_candidates_give_no_feature_shift_and_different_ones_do():
    torch.manual_seed(0)
    backbone = PiNASSupernet(SAME)
    move_apart(backbone)
    different = feature_shift(backbone, batches(), 3, 0)
    for number in range(3):
        block = backbone.block(number)
        for candidate in block:
            candidate.load_state_dict(block[0].state_dict())
    same = feature_shift(backbone, batches(), 3, 0)
    for name in FEATURE:
        # Before the first choice nothing can shift.
        assert [len(found) for found in same[name]] == [0, 3, 3, 3]
        assert same[name][1:] == [pytest.approx([0] * 3, abs=1e-12)] * 3
        assert min(map(min, different[name][1:])) > 0.01


class Signed(SupernetAlgorithm):
    """Each path's loss is the sum of its blocks' parameters; its sign turns every few paths."""

    def __init__(self, turns: int) -> None:
        super().__init__(data_preprocessor=BaseDataPreprocessor())
        self.backbone, self.turns, self.calls = PiNASSupernet(SAME), turns, 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        raise AssertionError("only losses of paths are asked for")

    def path_loss(self, batch, arch, step):
        sign = -1 if self.turns and self.calls // self.turns % 2 else 1
        self.calls += 1
        blocks = [self.backbone.block(number)[choice] for number, choice in enumerate(arch)]
        return dict(loss=sign * sum(p.sum() for block in blocks for p in block.parameters()))


@pytest.mark.parametrize(("turns", "expected"), [(0, (0, 0)), (3, (2, 1))])
def test_opposed_gradients_give_a_parameter_shift_of_2(turns, expected):
    # Every three paths have each candidate once.
    shifts = measure_shifts(Signed(turns), [dict(inputs=batches(1)[0])], pairs=6)
    for name, value in zip(PARAMETER, expected, strict=True):
        assert shifts.values[name] == [pytest.approx([value] * 6)] * 3 + [[]]
        assert shifts.overall()[name] == pytest.approx(value)


def test_parameters_that_move():
    torch.manual_seed(0)
    backbone = PiNASSupernet(SAME)
    before = Snapshot(backbone, 10)
    assert before.motion(backbone, 14) == [[0.0], [0.0], [0.0], []]
    with torch.no_grad():
        for parameter in backbone.block(1).parameters():
            parameter.mul_(1.2)
    assert before.motion(backbone, 14) == [[0.0], [pytest.approx(0.05)], [0.0], []]


import_modules_from_strings(["mmdet.models"])


def pinas(build_pinas, space):
    images = torch.Generator().manual_seed(2)
    model = build_pinas()
    drawn = [
        dict(
            inputs=list(torch.randint(0, 256, (6, 3, 32, 32), generator=images, dtype=torch.uint8))
        )
        for _ in range(2)
    ]
    return model, drawn


def classifier(build_pinas, space, **options):
    model = single_path(image_classifier(space), dtype=torch.float32, **options)
    return model, [labelled(6, seed, dtype=torch.float32) for seed in (0, 1)]


def probe(build_pinas, space):
    return classifier(build_pinas, space, freeze_backbone=True)


def detector(build_pinas, space):
    channels = 8
    model = ConfigDict(
        type="FCOS",
        _scope_="mmdet",
        data_preprocessor=dict(type="DetDataPreprocessor", mean=[120.0] * 3, std=[60.0] * 3),
        backbone=supernet(space, out_indices=(0, 1)),
        neck=dict(
            type="FPN",
            in_channels=list(space.out_channels),
            out_channels=channels,
            num_outs=2,
        ),
        bbox_head=dict(
            type="FCOSHead",
            num_classes=4,
            in_channels=channels,
            feat_channels=channels,
            stacked_convs=1,
            strides=[4, 8],
            regress_ranges=((-1, 16), (16, 1e8)),
            norm_cfg=dict(type="GN", num_groups=2),
        ),
    )
    data = demo_mm_inputs(4, [(3, 48, 64)] * 4, num_items=[2] * 4, num_classes=4)
    return single_path(model, dtype=torch.float32), [data]


def everything(model):
    """All that must not change, in copies."""
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        {name: value.clone() for name, value in model.named_buffers()},
        grads,
        {name: module.training for name, module in model.named_modules()},
        dict(torch=torch.get_rng_state(), numpy=np.random.get_state()[1], python=random.getstate()),
    )


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, b[name]), name
            else:
                assert (
                    np.array_equal(value, b[name])
                    if isinstance(value, np.ndarray)
                    else (value == b[name])
                ), name


@pytest.mark.parametrize("build", [pinas, classifier, probe, detector])
def test_measuring_changes_nothing_and_seeds_decide(build, build_pinas, space):
    model, data = build(build_pinas, space)
    move_apart(model)
    model.train()
    model.backbone.layer1.eval()
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number) if number % 2 else None
    before = everything(model)
    first, again, other = (measure_shifts(model, data, 2, seed) for seed in (3, 3, 4))
    assert_same(everything(model), before)
    assert first == again
    assert first.values["feature/cosine"] != other.values["feature/cosine"]
    assert first.places == ("layer1.0", "layer1.1", "layer2.0", "output")
    means = first.overall()
    assert all(0 < means[name] < 1.5 for name in FEATURE)
    if build is probe:
        assert means["parameter/cosine"] is means["parameter/conflict"] is None
    else:
        assert 0 < means["parameter/cosine"] < 2
        assert 0 < means["parameter/conflict"] < 1
        assert [len(v) for v in first.values["parameter/cosine"]] == [2, 2, 2, 0]


def test_a_smaller_last_batch_does_not_count(build_pinas, space):
    model, data = classifier(build_pinas, space)
    with_rest = [*data, labelled(3, 7, dtype=torch.float32)]
    assert measure_shifts(model, with_rest, 1) == measure_shifts(model, data, 1)


@pytest.mark.parametrize(
    ("options", "images", "fault"),
    [
        (dict(pairs=0), 6, "at least 4 images and 1 pair of paths"),
        (dict(seed=-1), 6, "seed is -1"),
        ({}, 3, "a batch has 3 images: feature shift compares at least 4"),
        ({}, 0, "a batch has 0 images"),
    ],
)
def test_what_cannot_be_measured(build_pinas, space, options, images, fault):
    model, _ = classifier(build_pinas, space)
    data = [labelled(images, dtype=torch.float32)] if images else []
    with pytest.raises(UserError, match=fault):
        measure_shifts(model, data, **options)


def test_a_space_without_a_choice_cannot_shift():
    space = SearchSpace([(1, 1, 64)], (1,), (16,), (2,), expansion=2, stem_widths=(8, 8, 16))
    model = SinglePath(MODELS.build(image_classifier(space)))
    with pytest.raises(UserError, match="the space has one architecture, nothing can shift"):
        measure_shifts(model, [labelled(4, dtype=torch.float32)])
