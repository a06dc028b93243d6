"""Do two scores rank the same architectures alike?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scipy import stats

from pinas_mm.errors import UserError


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """How alike two rankings are: 1 the same, 0 unrelated, -1 reversed.

    Attributes:
        kendall: Kendall's tau-b, which corrects for ties.
        spearman: Spearman's rho.
        number: architectures compared.
    """

    kendall: float
    spearman: float
    number: int

    def __str__(self) -> str:
        return (
            f"Kendall tau {self.kendall:.2f}, Spearman rho {self.spearman:.2f} over {self.number} "
            "architectures"
        )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> RankCorrelation:
    """Compares two scores of the same architectures, in the same order.

    Raises:
        UserError: fewer than two architectures, lengths that differ, or a score that is the same
            for all, which ranks nothing.
    """
    if len(one) != len(other) or len(one) < 2:
        raise UserError(
            f"{len(one)} and {len(other)} scores: rankings need the same two or more architectures"
        )
    if len(set(one)) == 1 or len(set(other)) == 1:
        raise UserError("a score is the same for all architectures: it ranks nothing")
    kendall = float(stats.kendalltau(one, other).statistic)
    spearman = float(stats.spearmanr(one, other).statistic)
    return RankCorrelation(kendall, spearman, len(one))
