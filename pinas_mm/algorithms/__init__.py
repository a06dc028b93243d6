"""How a supernet is trained; importing this registers the algorithms."""

from pinas_mm.algorithms.heads import CrossPathHead, MeanTeacherHead, PiModelHead
from pinas_mm.algorithms.pinas import PiNAS
from pinas_mm.algorithms.supernet_classifier import SupernetClassifier
from pinas_mm.algorithms.teacher import MeanTeacher, SelfTeacher

__all__ = [
    "CrossPathHead",
    "MeanTeacher",
    "MeanTeacherHead",
    "PiModelHead",
    "PiNAS",
    "SelfTeacher",
    "SupernetClassifier",
]
