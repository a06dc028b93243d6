"""How a supernet is trained; importing this registers the algorithms."""

from pinas_mm.algorithms.base import Step, SupernetAlgorithm
from pinas_mm.algorithms.heads import CrossPathHead, InfoNCEHead, PiModelHead
from pinas_mm.algorithms.pinas import PiNAS
from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.algorithms.teacher import MeanTeacher, SelfTeacher

__all__ = [
    "CrossPathHead",
    "InfoNCEHead",
    "MeanTeacher",
    "PiModelHead",
    "PiNAS",
    "SelfTeacher",
    "SinglePath",
    "Step",
    "SupernetAlgorithm",
]
