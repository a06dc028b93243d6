"""DeepLabV3 with an auxiliary head on a stand-alone backbone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import nn

from pinas_mm.convert.kind import Kind
from pinas_mm.convert.layout import Layout, norm_names
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.stack import needs

# (convolution, norm) of the source -> the mmcv ConvModule that holds both in ours.
CONV_MODULES = {
    **{
        (f"head.aspp.b{number}.0", f"head.aspp.b{number}.1"): f"decode_head.aspp.{number}"
        for number in range(4)
    },
    ("head.aspp.b4.gap.1", "head.aspp.b4.gap.2"): "decode_head.image_pool.1",
    ("head.aspp.project.0", "head.aspp.project.1"): "decode_head.project",
    ("head.block.0", "head.block.1"): "decode_head.block",
    ("auxlayer.conv5.0", "auxlayer.conv5.1"): "auxiliary_head.convs.0",
}
CLASSIFIERS = {
    "head.block.4": "decode_head.conv_seg",
    "auxlayer.conv5.4": "auxiliary_head.conv_seg",
}


class DeepLabV3(Kind):
    """For mmseg's ``EncoderDecoder`` with a DeepLabV3ReleaseHead and an auxiliary ``FCNHead``."""

    name = "DeepLabV3 segmentor"
    supernet = False
    backbones: ClassVar = {"pretrained.": "backbone."}

    def recognizes(self, names: Collection[str]) -> bool:
        """By the backbone's prefix and the heads'."""
        return any(name.startswith(("pretrained.", "head.aspp.", "auxlayer.")) for name in names)

    def others(self, layout: Layout) -> dict[str, str]:
        """Both heads."""
        renamed = {}
        for (conv, norm), ours in CONV_MODULES.items():
            renamed[f"{conv}.weight"] = f"{ours}.conv.weight"
            renamed.update(zip(norm_names(norm), norm_names(f"{ours}.bn"), strict=True))
        for classifier, ours in CLASSIFIERS.items():
            renamed |= {f"{classifier}.{part}": f"{ours}.{part}" for part in ("weight", "bias")}
        return renamed

    def reference(
        self,
        state: Mapping[str, torch.Tensor],
        space: SearchSpace,
        arch: Arch | None,
        in_channels: int,
    ) -> nn.Module:
        """The segmentor, with as many classes and channels as the weights have."""
        needs("mmseg", what=f"converting a {self.name}")
        from mmseg.models import EncoderDecoder

        last = len(space.depths) - 1
        head = dict(
            norm_cfg=dict(type="BN"),
            num_classes=len(state["decode_head.conv_seg.bias"]),
            align_corners=True,
        )
        return EncoderDecoder(
            backbone=dict(
                type="pinas_mm.PiNASBackbone", arch=arch, space=space, in_channels=in_channels
            ),
            decode_head=dict(
                head,
                type="pinas_mm.DeepLabV3ReleaseHead",
                in_channels=space.out_channels[last],
                channels=len(state["decode_head.block.conv.weight"]),
                in_index=last,
            ),
            auxiliary_head=dict(
                head,
                type="mmseg.FCNHead",
                in_channels=space.out_channels[max(last - 1, 0)],
                channels=len(state["auxiliary_head.convs.0.conv.weight"]),
                in_index=max(last - 1, 0),
                num_convs=1,
                concat_input=False,
            ),
            train_cfg=dict(),
            test_cfg=dict(mode="whole"),
        )
