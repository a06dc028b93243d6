"""What is not whole, or of no known kind, is refused in one line with the names."""

import published
import pytest
import torch
from published import MAKERS, without

from pinas_mm.convert import convert_state
from pinas_mm.errors import UserError

every_kind = pytest.mark.parametrize("kind", MAKERS)


def refusal(state):
    with pytest.raises(UserError) as caught:
        convert_state(state, "x.pth")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_kind
def test_any_missing_key_is_named(kind):
    source = MAKERS[kind]("expansion-8")
    for name in source:
        message = refusal(without(source, name))
        assert message.startswith(f"x.pth is not a whole {kind}: ")
        assert f"1 key missing ({name})" in message
        assert "left over" not in message


@every_kind
@pytest.mark.parametrize(
    "stray",
    ["layer1.0.0.conv9.weight", "layer1.7.1.conv1.weight", "layer7.0.0.conv1.weight", "ema.decay"],
)
def test_any_left_over_key_is_named(kind, stray):
    source = MAKERS[kind]("expansion-8")
    for prefix in ("", "encoder_q.0.", "pretrained.", "backbone.bottom_up."):
        if not prefix or any(name.startswith(prefix) for name in source):
            message = refusal(source | {prefix + stray: torch.zeros(1)})
            assert f"x.pth is not a whole {kind}: 1 key left over ({prefix + stray})" == message


def test_long_lists_are_cut():
    source = published.supernet("three-candidates")
    gone = [name for name in source if name.startswith("layer3.1.0.")]
    message = refusal(without(source, *gone) | {"more": torch.zeros(1)})
    assert (
        f"{len(gone)} keys missing ({', '.join(gone[:5])}, ...), 1 key left over (more)" in message
    )


def test_what_only_the_teacher_lacks_is_missing():
    source = published.training("demo")
    gone = [name for name in source if name.startswith("encoder_k.0.layer4.")]
    assert f"{len(gone)} keys missing" in refusal(without(source, *gone))


def test_last_stage_missing_shows_in_the_classifier():
    source = published.classifier("three-candidates")
    gone = [name for name in source if name.startswith("layer3.")]
    assert "head.fc.weight has [5, 256], not [5, 192]" in refusal(without(source, *gone))


def test_whole_shortcut_missing_where_channels_change():
    source = published.classifier("three-candidates")
    gone = [name for name in source if name.startswith("layer2.0.downsample.")]
    assert "6 keys missing (backbone.layer2.0.downsample.1.weight" in refusal(
        without(source, *gone)
    )


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("supernet backbone", "layer1.0.1.conv2.fc1.bias", (3,)),
        ("supernet backbone", "layer1.0.1.conv2.conv.weight", (7, 5, 3, 3)),
        ("supernet backbone", "layer1.0.1.conv1.weight", (4,)),
        ("supernet backbone", "layer2.1.0.conv3.weight", (8, 8, 1, 1)),
        ("stand-alone classifier", "fc.bias", ()),
        ("stand-alone classifier", "conv1.0.weight", (0, 3, 3, 3)),
        ("self-supervised training checkpoint", "queue", (9, 10)),
        ("self-supervised training checkpoint", "encoder_k.0.bn1.bias", (1,)),
        ("DeepLabV3 segmentor", "head.block.0.weight", (9, 8, 3, 3)),
        ("Mask R-CNN detector", "backbone.bottom_up.res2.0.conv2.conv.weight", (7, 5, 3, 3)),
        ("Mask R-CNN detector", "backbone.fpn_output2.weight", (6, 6, 1, 1)),
        ("Mask R-CNN detector", "proposal_generator.rpn_head.anchor_deltas.weight", (8, 6, 1, 1)),
        ("Mask R-CNN detector", "roi_heads.box_head.fc1.weight", (10, 8 * 49 + 1)),
        ("Mask R-CNN detector", "roi_heads.box_predictor.cls_score.bias", (1,)),
        ("Mask R-CNN detector", "roi_heads.box_predictor.bbox_pred.weight", (4, 10)),
        ("Mask R-CNN detector", "roi_heads.mask_head.predictor.bias", (1,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(kind, name, shape):
    source = MAKERS[kind]("expansion-8")
    message = refusal(source | {name: torch.zeros(shape)})
    assert message.startswith("x.pth ")


def test_two_versions_of_the_student_are_refused():
    source = published.training("demo")
    source["backbone.layer2.0.1.conv1.weight"] = source["backbone.layer2.0.1.conv1.weight"] + 1
    message = refusal(source)
    assert "1 key differs from encoder_q.0. (backbone.layer2.0.1.conv1.weight)" in message


def test_candidates_that_change_between_blocks_are_refused():
    source = published.supernet("three-candidates")
    swapped = {
        name.replace("layer1.1.0.", "layer1.1.x.")
        .replace("layer1.1.1.", "layer1.1.0.")
        .replace("layer1.1.x.", "layer1.1.1."): value
        for name, value in source.items()
    }
    assert "in no search space" in refusal(swapped)


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ({}, "x.pth holds no weights: it is empty"),
        ([1, 2], "x.pth holds no weights: it is a list"),
        (torch.zeros(3), "x.pth holds no weights: it is a Tensor"),
        ({"net": {"a": torch.zeros(1)}, "epoch": 3}, "net, epoch are no tensor"),
        (
            {"a.weight": torch.zeros(1)},
            "x.pth is none of self-supervised training checkpoint, DeepL",
        ),
    ],
)
def test_what_is_no_known_checkpoint(checkpoint, expected):
    assert expected in refusal(checkpoint)


@every_kind
def test_converted_checkpoints_are_not_converted_twice(kind):
    once = convert_state(MAKERS[kind]("expansion-8")).state_dict
    assert "converted already" in refusal(once)
