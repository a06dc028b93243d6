"""What accuracy costs: objective against costs, and the Pareto front."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pinas_mm.search.budget.objective import Objective, cost_names
from pinas_mm.search.record.findings import Findings, pareto_fronts
from pinas_mm.search.report.figures.style import (
    BEST,
    INK,
    MOST_SHAPES,
    MUTED,
    ORDER,
    heading,
    label,
    nothing_yet,
    panels,
    scale,
    styled,
)

# Shares of a panel's width beyond its points within which a constraint's bound is still shown.
NEAR = 0.4


@styled
def draw_costs(findings: Findings, narrow: bool = False) -> Figure:
    """The first metric among the objectives against the other objectives and all known costs.

    Points are coloured by the order in which they were evaluated. The front is that of the panel's
    two axes where one objective was searched for, and the search's own where several were.

    Args:
        findings: of a search.
        narrow: whether the figure is for a telephone.
    """
    if not findings.evaluated:
        return nothing_yet(narrow)
    main = next(
        (o for o in findings.objectives if o.name not in cost_names()), findings.objectives[0]
    )
    others = [o for o in findings.objectives if o != main]
    named = {o.name for o in findings.objectives}
    known = [c for c in cost_names() if all(c in e.costs for e in findings.evaluated)]
    others += [Objective.parse(cost) for cost in known if cost not in named]
    if not others:
        return nothing_yet(narrow)
    figure, axes = panels(len(others), 3.9, narrow, sharey=True)
    for index, (axis, other) in enumerate(zip(axes, others, strict=True)):
        _panel(axis, findings, main, other, f"points_{index}")
    for axis in axes if narrow else axes[::3]:
        axis.set_ylabel(label(main.name))
    number = len(findings.evaluated)
    bar = figure.colorbar(
        ScalarMappable(Normalize(1, max(number, 2)), ORDER),
        ax=axes,
        label="order of evaluation",
        location="bottom" if narrow else "right",
        pad=0.015,
        aspect=30,
        ticks=MaxNLocator(6, integer=True),
    )
    cast(Any, bar.outline).set_visible(False)
    figure.legend(
        handles=[
            Line2D([], [], color=INK, lw=1, marker="o", mfc="none", mew=1, label="Pareto front"),
            Line2D([], [], color=BEST, lw=0, marker="*", ms=11, mec="white", label="best"),
            *_bound_handle(axes),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _panel(axis: Axes, findings: Findings, main: Objective, other: Objective, gid: str) -> None:
    x, y = _values(findings, other), _values(findings, main)
    number = len(x)
    axis.scatter(
        x,
        y,
        c=np.arange(1, number + 1),
        cmap=ORDER,
        norm=Normalize(1, max(number, 2)),
        s=16,
        alpha=0.85,
        linewidths=0,
        gid=gid,
        rasterized=number > MOST_SHAPES,
    )
    several = len(findings.objectives) > 1
    plane = not several or {main, other} == set(findings.objectives)
    if plane:
        gains = np.stack([main.sign * y, other.sign * x], axis=1)
        front = np.flatnonzero(pareto_fronts(gains) == 0)
    else:
        trials = {e.trial for e in findings.front()}
        front = np.array([i for i, e in enumerate(findings.evaluated) if e.trial in trials])
    front = front[np.lexsort((y[front], x[front]))]
    where = "steps-post" if other.sign < 0 else "steps-pre"
    line = dict(lw=1, drawstyle=where) if plane else dict(lw=0)
    axis.plot(x[front], y[front], color=INK, marker="o", ms=5.5, mfc="none", mew=1, **line)
    best = findings.best(1)[0]
    winner = next(i for i, e in enumerate(findings.evaluated) if e.trial == best.trial)
    axis.plot(x[winner], y[winner], "*", color=BEST, ms=13, mec="white", mew=0.8, zorder=4)
    _bounds(axis, findings, other.name, x)
    note = (
        "circled: the search's front"
        if several
        else f"line: best {label(main.name)} of each budget"
    )
    heading(axis, f"{label(main.name)} and {label(other.name)}", note)
    axis.set_xlabel(label(other.name))
    scale(axis.xaxis, other.name, 5)
    scale(axis.yaxis, main.name)
    axis.grid()


def _values(findings: Findings, objective: Objective) -> NDArray[Any]:
    names = [o.name for o in findings.objectives]
    if objective.name in names:
        index = names.index(objective.name)
        return np.array([e.values[index] for e in findings.evaluated])
    return np.array([e.costs[objective.name] for e in findings.evaluated])


def _bounds(axis: Axes, findings: Findings, name: str, x: NDArray[Any]) -> None:
    for constraint in findings.constraints:
        reach = NEAR * (x.max() - x.min())
        if constraint.name == name and x.min() - reach <= constraint.bound <= x.max() + reach:
            axis.axvline(constraint.bound, color=MUTED, ls=(0, (4, 3)), lw=1.2, gid="bound")


def _bound_handle(axes: list[Axes]) -> list[Line2D]:
    drawn = any(line.get_gid() == "bound" for axis in axes for line in axis.lines)
    return [Line2D([], [], color=MUTED, ls=(0, (4, 3)), label="constraint")] if drawn else []
