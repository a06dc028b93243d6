"""What follows from the results: every number of the page, with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from pinas_mm.analysis.ranking import LEVEL, RESAMPLES, Measure, Ranking, rank
from pinas_mm.analysis.tau import Concordance

# Architectures of the table that anything may be tuned on; the page uses the others.
TUNED = 40
# Beginnings and ends of scores' names in the results.
AGAIN = "probe2"
RUNNING = ":running"
# What ranks where a contender has several: a probe or a trained head, not the loss without labels.
BY_LABELS = "accuracy/top1"


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
    """Kendall's tau with the truth, for the same resamples everywhere, so that two scores may be
    compared in pairs.

    Args:
        truth: the true accuracies, shape (archs,).
        number: of resamples.
        seed: of the resamples.
    """

    def __init__(self, truth: np.ndarray, number: int = RESAMPLES, seed: int = 0) -> None:
        self._truth, archs = truth, len(truth)
        draws = np.random.default_rng(seed).integers(archs, size=(number, archs))
        self._times = [np.ones(archs, dtype=np.int64)]
        self._times += [np.bincount(draw, minlength=archs) for draw in draws]

    def taus(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Of several supernets' scores: all architectures, then each resample; (resamples + 1,
        supernets).

        Scores that are the same for all rank nothing, which is a tau of 0.
        """
        pairs = [Concordance(self._truth, one) for one in scores]
        found = [[p.taus(times, weighted=False)[0] for p in pairs] for times in self._times]
        return np.nan_to_num(found)


def measured(taus: np.ndarray) -> Measure:
    """A value and its percentile interval, of all and of the resamples."""
    low, high = np.nanquantile(taus[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measure(float(taus[0]), float(low), float(high))


@dataclasses.dataclass(frozen=True)
class Scored:
    """How well a way of training and scoring supernets ranks.

    Attributes:
        contender: its config's name.
        score: ``probe1 accuracy/top1`` of a probe, ``own accuracy/top1`` of a trained head, ``own
            cross_path/score`` without labels, ``synflow zero_cost/synflow`` and so on.
        taus: Kendall's tau-b with the truth, mean over supernets, of all and of each resample.
        single: of each supernet.
        running: the same as ``taus`` without recalibration; None where nothing is recalibrated.
        rankings: of each supernet that does not score all architectures alike.
    """

    contender: str
    score: str
    taus: np.ndarray
    single: tuple[float, ...]
    running: np.ndarray | None
    rankings: tuple[Ranking, ...]

    def mean(self, measure: str, key: int | None = None) -> float:
        """Of a measure over the supernets; NaN where none ranks."""
        found = [getattr(ranking, measure) for ranking in self.rankings]
        values = [(one if key is None else one[key]).value for one in found]
        return float(np.mean(values)) if values else np.nan


def scored(results: Mapping[str, Any], truth: Truth, number: int = RESAMPLES) -> list[Scored]:
    """Every contender by every score that it has; the number is that of the resamples."""
    resamples, found = Resamples(truth.mean, number), []
    for name, seeds in results["contest"].items():
        first = next(iter(seeds.values()))["scores"]
        for score in first:
            if score.endswith(RUNNING) or score.startswith(AGAIN) or "retrieval" in score:
                continue
            values = [truth.scores(one["scores"][score]) for one in seeds.values()]
            running = None
            if score + RUNNING in first:
                mixed = [truth.scores(s["scores"][score + RUNNING]) for s in seeds.values()]
                running = resamples.taus(mixed).mean(axis=1)
            rankings = tuple(
                rank(truth.accuracy, v, truth.costs, resamples=0) for v in values if np.ptp(v)
            )
            taus = resamples.taus(values)
            single = tuple(taus[0].tolist())
            found.append(Scored(name, score, taus.mean(axis=1), single, running, rankings))
    return found


def difference(one: Scored, other: Scored) -> Measure:
    """How much higher the one's tau is, in the same resamples."""
    return measured(one.taus - other.taus)


def candidate_ranks(archs: Sequence[str], values: np.ndarray, blocks: int) -> dict[str, float]:
    """What values make of candidates: the mean rank of the architectures that have one in a block,
    over the first blocks; 0 is the lowest rank of all, 1 the highest.

    Args:
        archs: texts of the architectures.
        values: of each, shape (archs,).
        blocks: how many.
    """
    ranks = rankdata(values) / len(values)
    found: dict[str, list[float]] = {}
    for arch, one in zip(archs, ranks, strict=True):
        for candidate in arch.replace("-", "")[:blocks]:
            found.setdefault(candidate, []).append(float(one))
    return {candidate: float(np.mean(found[candidate])) for candidate in sorted(found)}


def noise(results: Mapping[str, Any], truth: Truth, number: int = RESAMPLES) -> dict[str, Measure]:
    """Kendall's tau-b between two probes of one supernet, and between probes of two supernets."""
    by_seed = next(iter(results["contest"].values()))
    probes = {seed: run["scores"][f"probe1 {BY_LABELS}"] for seed, run in by_seed.items()}
    found = {}
    for seed, run in by_seed.items():
        again = run["scores"].get(f"{AGAIN} {BY_LABELS}")
        if again:
            taus = Resamples(truth.scores(probes[seed]), number).taus([truth.scores(again)])
            found["two probes of one supernet"] = measured(taus.mean(axis=1))
    values = [truth.scores(one) for one in probes.values()]
    if len(values) > 1:
        pairs = [
            Resamples(one, number).taus(values[place + 1 :])
            for place, one in enumerate(values[:-1])
        ]
        found["probes of two supernets"] = measured(np.concatenate(pairs, axis=1).mean(axis=1))
    return found


@dataclasses.dataclass(frozen=True)
class Shift:
    """One measure of a contender's supernets, mean over the blocks.

    Attributes:
        values: of each supernet.
    """

    values: tuple[float, ...]

    def shown(self) -> str:
        """The mean, and the least and most of the supernets."""
        mean, low, high = np.mean(self.values), min(self.values), max(self.values)
        spread = f" ({low:.3f} to {high:.3f})" if len(self.values) > 1 else ""
        return f"{mean:.3f}{spread}"


def shifts(results: Mapping[str, Any]) -> dict[str, dict[str, Shift]]:
    """By contender and measure, of those that were trained."""
    return {
        name: {
            measure: Shift(tuple(run["shifts"]["overall"][measure] for run in seeds.values()))
            for measure in next(iter(seeds.values()))["shifts"]["overall"]
        }
        for name, seeds in results["contest"].items()
        if "shifts" in next(iter(seeds.values()))
    }
