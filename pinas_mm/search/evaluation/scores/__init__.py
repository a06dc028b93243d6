"""Scores of architectures; importing this registers them."""

from pinas_mm.search.evaluation.scores.base import Score
from pinas_mm.search.evaluation.scores.classification import ClassificationScore
from pinas_mm.search.evaluation.scores.cross_path import CrossPathScore
from pinas_mm.search.evaluation.scores.metric import MetricScore
from pinas_mm.search.evaluation.scores.probe import ProbeScore

__all__ = ["ClassificationScore", "CrossPathScore", "MetricScore", "ProbeScore", "Score"]
