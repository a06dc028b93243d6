"""Do scores rank architectures as their true values do, and how sure is that?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.analysis.tau import Concordance
from pinas_mm.errors import UserError

LEAST = 3
TOPS = (1, 5, 10)
RESAMPLES = 500
# Of the intervals.
LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number and its 95% interval, NaN where it is not defined."""

    value: float
    low: float
    high: float

    def shown(self, digits: int = 4) -> str:
        """The value, and its interval in brackets if there is one."""
        interval = f" ({self.low:.{digits}f} to {self.high:.{digits}f})"
        return f"{self.value:.{digits}f}{'' if np.isnan(self.low) else interval}"


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How well scores rank architectures.

    Attributes:
        number: architectures compared.
        kendall: Kendall's tau-b, which corrects for ties.
        weighted: weighted tau, see :class:`~pinas_mm.analysis.tau.Concordance`: exchanges among the
            best count more.
        spearman, pearson: correlations of ranks and of values.
        partial: Kendall's tau-b with the costs held fixed; None without costs.
        costs: what was held fixed.
        regret: by k, how far the best true value among the k top-scored lies below the best.
        precision: by k, the share of the k top-scored that are among the k truly best.
        ceiling: mean tau-b between two seeds of the truth, above which no score can be told from
            noise of one seed; None where it has one seed.
    """

    number: int
    kendall: Measure
    weighted: Measure
    spearman: Measure
    pearson: Measure
    partial: Measure | None
    costs: tuple[str, ...]
    regret: dict[int, Measure]
    precision: dict[int, Measure]
    ceiling: Measure | None

    def named(self) -> dict[str, Measure]:
        """Every measure that there is, by a readable name."""
        held = " and ".join(self.costs)
        single = {
            "Kendall tau-b": self.kendall,
            "weighted tau": self.weighted,
            "Spearman rho": self.spearman,
            "Pearson r": self.pearson,
            f"Kendall tau-b, {held} held fixed": self.partial,
            "ceiling: Kendall tau-b between seeds": self.ceiling,
        }
        return {
            **{name: measure for name, measure in single.items() if measure is not None},
            **{f"regret of the top {k}": measure for k, measure in self.regret.items()},
            **{f"precision at {k}": measure for k, measure in self.precision.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for what is not defined."""
        return _plain(dataclasses.asdict(self))


def rank(
    truth: NDArray[Any] | Sequence[float],
    scores: Sequence[float],
    costs: Mapping[str, Sequence[float]] | None = None,
    tops: Sequence[int] = TOPS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Ranking:
    """Compares scores with true values of the same architectures, in the same order.

    Intervals are percentile bootstrap intervals over architectures: n of them are drawn anew with
    replacement. A resample is kept as the number of times that each is in it, so that a measure
    takes O(n log n) time and memory; 500 resamples of 32,768 architectures take seconds. A
    resample in which a measure is not defined, as one architecture n times, is left out.
    For correlations, averages over pairs of architectures, such intervals hold; those of regret and
    precision, which hang on the few best, are rough: each resample lacks a third of the
    architectures, and every third one the best.
    Where scores are equal, the truly worse architecture counts as the better scored, so that the
    order in a table favours nothing.

    The partial tau comes of all taus between truth, scores and costs as a partial correlation of
    their correlations: 0 where the costs explain all that scores and truth have in common, and
    where they leave nothing to explain.

    Args:
        truth: more is better, shape (n,), or (n, seeds), of which the mean is ranked; NaN where an
            architecture lacks a seed.
        scores: more is better, length n.
        costs: what to hold fixed for the partial tau, by name, each of length n; what is the same
            for all is left out.
        tops: numbers k of the top-k measures; those of n and more are left out.
        resamples: of the bootstrap; 0 leaves the intervals NaN.
        seed: of the resamples.

    Raises:
        UserError: fewer than three architectures, lengths that differ, a value that is no number,
            or truth or scores that are the same for all, which ranks nothing.
    """
    seeds = np.asarray(truth, dtype=float)
    scored = np.asarray(scores, dtype=float)
    if len(seeds) != len(scored) or len(scored) < LEAST:
        raise UserError(
            f"{len(seeds)} true values and {len(scored)} scores: a ranking needs both of the same "
            f"{LEAST} or more architectures"
        )
    seeds = seeds.reshape(len(seeds), -1)
    true = _mean_of_seeds(seeds)
    held = {name: np.asarray(values, dtype=float) for name, values in (costs or {}).items()}
    for name, values in {"true value": true, "score": scored, **held}.items():
        if len(values) != len(scored) or not np.isfinite(values).all():
            raise UserError(f"{name}: it must be a finite number for each architecture")
        if name not in held and np.ptp(values) == 0:
            raise UserError(f"the {name} is the same for all architectures: it ranks nothing")
    held = {name: values for name, values in held.items() if np.ptp(values)}
    tops = [k for k in sorted(set(tops)) if 1 <= k < len(scored)]

    measures = [
        _correlations(true, scored),
        _partial(true, scored, list(held.values())),
        _ceiling(seeds),
        _top(true, scored, tops),
    ]

    def all_of(times: NDArray[Any]) -> list[float]:
        return [value for measure in measures for value in measure(times)]

    found = all_of(np.ones(len(scored), dtype=np.int64))
    rng, number = np.random.default_rng(seed), len(scored)
    drawn = [
        all_of(np.bincount(rng.integers(number, size=number), minlength=number))
        for _ in range(resamples)
    ]
    made = [
        Measure(value, *_interval(values))
        for value, values in zip(found, np.array(drawn).reshape(-1, len(found)).T, strict=True)
    ]
    kendall, weighted, spearman, pearson, partial, ceiling, *top = made
    return Ranking(
        number,
        kendall,
        weighted,
        spearman,
        pearson,
        partial if held else None,
        tuple(held),
        dict(zip(tops, top[: len(tops)], strict=True)),
        dict(zip(tops, top[len(tops) :], strict=True)),
        None if np.isnan(ceiling.value) else ceiling,
    )


# Measures of a resample, given as how often each architecture is taken.
Measured = Callable[[NDArray[Any]], Sequence[float]]


def _correlations(true: NDArray[Any], scored: NDArray[Any]) -> Measured:
    pairs = Concordance(true, scored)
    groups = [np.unique(values, return_inverse=True)[1] for values in (true, scored)]

    def measure(times: NDArray[Any]) -> list[float]:
        one, other = (_ranks(group, times) for group in groups)
        return [*pairs.taus(times), _pearson(one, other, times), _pearson(true, scored, times)]

    return measure


def _ranks(groups: NDArray[Any], times: NDArray[Any]) -> NDArray[Any]:
    """Ranks in a resample; equals share the mean of theirs."""
    copies = np.bincount(groups, times)
    return (np.cumsum(copies) - copies / 2)[groups]


def _pearson(one: NDArray[Any], other: NDArray[Any], times: NDArray[Any]) -> float:
    taken = times > 0
    if not (np.ptp(one[taken]) and np.ptp(other[taken])):
        return np.nan
    one, other = (values - np.average(values, weights=times) for values in (one, other))
    spread = (times @ one**2) * (times @ other**2)
    return float(times @ (one * other) / np.sqrt(spread))


def _partial(true: NDArray[Any], scored: NDArray[Any], costs: Sequence[NDArray[Any]]) -> Measured:
    if not costs:
        return lambda times: [np.nan]
    columns = [true, scored, *costs]
    pairs = {
        (i, j): Concordance(columns[i], columns[j])
        for i, j in itertools.combinations(range(len(columns)), 2)
    }

    def measure(times: NDArray[Any]) -> list[float]:
        taus = np.eye(len(columns))
        for (i, j), pair in pairs.items():
            taus[i, j] = taus[j, i] = pair.taus(times, weighted=False)[0]
        return [_held_fixed(taus)]

    return measure


def _held_fixed(taus: NDArray[Any]) -> float:
    """The partial correlation of the first two, the others held fixed.

    Tau-b is the correlation of the signs of all pairs, so that it may be handled as one.
    """
    if np.isnan(taus).any():
        return np.nan
    # By the pseudo-inverse: of two costs that rank alike one says nothing more.
    explained = taus[:2, 2:] @ np.linalg.pinv(taus[2:, 2:], rcond=1e-9) @ taus[2:, :2]
    left = taus[:2, :2] - explained
    if min(left[0, 0], left[1, 1]) < 1e-9:
        return 0.0
    return float(left[0, 1] / np.sqrt(left[0, 0] * left[1, 1]))


def _ceiling(seeds: NDArray[Any]) -> Measured:
    """The mean tau-b of all pairs of seeds that have three architectures in common."""
    pairs = []
    for i, j in itertools.combinations(range(seeds.shape[1]), 2):
        both = np.isfinite(seeds[:, [i, j]]).all(axis=1)
        if both.sum() >= LEAST:
            pairs.append((both, Concordance(seeds[both, i], seeds[both, j])))

    def measure(times: NDArray[Any]) -> list[float]:
        taus = [pair.taus(times[both], weighted=False)[0] for both, pair in pairs]
        return [float(np.mean(taus)) if taus else np.nan]

    return measure


def _top(true: NDArray[Any], scored: NDArray[Any], tops: Sequence[int]) -> Measured:
    """Regret for each k, then precision for each k."""
    by_score, by_truth = np.lexsort((true, -scored)), np.argsort(-true, kind="stable")

    def measure(times: NDArray[Any]) -> list[float]:
        taken, best = times[by_score], true[by_truth]
        ends, best_ends = np.cumsum(taken), np.cumsum(times[by_truth])
        regrets, precisions = [], []
        for k in tops:
            # Copies among the k top-scored, and the k-th best true value.
            copies = np.clip(k - (ends - taken), 0, taken)
            kth = best[np.searchsorted(best_ends, k)]
            values = true[by_score]
            regrets.append(best[np.searchsorted(best_ends, 1)] - values[copies > 0].max())
            precisions.append(copies[values >= kth].sum() / k)
        return [float(value) for value in (*regrets, *precisions)]

    return measure


def _mean_of_seeds(seeds: NDArray[Any]) -> NDArray[Any]:
    """Mean over the seeds that an architecture has; NaN where it has none."""
    has = ~np.isnan(seeds)
    with np.errstate(invalid="ignore"):
        return np.where(has, seeds, 0).sum(axis=1) / has.sum(axis=1)


def _interval(values: NDArray[Any]) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
