"""Models; importing this registers them."""

from pinas_mm import paths as _paths
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.deeplabv3_head import DeepLabV3ReleaseHead
from pinas_mm.models.heads import CrossPathHead, MeanTeacherHead, PiModelHead
from pinas_mm.models.pinas import PiNAS
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.models.supernet_classifier import SupernetClassifier
from pinas_mm.models.teacher import MeanTeacher, SelfTeacher
from pinas_mm.registry import PATH_SAMPLERS

# Registered here and not where they are defined, so that the samplers need NumPy only.
for _sampler in (_paths.UniformPaths, _paths.CrossPaths, _paths.FairPaths):
    PATH_SAMPLERS.register_module(module=_sampler)

__all__ = [
    "CrossPathHead",
    "DeepLabV3ReleaseHead",
    "MeanTeacher",
    "MeanTeacherHead",
    "PiModelHead",
    "PiNAS",
    "PiNASBackbone",
    "PiNASSupernet",
    "SelfTeacher",
    "SupernetClassifier",
]
