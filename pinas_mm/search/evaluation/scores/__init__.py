"""Scores of architectures; importing this registers them."""

from pinas_mm.search.evaluation.scores.base import ArchScore, FeatureScore, Score
from pinas_mm.search.evaluation.scores.classification import ClassificationScore
from pinas_mm.search.evaluation.scores.cross_path import CrossPathScore
from pinas_mm.search.evaluation.scores.predict import PredictScore
from pinas_mm.search.evaluation.scores.probe import ProbeScore
from pinas_mm.search.evaluation.scores.zero_cost import (
    CostScore,
    GradNormScore,
    NASWOTScore,
    SynFlowScore,
)

__all__ = [
    "ArchScore",
    "ClassificationScore",
    "CostScore",
    "CrossPathScore",
    "FeatureScore",
    "GradNormScore",
    "NASWOTScore",
    "PredictScore",
    "ProbeScore",
    "Score",
    "SynFlowScore",
]
