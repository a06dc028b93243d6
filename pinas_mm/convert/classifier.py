"""A stand-alone ImageNet classifier."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from mmpretrain.models import ImageClassifier
from torch import nn

from pinas_mm.convert.kind import Kind
from pinas_mm.convert.layout import Layout, looks_like_supernet
from pinas_mm.space import Arch, SearchSpace


class Classifier(Kind):
    """For mmpretrain's ``ImageClassifier`` with a ``LinearClsHead`` on pooled features."""

    name = "stand-alone classifier"
    supernet = False
    backbones: ClassVar = {"": "backbone."}

    def recognizes(self, names: Collection[str]) -> bool:
        """By a network's names without candidates' index."""
        return looks_like_supernet(names) is False

    def others(self, layout: Layout) -> dict[str, str]:
        """The linear layer."""
        return {"fc.weight": "head.fc.weight", "fc.bias": "head.fc.bias"}

    def reference(
        self,
        state: Mapping[str, torch.Tensor],
        space: SearchSpace,
        arch: Arch | None,
        in_channels: int,
    ) -> nn.Module:
        """The classifier, with as many classes as the weights have."""
        return ImageClassifier(
            backbone=dict(
                type="pinas_mm.PiNASBackbone", arch=arch, space=space, in_channels=in_channels
            ),
            neck=dict(type="mmpretrain.GlobalAveragePooling"),
            head=dict(
                type="mmpretrain.LinearClsHead",
                num_classes=len(state["head.fc.bias"]),
                in_channels=space.out_channels[-1],
            ),
        )
