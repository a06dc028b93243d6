"""A whole self-supervised training checkpoint: student, teacher, queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import nn

from pinas_mm.algorithms.pinas import PiNAS
from pinas_mm.convert.kind import Kind
from pinas_mm.convert.layout import Layout
from pinas_mm.space import Arch, SearchSpace

NECK = ("mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias")
HEAD = ("queue", "queue_ptr")


class Training(Kind):
    """For :class:`~pinas_mm.algorithms.PiNAS` with a mean teacher and a negative queue."""

    name = "self-supervised training checkpoint"
    supernet = True
    backbones: ClassVar = {"encoder_q.0.": "backbone.", "encoder_k.0.": "teacher.backbone."}
    duplicates: ClassVar = {"backbone.": "encoder_q.0."}

    def recognizes(self, names: Collection[str]) -> bool:
        """By the two encoders."""
        return any(name.startswith(("encoder_q.", "encoder_k.")) for name in names)

    def others(self, layout: Layout) -> dict[str, str]:
        """Both necks and the queue."""
        student = {f"encoder_q.1.{name}": f"neck.{name}" for name in NECK}
        teacher = {f"encoder_k.1.{name}": f"teacher.neck.{name}" for name in NECK}
        return student | teacher | {name: f"head.pair.{name}" for name in HEAD}

    def reference(
        self,
        state: Mapping[str, torch.Tensor],
        space: SearchSpace,
        arch: Arch | None,
        in_channels: int,
    ) -> nn.Module:
        """The algorithm; any sampler will do, samplers have no weights."""
        dim, queue_size = len(state["neck.mlp.2.bias"]), state["head.pair.queue"].shape[-1]
        pair = dict(type="pinas_mm.InfoNCEHead", dim=dim, queue_size=queue_size)
        return PiNAS(
            backbone=dict(type="pinas_mm.PiNASSupernet", space=space, in_channels=in_channels),
            neck=dict(
                type="mmpretrain.MoCoV2Neck",
                in_channels=space.out_channels[-1],
                hid_channels=len(state["neck.mlp.0.bias"]),
                out_channels=dim,
            ),
            head=dict(type="pinas_mm.CrossPathHead", pair=pair),
            paths=dict(type="pinas_mm.UniformPaths"),
        )
