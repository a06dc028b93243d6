"""Scores against true values, and rank against rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from pinas_mm.analysis.ranking import Ranking
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.report.figures.style import (
    BEST,
    MOST_SHAPES,
    MUTED,
    POINT,
    heading,
    label,
    panels,
    scale,
    styled,
)


@styled
def draw_ranking(
    true: NDArray[Any], scores: NDArray[Any], ranking: Ranking, metric: Objective, score: Objective
) -> Figure:
    """Two panels: values, and ranks, of which 1 is the best.

    Args:
        true, scores: as they are shown, shape (n,) each.
        ranking: of the two.
        metric, score: what they are, and which way is better.
    """
    figure, axes = panels(2, 4.6)
    number, kendall = ranking.number, ranking.kendall
    style: dict[str, Any] = dict(s=14 if number < MOST_SHAPES else 3, color=POINT, linewidths=0)
    style |= dict(alpha=0.75 if number < 300 else 0.35, rasterized=number > MOST_SHAPES)
    names = label(metric.name), label(score.name)
    axes[0].scatter(scores, true, **style)
    heading(
        axes[0],
        " and ".join(names),
        f"{number} architectures; Kendall tau-b {kendall.shown(3)}",
    )
    axes[0].set(xlabel=names[1], ylabel=names[0])
    scale(axes[0].xaxis, score.name, 5)
    scale(axes[0].yaxis, metric.name)
    ranks = [
        stats.rankdata(-way.sign * values, "min")
        for way, values in ((metric, true), (score, scores))
    ]
    axes[1].scatter(ranks[1], ranks[0], **style)
    axes[1].plot([1, number], [1, number], color=MUTED, lw=1, ls=(0, (4, 3)))
    best = int(np.lexsort((-ranks[0], ranks[1]))[0])
    axes[1].plot(ranks[1][best], ranks[0][best], "*", color=BEST, ms=13, mec="white", mew=0.8)
    heading(
        axes[1],
        "Ranks",
        f"1 is the best; star: the best score, of true rank {ranks[0][best]:.0f}",
    )
    axes[1].set(xlabel=f"rank by {names[1]}", ylabel=f"rank by {names[0]}")
    for axis in axes:
        axis.grid()
    return figure
