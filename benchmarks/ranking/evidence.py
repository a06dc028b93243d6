"""What follows from the results: every number of the page, with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pinas_mm.analysis.ranking import LEVEL, RESAMPLES, Measure, Ranking, rank
from pinas_mm.analysis.tau import Concordance

# Architectures of the table that anything may be tuned on; the page uses the others.
TUNED = 40
# What scores are called, by their names in the results.
OWN, PROBE, AGAIN = "own", "probe1", "probe2"
ACCURACY, CROSS_PATH = "accuracy/top1", "cross_path/score"
RUNNING = ":running"


@dataclasses.dataclass(frozen=True)
class Truth:
    """The architectures that the page uses, and what training them alone gave.

    Attributes:
        archs: their texts.
        accuracy: percent, shape (archs, seeds).
        costs: ``params`` and ``macs``, of shape (archs,).
    """

    archs: tuple[str, ...]
    accuracy: np.ndarray
    costs: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], tuned: int = TUNED) -> Truth:
        """Of the table's rows; the first ``tuned`` architectures are left out."""
        archs = tuple(dict.fromkeys(row["arch"] for row in rows))[tuned:]
        seeds = sorted({row["seed"] for row in rows})
        values = {(row["arch"], row["seed"]): row["accuracy"] for row in rows}
        costs = {row["arch"]: (row["params"], row["macs"]) for row in rows}
        accuracy = np.array([[values[arch, seed] for seed in seeds] for arch in archs])
        params, macs = np.array([costs[arch] for arch in archs], dtype=float).T
        return cls(archs, accuracy, dict(params=params, macs=macs))

    @property
    def mean(self) -> np.ndarray:
        """Over the seeds."""
        return self.accuracy.mean(axis=1)

    def scores(self, found: Mapping[str, float]) -> np.ndarray:
        """A supernet's scores, in the order of the architectures."""
        return np.array([found[arch] for arch in self.archs])


class Resamples:
    """Means over supernets of Kendall's tau with the truth, for the same resamples everywhere, so
    that two of them may be compared in pairs.

    Args:
        truth: the true accuracies, shape (archs,).
        seed: of the resamples.
    """

    def __init__(self, truth: np.ndarray, seed: int = 0) -> None:
        self._truth, number = truth, len(truth)
        rng = np.random.default_rng(seed)
        draws = rng.integers(number, size=(RESAMPLES, number))
        self._times = [np.ones(number, dtype=np.int64)]
        self._times += [np.bincount(draw, minlength=number) for draw in draws]

    def taus(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """The mean over several supernets' scores: of all, then of each resample."""
        pairs = [Concordance(self._truth, one) for one in scores]
        return np.array(
            [np.mean([p.taus(times, weighted=False)[0] for p in pairs]) for times in self._times]
        )


def measured(taus: np.ndarray) -> Measure:
    """A value and its percentile interval, of all and of the resamples."""
    low, high = np.nanquantile(taus[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measure(float(taus[0]), float(low), float(high))


@dataclasses.dataclass(frozen=True)
class Scored:
    """How well a way of training and scoring supernets ranks.

    Attributes:
        contender: its config's name.
        score: what scores: ``own accuracy/top1``, ``probe1 accuracy/top1``, ``own
            cross_path/score``.
        taus: Kendall's tau-b with the truth, mean over supernets, of all and of each resample.
        single: of each supernet.
        running: the same as ``taus`` without recalibration; None where nothing is recalibrated.
        rankings: of each supernet.
    """

    contender: str
    score: str
    taus: np.ndarray
    single: tuple[float, ...]
    running: np.ndarray | None
    rankings: tuple[Ranking, ...]

    def mean(self, measure: str, key: int | None = None) -> float:
        """Of a measure over the supernets."""
        found = [getattr(ranking, measure) for ranking in self.rankings]
        return float(np.mean([(one if key is None else one[key]).value for one in found]))


def scored(results: Mapping[str, Any], truth: Truth) -> list[Scored]:
    """Every contender by every score that it has."""
    resamples, found = Resamples(truth.mean), []
    for name, seeds in results["contest"].items():
        first = next(iter(seeds.values()))["scores"]
        for score in first:
            if score.endswith(RUNNING) or score.startswith(AGAIN) or "retrieval" in score:
                continue
            values = [truth.scores(one["scores"][score]) for one in seeds.values()]
            running = None
            if score + RUNNING in first:
                mixed = [truth.scores(s["scores"][score + RUNNING]) for s in seeds.values()]
                running = resamples.taus(mixed)
            rankings = tuple(rank(truth.accuracy, v, truth.costs, resamples=0) for v in values)
            single = tuple(ranking.kendall.value for ranking in rankings)
            taus = resamples.taus(values)
            found.append(Scored(name, score, taus, single, running, rankings))
    return found
