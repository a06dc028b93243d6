"""The best so far over a search."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pinas_mm.search.record.findings import Findings
from pinas_mm.search.report.figures.style import (
    BEST,
    MOST_SHAPES,
    POINT,
    heading,
    label,
    nothing_yet,
    panels,
    scale,
    shown,
    styled,
)


@styled
def draw_progress(findings: Findings, narrow: bool = False) -> Figure:
    """Every evaluated architecture in the order of their ends, and the best so far.

    One panel an objective.

    Args:
        findings: of a search.
        narrow: whether the figure is for a telephone.
    """
    number = len(findings.evaluated)
    if not number:
        return nothing_yet(narrow)
    figure, axes = panels(len(findings.objectives), 3.3, narrow)
    count = np.arange(1, number + 1)
    for index, (axis, objective) in enumerate(zip(axes, findings.objectives, strict=True)):
        values = np.array([e.values[index] for e in findings.evaluated])
        gains = objective.sign * values
        best = objective.sign * np.maximum.accumulate(gains)
        axis.scatter(
            count,
            values,
            s=13,
            color=POINT,
            alpha=0.65,
            linewidths=0,
            gid=f"points_{index}",
            rasterized=number > MOST_SHAPES,
        )
        axis.step([*count, number + 0.5], [*best, best[-1]], where="post", color=BEST, lw=1.8)
        found = int(gains.argmax())
        axis.plot(count[found], values[found], "*", color=BEST, ms=11, mec="white", mew=0.7)
        way = "less is better" if objective.sign < 0 else "more is better"
        heading(
            axis,
            f"Best so far: {label(objective.name)}",
            f"{way}; {shown(objective.name, values[found])} is number {found + 1} of {number}",
        )
        axis.set(xlabel="architectures evaluated", xlim=(0.5 - number * 0.01, number * 1.01 + 0.5))
        axis.xaxis.set_major_locator(MaxNLocator(6 if narrow else 8, integer=True, min_n_ticks=1))
        scale(axis.yaxis, objective.name)
        axis.grid()
    return figure
