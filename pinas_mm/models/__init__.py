"""Networks; importing this registers them."""

from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.deeplabv3_head import DeepLabV3ReleaseHead
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import PATH_SAMPLERS
from pinas_mm.space.paths import CrossPaths, FairPaths, UniformPaths

# Registered here and not where they are defined, so that the samplers need NumPy only.
for _sampler in (UniformPaths, CrossPaths, FairPaths):
    PATH_SAMPLERS.register_module(module=_sampler)

__all__ = ["DeepLabV3ReleaseHead", "PiNASBackbone", "PiNASSupernet"]
