"""Networks; importing this registers them, and what they are made of."""

from __future__ import annotations

from typing import Any

from torch import nn

from pinas_mm import operations, skeletons
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.cost import macs, params
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import COSTS, MODELS, OPERATIONS, PATH_SAMPLERS, SKELETONS
from pinas_mm.space import paths
from pinas_mm.stack import needs

# Registered here and not where they are defined, so that search spaces need no torch.
for _registry, _room, _names in (
    (OPERATIONS, operations, set(operations.__all__) - {"BlockSpec", "Operation"}),
    (SKELETONS, skeletons, set(skeletons.__all__) - {"Skeleton"}),
    (PATH_SAMPLERS, paths, {"UniformPaths", "CrossPaths", "FairPaths", "SandwichPaths"}),
):
    for _name in sorted(_names):
        _registry.register_module(module=getattr(_room, _name))
for _cost in (params, macs):
    COSTS.register_module(module=_cost)  # type: ignore[arg-type]  # mmengine takes functions too.


@MODELS.register_module(name="DeepLabV3ReleaseHead")
def deeplabv3_head(**options: Any) -> nn.Module:
    """A :class:`~pinas_mm.models.deeplabv3_head.DeepLabV3ReleaseHead`; only this loads mmseg."""
    needs("mmseg", what="DeepLabV3ReleaseHead")
    from pinas_mm.models.deeplabv3_head import DeepLabV3ReleaseHead

    return DeepLabV3ReleaseHead(**options)


__all__ = ["PiNASBackbone", "PiNASSupernet", "deeplabv3_head"]
