"""Necks and heads that are made for other feature maps are refused before the training."""

import contextlib

import pytest
import torch
from mmengine.registry import MODELS
from single_paths import image_classifier, single_path
from whole_models import detector, mask_rcnn, segmentor

from pinas_mm.errors import UserError


def changed(config, change):
    """A config with one setting of its parts exchanged."""
    for key, value in change.items():
        *path, last = key.split(".")
        part = config
        for name in path:
            part = part[name]
        part[last] = value
    return config


def test_those_that_fit_are_taken(space):
    for build in (detector, mask_rcnn, segmentor, image_classifier):
        single_path(build(space), torch.float32)
    # A sum of two maps, and the last of several.
    two = {"backbone.out_indices": (0, 1)}
    several = dict(two, **{"decode_head.in_index": 1})
    summed = two | {
        "decode_head.in_index": [0, 1],
        "decode_head.in_channels": list(space.out_channels),
        "decode_head.input_transform": "resize_concat",
    }
    for change in (several, summed, {"decode_head.in_index": -1}):
        single_path(changed(segmentor(space), change), torch.float32)


class Beside(torch.nn.Module):
    """A neck without weights that joins all maps' means: another number of channels."""

    def forward(self, feats):
        return (torch.cat([feat.mean(dim=(2, 3)) for feat in feats], dim=1),)


def test_a_neck_of_ones_own_without_weights_may_change_the_channels(space):
    MODELS.register_module(module=Beside, force=True)
    config = image_classifier(space)
    change = {"backbone.out_indices": (0, 1), "neck": dict(type="Beside")}
    change["head.in_channels"] = sum(space.out_channels)
    model = single_path(changed(config, change), torch.float32)
    images = torch.zeros(2, 3, 16, 16)
    (joined,) = model.model.neck(model.model.backbone(images, space.arch("01-2")))
    assert joined.shape == (2, sum(space.out_channels))


def heads(*in_channels):
    """Of segmentors that take several maps."""
    common = dict(channels=8, num_classes=3, in_index=[0, 1], in_channels=list(in_channels))
    return [
        dict(common, type="UPerHead", pool_scales=(1,)),
        dict(common, type="SegformerHead"),
    ]


def necks(low, high):
    """All kinds that say what they take, for two maps."""
    common = dict(in_channels=[low, high], out_channels=8)
    yield dict(type="FPN", num_outs=2, **common)
    yield dict(type="CSPNeXtPAFPN", num_csp_blocks=1, **common)
    yield dict(type="YOLOV3Neck", num_scales=2, in_channels=[high, low], out_channels=[8, 8])
    yield dict(
        type="DilatedEncoder",
        in_channels=high,
        out_channels=8,
        block_mid_channels=4,
        num_residual_blocks=1,
        block_dilations=[1],
    )
    yield [
        dict(type="FPN", num_outs=2, **common),
        dict(type="BFP", in_channels=8, num_levels=2, refine_level=1),
    ]


@pytest.mark.parametrize("kind", range(5))
def test_necks_of_each_kind(space, kind):
    low, high = space.out_channels
    single = image_classifier(space, out_indices=(0, 1))
    for channels, fits in (((low, high), True), ((low, high + 8), False)):
        neck = list(necks(*channels))[kind]
        for part in neck if isinstance(neck, list) else [neck]:
            part["type"] = f"mmdet.{part['type']}"
        config = dict(single, neck=neck)
        with contextlib.nullcontext() if fits else pytest.raises(UserError, match=r"^neck takes"):
            single_path(config, torch.float32)


@pytest.mark.parametrize("kind", range(2))
def test_heads_of_several_maps(space, kind):
    low, high = space.out_channels
    for channels, fits in (((low, high), True), ((low, high + 8), False)):
        change = {"decode_head": heads(*channels)[kind], "backbone.out_indices": (0, 1)}
        config = changed(segmentor(space), change)
        with contextlib.nullcontext() if fits else pytest.raises(UserError, match=r"^decode_"):
            single_path(config, torch.float32)


def test_heads_without_a_neck(space):
    config = detector(space)
    config["neck"] = None
    with pytest.raises(UserError, match=r"^bbox_head takes feature maps \[0, 1\] of \[8, 8\]"):
        single_path(config, torch.float32)
    config = image_classifier(space, out_indices=(0,))
    config["head"]["in_channels"] = 7
    for neck in (None, config["neck"]):
        with pytest.raises(UserError, match=r"^head takes feature maps \[0\] of \[7\]"):
            single_path(dict(config, neck=neck), torch.float32)


@pytest.mark.parametrize(
    ("build", "change", "message"),
    [
        (detector, {"backbone.out_indices": (1,)}, r"^neck takes .* \[0, 1\] of \[.*out_indices"),
        (detector, {"neck.in_channels": [8, 8]}, r"neck\.in_channels$"),
        (mask_rcnn, {"backbone.out_indices": (0,)}, r"returns \[\d+\], of its out_indices \(0,\)"),
        (segmentor, {"decode_head.in_channels": 16}, r"^decode_head takes .* \[0\] of \[16\]"),
        (segmentor, {"decode_head.in_index": 3}, r"^decode_head takes .* \[3\]"),
    ],
)
def test_others_are_refused(space, build, change, message):
    with pytest.raises(UserError, match=message):
        single_path(changed(build(space), change), torch.float32)
