"""Rank correlations."""

import pytest

from pinas_mm.analysis.ranking import rank_correlation
from pinas_mm.errors import UserError


def test_same_and_reversed_order():
    assert rank_correlation([1, 2, 3, 4], [10, 11, 30, 40]).kendall == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]).spearman == pytest.approx(-1)


def test_one_exchanged_pair_of_four():
    # Five of six pairs agree, one does not: (5 - 1) / 6.
    found = rank_correlation([1, 2, 3, 4], [1, 3, 2, 4])
    assert found.kendall == pytest.approx(4 / 6)
    assert found.spearman == pytest.approx(0.8)
    assert str(found) == "Kendall tau 0.67, Spearman rho 0.80 over 4 architectures"


@pytest.mark.parametrize("scores", [([1], [2]), ([1, 2], [1, 2, 3]), ([1, 1], [1, 2])])
def test_nothing_to_rank(scores):
    with pytest.raises(UserError):
        rank_correlation(*scores)
