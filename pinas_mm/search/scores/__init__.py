"""Scores of architectures; importing this registers them."""

from pinas_mm.search.scores.base import Score
from pinas_mm.search.scores.cross_path import CrossPathScore
from pinas_mm.search.scores.metric import MetricScore
from pinas_mm.search.scores.probe import ProbeScore

__all__ = ["CrossPathScore", "MetricScore", "ProbeScore", "Score"]
