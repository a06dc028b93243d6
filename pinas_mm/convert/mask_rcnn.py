"""Mask R-CNN on a stand-alone backbone, as detectron2 names it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from pinas_mm.convert.kind import Kind
from pinas_mm.convert.layout import Layout, norm_names
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.stack import needs

PREFIXES = "backbone.bottom_up.", "backbone.fpn_", "proposal_generator.", "roi_heads."
# What detectron2 keeps among the weights and mmdet in its config.
SETTINGS = re.compile(
    r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+"
)

# Modules of the release's other backbones -> detectron2's; what a block calls alike is left out.
STEM = {
    "conv1.0": "stem.conv1.0",
    "conv1.1": "stem.conv1.0.norm",
    "conv1.3": "stem.conv1.1",
    "conv1.4": "stem.conv1.1.norm",
    "conv1.6": "stem.conv1.2",
    "bn1": "stem.conv1.2.norm",
}
BLOCK = {
    "bn1": "conv1.norm",
    "bn3": "conv3.norm",
    "downsample.1": "shortcut",
    "downsample.2": "shortcut.norm",
}
FROM_STEM = {theirs: name for name, theirs in STEM.items()}
FROM_BLOCK = {theirs: name for name, theirs in BLOCK.items()}

# Convolution with its norm -> the mmcv ConvModule that holds both in ours.
CONV_MODULES = {
    **{
        f"roi_heads.box_head.conv{number + 1}": f"roi_head.bbox_head.shared_convs.{number}"
        for number in range(4)
    },
    **{
        f"roi_heads.mask_head.mask_fcn{number + 1}": f"roi_head.mask_head.convs.{number}"
        for number in range(4)
    },
}
# Layers with a bias. Classes, anchors and box sides stand in the same order on both sides.
LAYERS = {
    "proposal_generator.rpn_head.conv": "rpn_head.rpn_conv",
    "proposal_generator.rpn_head.objectness_logits": "rpn_head.rpn_cls",
    "proposal_generator.rpn_head.anchor_deltas": "rpn_head.rpn_reg",
    "roi_heads.box_head.fc1": "roi_head.bbox_head.shared_fcs.0",
    "roi_heads.box_predictor.cls_score": "roi_head.bbox_head.fc_cls",
    "roi_heads.box_predictor.bbox_pred": "roi_head.bbox_head.fc_reg",
    "roi_heads.mask_head.deconv": "roi_head.mask_head.upsample",
    "roi_heads.mask_head.predictor": "roi_head.mask_head.conv_logits",
}


class MaskRCNN(Kind):
    """For mmdet's ``MaskRCNN`` with norms in FPN, box head (four convolutions) and mask head."""

    name = "Mask R-CNN detector"
    supernet = False
    backbones: ClassVar = {"backbone.bottom_up.": "backbone."}

    def recognizes(self, names: Collection[str]) -> bool:
        """By detectron2's names of backbone, pyramid and heads."""
        return any(name.startswith(PREFIXES) for name in names)

    def complete(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Without settings; norms that never counted their batches have counted none."""
        state = {name: value for name, value in state.items() if not SETTINGS.fullmatch(name)}
        statistics = ".running_mean", ".running_var"
        norms = {name.rpartition(".")[0] for name in state if name.endswith(statistics)}
        counters = {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in sorted(norms)}
        return {**state, **{name: zero for name, zero in counters.items() if name not in state}}

    def to_source(self, name: str) -> str:
        """``layer1.0.bn1.bias`` is ``res2.0.conv1.norm.bias``."""
        module, _, parameter = name.rpartition(".")
        block = re.fullmatch(r"layer(\d{1,3})\.(\d{1,3})\.(.+)", module)
        if not block:
            return f"{STEM[module]}.{parameter}"
        return f"res{int(block[1]) + 1}.{block[2]}.{BLOCK.get(block[3], block[3])}.{parameter}"

    def from_source(self, name: str) -> str | None:
        """``res2.0.conv1.norm.bias`` is ``layer1.0.bn1.bias``."""
        module, _, parameter = name.rpartition(".")
        block = re.fullmatch(r"res(\d{1,3})\.(\d{1,3})\.(.+)", module)
        if not block:
            return f"{FROM_STEM[module]}.{parameter}" if module in FROM_STEM else None
        if block[3] in BLOCK:
            return None
        inner = FROM_BLOCK.get(block[3], block[3])
        return f"layer{int(block[1]) - 1}.{block[2]}.{inner}.{parameter}"

    def others(self, layout: Layout) -> dict[str, str]:
        """Feature pyramid, RPN and both heads; detectron2 numbers the pyramid's levels from 2."""
        modules = dict(CONV_MODULES)
        for level in range(len(layout.depths)):
            modules[f"backbone.fpn_lateral{level + 2}"] = f"neck.lateral_convs.{level}"
            modules[f"backbone.fpn_output{level + 2}"] = f"neck.fpn_convs.{level}"
        renamed = {}
        for conv, ours in modules.items():
            renamed[f"{conv}.weight"] = f"{ours}.conv.weight"
            renamed.update(zip(norm_names(f"{conv}.norm"), norm_names(f"{ours}.bn"), strict=True))
        for layer, ours in LAYERS.items():
            renamed |= {f"{layer}.{part}": f"{ours}.{part}" for part in ("weight", "bias")}
        return renamed

    def reference(
        self,
        state: Mapping[str, torch.Tensor],
        space: SearchSpace,
        arch: Arch | None,
        in_channels: int,
    ) -> nn.Module:
        """The detector, with as many classes and channels as the weights have."""
        needs("mmdet", what=f"converting a {self.name}")
        from mmdet.models import MaskRCNN as Detector

        strides = [4 * 2**level for level in range(len(space.depths))]
        pyramid = len(state["neck.lateral_convs.0.conv.weight"])
        classes = max(len(state["roi_head.bbox_head.fc_cls.bias"]) - 1, 1)  # Less the background.
        # mmdet's heads name some of their own parts without a scope.
        with DefaultScope.overwrite_default_scope("mmdet"):
            return Detector(
                backbone=dict(
                    type="pinas_mm.PiNASBackbone", arch=arch, space=space, in_channels=in_channels
                ),
                neck=dict(
                    type="FPN",
                    in_channels=list(space.out_channels),
                    out_channels=pyramid,
                    num_outs=len(strides) + 1,
                    norm_cfg=dict(type="BN"),
                ),
                rpn_head=dict(
                    type="RPNHead",
                    in_channels=pyramid,
                    feat_channels=len(state["rpn_head.rpn_conv.weight"]),
                    anchor_generator=dict(
                        type="AnchorGenerator",
                        scales=[8],
                        ratios=[0.5, 1.0, 2.0],
                        strides=[*strides, 2 * strides[-1]],
                    ),
                    bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
                    loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True),
                    loss_bbox=dict(type="L1Loss"),
                ),
                roi_head=dict(
                    type="StandardRoIHead",
                    bbox_roi_extractor=_roi_extractor(7, pyramid, strides),
                    bbox_head=dict(
                        type="Shared4Conv1FCBBoxHead",
                        in_channels=pyramid,
                        conv_out_channels=len(
                            state["roi_head.bbox_head.shared_convs.0.conv.weight"]
                        ),
                        fc_out_channels=len(state["roi_head.bbox_head.shared_fcs.0.bias"]),
                        num_classes=classes,
                        norm_cfg=dict(type="BN"),
                        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
                        loss_cls=dict(type="CrossEntropyLoss"),
                        loss_bbox=dict(type="L1Loss"),
                    ),
                    mask_roi_extractor=_roi_extractor(14, pyramid, strides),
                    mask_head=dict(
                        type="FCNMaskHead",
                        in_channels=pyramid,
                        conv_out_channels=len(state["roi_head.mask_head.convs.0.conv.weight"]),
                        num_classes=classes,
                        norm_cfg=dict(type="BN"),
                        loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
                    ),
                ),
                train_cfg=None,
                test_cfg=ConfigDict(rpn=dict(), rcnn=dict()),
            )


def _roi_extractor(size: int, channels: int, strides: list[int]) -> dict[str, Any]:
    return dict(
        type="SingleRoIExtractor",
        roi_layer=dict(type="RoIAlign", output_size=size, sampling_ratio=0),
        out_channels=channels,
        featmap_strides=strides,
    )
