"""A supernet's backbone alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import nn

from pinas_mm.convert.kind import Kind
from pinas_mm.convert.layout import Layout, looks_like_supernet
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.space import Arch, SearchSpace


class Supernet(Kind):
    """For ``init_cfg=dict(type='pinas_mm.FromSupernet', checkpoint=...)``."""

    name = "supernet backbone"
    supernet = True
    backbones: ClassVar = {"": "backbone."}

    def recognizes(self, names: Collection[str]) -> bool:
        """By the candidates' index in ``layer1.0.2.conv1.weight``."""
        return looks_like_supernet(names) is True

    def others(self, layout: Layout) -> dict[str, str]:
        """There is nothing but the backbone."""
        return {}

    def reference(
        self,
        state: Mapping[str, torch.Tensor],
        space: SearchSpace,
        arch: Arch | None,
        in_channels: int,
    ) -> nn.Module:
        """The supernet, under the name it has in our models."""
        return nn.ModuleDict(dict(backbone=PiNASSupernet(space, in_channels)))
