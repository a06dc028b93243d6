"""An architecture drawn as a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pinas_mm.search.budget.constraint import readable
from pinas_mm.search.record.findings import Findings
from pinas_mm.search.report.figures.style import (
    GRID,
    INK,
    MUTED,
    Drawing,
    heading,
    ink_on,
    nothing_yet,
    scale,
    styled,
)
from pinas_mm.search.report.text import printable
from pinas_mm.space import SYMBOLS, Arch, BlockSpec, SearchSpace
from pinas_mm.space.cost import CostTable

COLORS = ("#5b86c4", "#e39a5c", "#62ae95", "#a77bb5", "#cdb04a", "#d0707e", "#7d8aa0", "#97a550")
# Blocks beside each other, in a narrow figure too; more go on in the next row.
MOST_IN_ROW, MOST_IN_NARROW_ROW = 18, 4
# Widths in units of a block: between stages, of the stem, of a whole row at least.
GAP, STEM, LEAST, NARROW_LEAST = 0.4, 1.6, 10.0, 6.0
# Heights of the boxes of the highest and the lowest resolution.
TALL, LOW = 1.0, 0.66
# Characters of a line in a box.
MOST_IN_LINE = 7


@dataclasses.dataclass(frozen=True)
class _Box:
    """A choice block in the picture."""

    number: int
    spec: BlockSpec
    choice: int
    x: float
    height: float
    size: int


@styled
def draw_network(
    findings: Findings,
    cost_table: CostTable | None = None,
    arch: Arch | None = None,
    narrow: bool = False,
) -> Figure:
    """Stem, stages and choice blocks of an architecture from left to right.

    Args:
        findings: of a search.
        cost_table: of its space; with it bars show each block's multiply-adds.
        arch: what to draw; None is the best.
        narrow: whether the figure is for a telephone.
    """
    if arch is None:
        if not findings.evaluated:
            return nothing_yet(narrow)
        arch = findings.best(1)[0].arch
    space = findings.space
    rows = _rows(space, arch, MOST_IN_NARROW_ROW if narrow else MOST_IN_ROW)
    width = max(NARROW_LEAST if narrow else LEAST, *(row[-1].x + 1.6 for row in rows))
    kinds = ["boxes"] if cost_table is None else ["boxes", "bars"]
    heights = [{"boxes": 2.4, "bars": 1.8}[kind] for _ in rows for kind in kinds]
    figure = Drawing(sum(heights), narrow, layout="constrained")
    axes = figure.subplots(
        len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    ).ravel()
    small = 7.2 if width > 14 else 8.5
    for index, row in enumerate(rows):
        axis = axes[index * len(kinds)]
        _draw_row(axis, space, row, small, index == 0, index == len(rows) - 1)
        limits = (-0.1, width)
        if len(rows) == 1:
            spare = (width - row[-1].x - 1.6) / 2
            limits = (-0.1 - spare, width - spare)
        axis.set_xlim(limits)
        if cost_table is not None:
            bars = axes[index * len(kinds) + 1]
            _draw_bars(bars, cost_table, row, small)
            bars.set_xlim(limits)
    heading(
        axes[0],
        f"The best: {arch}",
        "each block's candidate and its numbers; a box's height shows the resolution",
    )
    if cost_table is not None:
        heading(
            axes[1],
            "Multiply-adds of each block",
            "bar: the chosen one; line: from the cheapest to the dearest candidate; what all "
            f"architectures have takes {readable('macs', cost_table['macs'].fixed)} more",
        )
    return figure


def _rows(space: SearchSpace, arch: Arch, most: int) -> list[list[_Box]]:
    """All boxes, row by row."""
    count = -(-space.num_blocks // most)
    per_row = -(-space.num_blocks // count)
    size = space.skeleton.stem_reduction
    sizes = [space.reductions[spec.stage] for spec in space.blocks()]
    depth = np.log2(np.array(sizes) / size)
    heights = TALL - (TALL - LOW) * depth / max(depth.max(), 1)
    rows: list[list[_Box]] = []
    for number, (spec, choice) in enumerate(zip(space.blocks(), arch, strict=True)):
        if number % per_row == 0:
            rows.append([])
            x = STEM if number == 0 else 0.6
        elif spec.first:
            x += GAP
        rows[-1].append(_Box(number, spec, choice, x, float(heights[number]), int(sizes[number])))
        x += 1
    return rows


def _draw_row(
    axis: Axes, space: SearchSpace, row: list[_Box], small: float, first: bool, last: bool
) -> None:
    start, end = (0.9 if first else 0.05), row[-1].x + 0.95
    axis.annotate(
        "",
        (end + 0.2, 0),
        (start, 0),
        arrowprops=dict(arrowstyle="-|>", color=MUTED, lw=1.2, shrinkA=0, shrinkB=0),
        zorder=1,
    )
    if last:
        axis.text(end + 0.24, 0, "head", va="center", size=small + 1)
    if first:
        text, stem = "\n".join(space.skeleton.stem_layers), space.skeleton
        _box(axis, 0.05, 0.9, TALL, GRID)
        axis.text(0.5, 0, text, ha="center", va="center", size=small)
        channels = stem.stem_channels(space.widths)
        _caption(axis, 0.05, 0.95, "stem", channels, stem.stem_reduction, small)
    for index, box in enumerate(row):
        color: Any = _color(box.choice, space.num_candidates)
        _box(axis, box.x + 0.06, 0.88, box.height, color)
        candidate = space.candidates[box.choice]
        ink = ink_on(to_rgb(color))
        middle = box.x + 0.5
        axis.text(
            middle,
            0.04,
            SYMBOLS[box.choice],
            ha="center",
            va="bottom",
            size=small + 4.5,
            weight="bold",
            color=ink,
        )
        words = _in_lines(printable(candidate.label))
        axis.text(middle, 0, words, ha="center", va="top", size=small, color=ink)
        stride = space.strides[box.spec.stage]
        if box.spec.first and stride > 1:
            below = -box.height / 2 - 0.06
            text = f"stride {stride}"
            axis.text(middle, below, text, ha="center", va="top", size=small, color=MUTED)
        if box.spec.first or index == 0:
            of_stage = [b.x for b in row if b.spec.stage == box.spec.stage]
            # Over a single block there is no room for more.
            goes_on = not box.spec.first and len(of_stage) > 1
            title = f"stage {box.spec.stage + 1}" + (", continued" if goes_on else "")
            left, right = box.x + 0.06, of_stage[-1] + 0.94
            _caption(axis, left, right, title, box.spec.out_channels, box.size, small)
    axis.set_ylim(-0.74, 1.22)
    axis.axis("off")


def _in_lines(label: str) -> str:
    """A label's words in lines of at most two short ones, at most three lines."""
    lines: list[str] = []
    for word in label.split():
        if lines and len(lines[-1]) + len(word) < MOST_IN_LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(word if len(word) <= MOST_IN_LINE else f"{word[: MOST_IN_LINE - 1]}.")
    return "\n".join(lines[:3])


def _box(axis: Axes, x: float, width: float, height: float, color: str | tuple[Any, ...]) -> None:
    style = "round,pad=0,rounding_size=0.06"
    axis.add_patch(
        FancyBboxPatch((x, -height / 2), width, height, style, fc=color, ec="none", zorder=2)
    )


def _caption(
    axis: Axes, left: float, right: float, title: str, channels: int, size: int, small: float
) -> None:
    """What a stage's blocks have in common, over a line as wide as the stage."""
    axis.plot([left, right], [0.6, 0.6], color=MUTED, lw=1, solid_capstyle="butt")
    middle = (left + right) / 2
    axis.annotate(
        title,
        (middle, 0.645),
        xytext=(0, 2.75 * small),
        textcoords="offset points",
        ha="center",
        va="bottom",
        size=small + 0.6,
        weight="bold",
    )
    text = f"{channels} ch\n1/{size} size"
    axis.text(middle, 0.645, text, ha="center", va="bottom", size=small, color=MUTED)


def _draw_bars(axis: Axes, table: CostTable, row: list[_Box], small: float) -> None:
    costs = table["macs"].table
    candidates = costs.shape[1]
    highest = np.nanmax(costs)
    for box in row:
        macs = costs[box.number]
        middle, value = box.x + 0.5, macs[box.choice]
        axis.bar(middle, value, 0.62, color=_color(box.choice, candidates))
        if candidates > 1:
            axis.plot(
                [middle] * 2, [np.nanmin(macs), np.nanmax(macs)], color=INK, lw=1, marker="_", ms=5
            )
        axis.text(
            middle,
            np.nanmax(macs) + 0.03 * highest,
            readable("macs", float(value), digits=3),
            ha="center",
            va="bottom",
            size=small,
        )
    axis.set(ylim=(0, highest * 1.16), xticks=[])
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    scale(axis.yaxis, "macs", 4)
    axis.yaxis.grid()


def _color(choice: int, candidates: int) -> str | tuple[float, ...]:
    if candidates <= len(COLORS):
        return COLORS[choice]
    return matplotlib.colormaps["turbo"](0.06 + 0.88 * choice / (candidates - 1))[:3]
