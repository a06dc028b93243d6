"""Rankings with answers that are known beforehand."""

import itertools
import json
import math

import numpy as np
import pytest

from pinas_mm.analysis.ranking import rank
from pinas_mm.errors import UserError

ORDER = np.arange(1.0, 21)


def test_the_same_order():
    found = rank(ORDER, ORDER**3, tops=(1, 5, 20))
    for measure in (found.kendall, found.weighted, found.spearman):
        assert (measure.value, measure.low, measure.high) == pytest.approx((1, 1, 1))
    assert 0.9 < found.pearson.value < 1
    assert {k: m.value for k, m in found.regret.items()} == {1: 0, 5: 0}
    assert {k: m.value for k, m in found.precision.items()} == {1: 1, 5: 1}
    assert found.number == 20
    assert found.partial is None
    assert found.ceiling is None


def test_reversed_order():
    found = rank(ORDER, -ORDER, tops=(1, 5, 15))
    for measure in (found.kendall, found.weighted, found.spearman, found.pearson):
        assert (measure.value, measure.low, measure.high) == pytest.approx((-1, -1, -1))
    assert {k: m.value for k, m in found.regret.items()} == {1: 19, 5: 15, 15: 5}
    assert {k: m.value for k, m in found.precision.items()} == {1: 0, 5: 0, 15: 10 / 15}


def test_one_exchanged_pair_of_four_and_ties():
    # Five of six pairs agree, one does not: (5 - 1) / 6.
    found = rank([1, 2, 3, 4], [1, 3, 2, 4])
    assert found.kendall.value == pytest.approx(4 / 6)
    assert found.spearman.value == pytest.approx(0.8)
    # Five agree, one is tied in one of them.
    assert rank([1, 2, 2, 3], [1, 2, 3, 4]).kendall.value == pytest.approx(5 / math.sqrt(5 * 6))


def test_exchanges_among_the_best_weigh_more():
    top, bottom = ORDER.copy(), ORDER.copy()
    top[-2:], bottom[:2] = top[[-1, -2]], bottom[[1, 0]]
    top, bottom = rank(ORDER, top, resamples=0), rank(ORDER, bottom, resamples=0)
    assert top.kendall.value == bottom.kendall.value
    # Of all pairs' weight 19 (1 + 1/2 + ... + 1/20) the pair has 1 + 1/2, or 1/19 + 1/20.
    whole = 19 * sum(1 / r for r in range(1, 21))
    assert top.weighted.value == pytest.approx(1 - 2 * (1 + 1 / 2) / whole)
    assert bottom.weighted.value == pytest.approx(1 - 2 * (1 / 19 + 1 / 20) / whole)


def test_equal_scores_favour_nothing():
    truth, score = [5, 4, 3, 2, 1], [1, 1, 1, 0, 0]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]):
        found = rank(np.array(truth)[order], np.array(score)[order], tops=(1, 2), resamples=0)
        assert {k: m.value for k, m in found.regret.items()} == {1: 2, 2: 1}
        assert {k: m.value for k, m in found.precision.items()} == {1: 0, 2: 0.5}


def factorial() -> np.ndarray:
    """Cost, and two things that do not hang together: every combination; (3, 20)."""
    return np.array(list(itertools.product(range(5), range(2), range(2))), dtype=float).T


def test_partial_tau_is_0_where_cost_explains_all():
    cost, one, other = factorial()
    found = rank(10 * cost + one, 10 * cost + other, {"macs": cost})
    # Of 190 pairs 10 are tied in either; 160 are ordered by cost, the rest cancels out.
    assert found.kendall.value == pytest.approx(160 / 180)
    assert found.partial.value == pytest.approx(0, abs=1e-9)
    assert found.partial.low < 0 < found.partial.high
    assert found.costs == ("macs",)


@pytest.mark.parametrize(
    ("of_truth", "of_score", "expected"),
    [
        (lambda cost, one, _: cost, lambda cost, one, _: cost + 0.1 * one, 0),
        (lambda cost, one, _: 10 * cost + one, lambda cost, one, _: 10 * cost + one, 1),
        (lambda cost, one, _: 10 * cost + one, lambda cost, one, _: 10 * cost - one, -1),
    ],
    ids=["cost itself", "the same beside cost", "the reverse beside cost"],
)
def test_partial_tau(of_truth, of_score, expected):
    made = factorial()
    truth, score = of_truth(*made), of_score(*made)
    found = rank(truth, score, {"macs": made[0]}, resamples=0)
    assert found.partial.value == pytest.approx(expected)
    # A second cost that ranks alike says nothing more, one that is the same for all nothing.
    more = {"params": 3 * made[0] + 7, "macs": made[0], "latency": np.ones(20)}
    more = rank(truth, score, more, resamples=0)
    assert more.partial.value == pytest.approx(expected)
    assert more.costs == ("params", "macs")


def test_ceiling_is_the_mean_tau_between_seeds():
    seeds = np.array([[1, 1, 4], [2, 3, 3], [3, 2, 2], [4, 4, 1]], dtype=float)
    found = rank(seeds[:, :2], [1, 2, 3, 4], resamples=0)
    assert found.ceiling.value == pytest.approx(4 / 6)
    # The first against the third is reversed, the second against it too but for a pair.
    found = rank(seeds, [1, 2, 3, 5])
    assert found.ceiling.value == pytest.approx((4 / 6 - 1 - 4 / 6) / 3)
    assert found.ceiling.low <= found.ceiling.value <= found.ceiling.high


def test_a_seed_may_lack_architectures():
    seeds = np.array([[1, 1], [2, 3], [3, 2], [4, 4], [9, np.nan]], dtype=float)
    found = rank(seeds, [1, 2, 3, 4, 5], resamples=0)
    assert found.number == 5
    assert found.ceiling.value == pytest.approx(4 / 6)
    assert rank(seeds[2:], [1, 2, 3], resamples=0).ceiling is None


def test_intervals_hold_the_true_tau_as_often_as_they_say():
    rng = np.random.default_rng(0)
    correlation, held = 0.7, []
    true = 2 / math.pi * math.asin(correlation)
    for _ in range(60):
        x, noise = rng.normal(size=(2, 80))
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        found = rank(x, y, tops=(), resamples=100).kendall
        held.append(found.low < true < found.high)
        assert found.low < found.value < found.high
    assert 0.85 < np.mean(held) < 1


def test_intervals_are_the_seeds_and_reach_json():
    scores = np.random.default_rng(0).normal(size=20) + ORDER / 4
    one, same, other = (rank(ORDER, scores, resamples=50, seed=s) for s in (0, 0, 1))
    assert one == same
    assert one.kendall != other.kendall
    assert one.kendall.value == other.kendall.value
    assert one.kendall.shown(2) == f"{one.kendall.value:.2f} ({one.kendall.low:.2f} to " + (
        f"{one.kendall.high:.2f})"
    )
    assert "(" not in rank(ORDER, scores, resamples=0).kendall.shown()
    written = json.loads(json.dumps(rank(ORDER, scores, resamples=0).to_dict(), allow_nan=False))
    assert written["kendall"] == dict(value=one.kendall.value, low=None, high=None)
    assert written["partial"] is None


@pytest.mark.parametrize(
    ("truth", "scores", "costs", "expected"),
    [
        ([], [], {}, "0 true values and 0 scores: a ranking needs both of the same 3"),
        ([1, 2], [1, 2], {}, "2 true values and 2 scores: a ranking needs both of the same 3"),
        ([1, 2, 3], [1, 2, 3, 4], {}, "3 true values and 4 scores"),
        ([1, 1, 1], [1, 2, 3], {}, "the true value is the same for all"),
        ([1, 2, 3], [5, 5, 5], {}, "the score is the same for all"),
        ([1, math.nan, 3], [1, 2, 3], {}, "true value: it must be a finite number"),
        ([1, 2, 3], [1, 2, math.inf], {}, "score: it must be a finite number"),
        ([1, 2, 3], [1, 2, 3], {"macs": [1, 2]}, "macs: it must be a finite number for each"),
    ],
)
def test_nothing_to_rank(truth, scores, costs, expected):
    with pytest.raises(UserError, match=expected):
        rank(truth, scores, costs)
