"""Necks and heads that are made for other feature maps are refused before the training."""

import pytest
import torch
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
