"""A detectron2 Mask R-CNN becomes mmdet's, loads strictly and detects what its source does."""

import math

import detectron2_rules as rules
import numpy as np
import published
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.datasets import CocoDataset
from mmdet.models.dense_heads import rpn_head
from mmdet.models.layers import bbox_nms
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from pinas_mm.compat import TORCH
from pinas_mm.convert import convert_file, convert_state
from pinas_mm.errors import UserError
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import read_checkpoint

# The paper's candidates, strides and stem, narrower.
SPACE = dict(depths=(1, 2, 1, 1), widths=(16, 32, 48, 64), stem_widths=(8, 8, 16))
ARCH = "3-12-0-3"
HEIGHT, WIDTH = 128, 192
PYRAMID, CONV, FC = 6, 8, 10
SETTINGS = {
    "pixel_mean": torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1),
    "pixel_std": torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1),
    **{
        f"proposal_generator.anchor_generator.cell_anchors.{number}": torch.rand(3, 4)
        for number in range(5)
    },
}


@pytest.fixture(scope="module", autouse=True)
def small_space():
    """The makers of checkpoints know this space, too, while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(published.SPACES, "narrow", SPACE)
        patch.setitem(published.ARCHS, "narrow", ARCH)
        yield


@pytest.fixture(scope="module")
def source(small_space):
    """In float64, scaled such that signals neither grow nor fade and boxes move a little."""
    state = published.mask_rcnn("narrow", pyramid=PYRAMID, conv=CONV, fc=FC)
    generator = torch.Generator().manual_seed(5)
    for name, value in state.items():
        draw = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.dim() > 1:
            state[name] = draw * math.sqrt(2 / value[0].numel())
        elif name.endswith("running_var"):
            state[name] = 1 + 0.1 * draw.abs()
        elif name.endswith(("bias", "running_mean")):
            state[name] = 0.1 * draw
        else:
            state[name] = 1 + 0.1 * draw
    state["proposal_generator.rpn_head.objectness_logits.weight"] *= 0.3
    state["proposal_generator.rpn_head.anchor_deltas.weight"] *= 0.1
    state["roi_heads.box_predictor.cls_score.weight"] *= 0.3
    return state


def detector(**space):
    """By mmdet's own Mask R-CNN config; what is not set here is the release's setting, too."""
    config = get_config("mmdet::_base_/models/mask-rcnn_r50_fpn.py").model
    norm, neck, heads = dict(type="BN"), config.neck, config.roi_head
    config.backbone = dict(type="pinas_mm.PiNASBackbone", **space)
    channels = list(SearchSpace.build(space.get("space")).out_channels)
    neck.update(in_channels=channels, out_channels=PYRAMID, norm_cfg=norm)
    config.rpn_head.update(in_channels=PYRAMID, feat_channels=PYRAMID)
    for extractor in (heads.bbox_roi_extractor, heads.mask_roi_extractor):
        extractor.out_channels = PYRAMID
    heads.bbox_head.update(
        type="Shared4Conv1FCBBoxHead", in_channels=PYRAMID, conv_out_channels=CONV,
        fc_out_channels=FC, num_classes=published.CLASSES, norm_cfg=norm,
    )  # fmt: skip
    heads.mask_head.update(
        in_channels=PYRAMID, conv_out_channels=CONV + 1, num_classes=published.CLASSES,
        norm_cfg=norm,
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(config)


@pytest.fixture(scope="module")
def model(source):
    model = detector(arch=ARCH, space=SPACE)
    model.double().load_state_dict(convert_state(source).state_dict, strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 3, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def levels(source, images):
    """The source's feature pyramid."""
    candidates = SearchSpace.build(SPACE).candidates
    stages = [[candidates[int(choice)] for choice in stage] for stage in ARCH.split("-")]
    stages = [[(candidate.radix, candidate.groups) for candidate in stage] for stage in stages]
    return rules.pyramid(source, rules.backbone(source, images, stages))


@pytest.fixture
def float64_nms(monkeypatch):
    """mmcv's NMS in float32 alone, so that no score is rounded and none changes places."""

    def suppress(boxes, scores, classes, config):
        _, keep = batched_nms(boxes.float(), scores.float(), classes, config)
        keep = keep[scores[keep].argsort(descending=True)]
        return torch.cat((boxes[keep], scores[keep, None]), 1), keep

    monkeypatch.setattr(rpn_head, "batched_nms", suppress)
    monkeypatch.setattr(bbox_nms, "batched_nms", suppress)


def sample():
    shape = (HEIGHT, WIDTH)
    meta = dict(img_shape=shape, ori_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
    return DetDataSample(metainfo=meta)


@torch.no_grad()
def test_backbone_and_pyramid(model, images, levels):
    ours = model.extract_feat(images)
    assert len(ours) == len(levels) == 5
    for got, expected in zip(ours, levels, strict=True):
        torch.testing.assert_close(got, expected)


def test_anchors(model):
    sizes = [(4, 6), (3, 2), (2, 2), (1, 2), (1, 1)]
    ours = model.rpn_head.prior_generator.grid_priors(sizes, torch.float64, "cpu")
    for number, (size, got) in enumerate(zip(sizes, ours, strict=True)):
        expected = rules.anchors(*size, 4 * 2**number, 32 * 2**number)
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-6)  # Made in float32.


@pytest.mark.parametrize(
    ("coder", "weights"),
    [("rpn_head", rules.RPN_WEIGHTS), ("roi_head.bbox_head", rules.BOX_WEIGHTS)],
)
def test_boxes_are_decoded_alike(model, coder, weights):
    boxes = torch.tensor([[0.0, 0.0, 10.0, 20.0], [5.0, 8.0, 50.0, 9.0]]).double()
    deltas = torch.tensor([[0.1, -0.2, 0.3, -0.4], [3.0, 2.0, 99.0, 1.0]]).double()
    decode = model.get_submodule(coder).bbox_coder.decode
    torch.testing.assert_close(decode(boxes, deltas), rules.decode(deltas, boxes, weights))
    # mmdet shrinks no side below 16 / 1000 of the box's; detectron2 knows no such bound.
    tiny = torch.tensor([[0.0, 0.0, -99.0, 0.0]]).double()
    width = decode(boxes[:1], tiny)[0, [2, 0]].diff().abs()
    torch.testing.assert_close(width, torch.tensor([0.16]).double())
    assert rules.decode(tiny, boxes[:1], weights)[0, [2, 0]].diff().abs() < 1e-6


@torch.no_grad()
def test_proposals(model, source, levels, float64_nms):
    (ours,) = model.rpn_head.predict(levels, [sample()])
    expected = rules.proposals(source, levels, HEIGHT, WIDTH)
    assert len(expected) > 100
    torch.testing.assert_close(ours.bboxes, expected, atol=1e-4, rtol=1e-6)


@torch.no_grad()
def test_region_features(model, levels):
    boxes = torch.tensor(
        [[3.0, 5.5, 60.25, 44.0], [0.0, 0.0, 190.0, 127.0], [0.0, 10.0, 111.9, 122.0],
         [20.0, 10.0, 20.5, 11.0], [0.0, 0.0, 900.0, 700.0]]
    ).double()  # fmt: skip
    rois = torch.cat((torch.zeros(len(boxes), 1), boxes), 1)
    for name, size in (("bbox", 7), ("mask", 14)):
        extractor = getattr(model.roi_head, f"{name}_roi_extractor")
        ours = extractor(levels[: extractor.num_inputs], rois)
        torch.testing.assert_close(ours, rules.pool(levels, boxes, size))


@torch.no_grad()
def test_box_and_mask_heads(model, source):
    pooled = torch.rand(4, PYRAMID, 7, 7, dtype=torch.float64)
    for ours, theirs in zip(
        model.roi_head.bbox_head(pooled), rules.box_head(source, pooled), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    pooled = torch.rand(4, PYRAMID, 14, 14, dtype=torch.float64)
    torch.testing.assert_close(model.roi_head.mask_head(pooled), rules.mask_head(source, pooled))


@torch.no_grad()
def test_detections(model, source, levels, float64_nms):
    """Classes, their boxes and the background stand in the same places."""
    boxes = rules.proposals(source, levels, HEIGHT, WIDTH, after=50)
    logits, deltas = rules.box_head(source, rules.pool(levels, boxes, 7))
    expected = rules.detections(logits, deltas, boxes, HEIGHT, WIDTH)
    (ours,) = model.roi_head.predict_bbox(
        levels, [sample().metainfo], [InstanceData(bboxes=boxes)], model.roi_head.test_cfg
    )
    assert len(ours) > 20
    assert len(ours.labels.unique()) > 2
    assert ours.labels.tolist() == expected[2].tolist()
    torch.testing.assert_close(ours.scores, expected[1])
    torch.testing.assert_close(ours.bboxes, expected[0])


def test_coco_classes_in_the_order_of_their_numbers():
    """detectron2 counts COCO's 80 categories through by number."""
    unused = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    numbers = [number for number in range(1, 91) if number not in unused]
    classes = CocoDataset.METAINFO["classes"]
    assert len(classes) == len(numbers) == 80
    known = {1: "person", 13: "stop sign", 27: "backpack", 31: "handbag", 46: "wine glass",
             67: "dining table", 70: "toilet", 72: "tv", 84: "book", 90: "toothbrush"}  # fmt: skip
    assert {number: classes[numbers.index(number)] for number in known} == known


@pytest.mark.parametrize("scope", ["mmpretrain", "mmseg", "mmdet", "pinas_mm"])
def test_in_any_scope(source, scope):
    with DefaultScope.overwrite_default_scope(scope):
        assert str(convert_state(source).arch) == ARCH


def test_counters_are_kept_or_start_at_zero():
    for seed in (0, 7):
        source = published.mask_rcnn("narrow", counters=bool(seed), seed=seed)
        state = convert_state(source).state_dict
        counters = {name for name in state if name.endswith("num_batches_tracked")}
        assert "backbone.layer4.0.conv2.bn0.num_batches_tracked" in counters
        assert all(state[name].item() == seed for name in counters)
        assert all(state[name].dtype == torch.long for name in counters)


def test_settings_among_the_weights_are_dropped(source):
    state = convert_state(source | SETTINGS).state_dict
    assert state.keys() == convert_state(source).state_dict.keys()


@pytest.mark.parametrize(
    "stray",
    [
        "proposal_generator.anchor_generator.strides",
        "roi_heads.box_head.fc2.weight",
        "roi_heads.mask_head.mask_fcn5.weight",
        "backbone.fpn_lateral6.weight",
        "backbone.bottom_up.res2.0.bn1.weight",
        "backbone.bottom_up.linear.weight",
        "pixel_means",
    ],
)
def test_what_is_neither_weight_nor_setting_is_refused(source, stray):
    with pytest.raises(UserError, match=rf"1 key left over \({stray}\)"):
        convert_state(source | {stray: torch.zeros(2)})


@pytest.mark.parametrize("gone", ["backbone.", "proposal_generator.", "roi_heads."])
def test_parts_alone_are_refused(source, gone):
    part = {name: value for name, value in source.items() if not name.startswith(gone)}
    with pytest.raises(UserError, match="not a whole Mask R-CNN detector"):
        convert_state(part)


@pytest.mark.skipif(TORCH < (2, 6), reason="arrays are read safely since PyTorch 2.6")
def test_numpy_arrays(source, tmp_path):
    arrays = {name: value.float().numpy() for name, value in source.items()}
    torch.save({"model": arrays, "iteration": 89999}, tmp_path / "release.pth")
    convert_file(tmp_path / "release.pth", tmp_path / "ours.pth")
    written = read_checkpoint(tmp_path / "ours.pth")["state_dict"]
    for name, value in convert_state(source).state_dict.items():
        assert torch.equal(written[name], value.to(written[name].dtype))


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([print]), np.zeros(1, "V4")])
def test_numpy_arrays_of_anything_else_are_refused(source, tmp_path, array):
    with pytest.raises(UserError, match="pixel_mean is no tensor"):
        convert_state({**source, "pixel_mean": array})
    torch.save({"model": {**source, "pixel_mean": array}}, tmp_path / "release.pth")
    with pytest.raises(UserError, match=r"more than tensors|damaged"):
        convert_file(tmp_path / "release.pth", tmp_path / "ours.pth")
    assert not (tmp_path / "ours.pth").exists()
