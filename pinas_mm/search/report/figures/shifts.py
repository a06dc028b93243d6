"""Feature and parameter shift by depth."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pinas_mm.analysis.shift import Shifts
from pinas_mm.search.report.figures.style import BEST, POINT, heading, panels, styled

# How each measure is read.
NOTES = {
    "feature/cosine": "one minus cosine; 0 equal, 1 orthogonal",
    "feature/l2": "relative L2; 0 equal, 2 opposed",
    "feature/cka": "one minus centred kernel alignment; 0 alike, 1 unrelated",
    "parameter/cosine": "one minus cosine of gradients; 1 unrelated, 2 opposed",
    "parameter/conflict": "share of opposite signs; 0.5 unrelated",
    "parameter/motion": "relative change per step",
}


@styled
def draw_shifts(shifts: Shifts) -> Figure:
    """Of each measure the mean by depth, and the standard deviation over the comparisons.

    One panel a measure.
    """
    figure, axes = panels(len(shifts.values), 3.0)
    ticks = np.arange(len(shifts.places))
    for axis, (name, values) in zip(axes, shifts.values.items(), strict=True):
        where = [place for place, found in enumerate(values) if len(found)]
        means = [np.mean(values[place]) for place in where]
        spread = [np.std(values[place]) for place in where]
        color = BEST if name.startswith("parameter") else POINT
        axis.errorbar(where, means, spread, color=color, marker="o", ms=4, lw=1.6, capsize=2)
        heading(axis, name, NOTES.get(name, ""))
        axis.set_xticks(ticks, shifts.places, rotation=90)
        top = max(map(sum, zip(means, spread, strict=True)), default=0.0)
        axis.set(xlim=(-0.5, len(ticks) - 0.5), ylim=(0, 1.08 * top or 1))
        axis.grid(axis="y")
    return figure
