"""Which candidate the best architectures take in which block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from pinas_mm.operations import Operation
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.report.figures.style import (
    INK,
    MUTED,
    WIDTH,
    heading,
    ink_on,
    nothing_yet,
    styled,
)
from pinas_mm.search.report.text import plain
from pinas_mm.space import SYMBOLS, Arch, SearchSpace

# The best are this share of all, but at least so many.
SHARE, LEAST = 0.1, 10
# Empty columns between two stages, in blocks.
GAP = 0.35
# With more candidates the cells are too low for their numbers.
MOST_WRITTEN = 12


@styled
def draw_choices(findings: Findings) -> Figure:
    """Heat map, blocks by candidates, of the share among the best architectures.

    A second one shows how far that is from the share among all that were evaluated; it is left out
    while the best are all there are.
    """
    if not findings.evaluated:
        return nothing_yet()
    space, best = findings.space, best_of(findings)
    chosen = shares([e.arch for e in best], space)
    versus = len(best) < len(findings.evaluated)
    beside = space.num_blocks <= 8 or space.num_candidates > MOST_WRITTEN
    rows, columns = (1, 1) if not versus else (1, 2) if beside else (2, 1)
    height = 1.25 + max(0.34 * space.num_candidates, 0.9)
    if space.num_candidates > MOST_WRITTEN:
        height = 1.25 + 0.19 * space.num_candidates
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    _heat(
        axes[0],
        space,
        chosen,
        "Choices of the best",
        f"share among the best {len(best)}; by chance {_by_chance(space)}",
        cmap="Blues",
        vmin=0,
        vmax=1,
    )
    if versus:
        excess = chosen - shares([e.arch for e in findings.evaluated], space)
        reach = max(np.nanmax(abs(excess)), 0.05)
        _heat(
            axes[1],
            space,
            excess,
            "Against all",
            f"difference to the share among all {len(findings.evaluated)}, in percentage points",
            cmap="RdBu_r",
            vmin=-reach,
            vmax=reach,
        )
    return figure


def _by_chance(space: SearchSpace) -> str:
    """The share of a candidate that is drawn, which differs where blocks have fewer."""
    least, most = (f"{1 / count:.0%}" for count in (space.counts.max(), space.counts.min()))
    return least if least == most else f"{least} to {most}"


def best_of(findings: Findings) -> list[Evaluated]:
    """The best tenth, at least ten where there are so many."""
    number = max(round(SHARE * len(findings.evaluated)), LEAST)
    return findings.best(number)


def shares(archs: Sequence[Arch], space: SearchSpace) -> NDArray[Any]:
    """Share of architectures with each candidate in each block, shape (blocks, candidates); NaN
    where one may not stand.
    """
    choices: NDArray[Any] = np.array(archs).reshape(-1, space.num_blocks)
    found = (choices[:, :, None] == np.arange(space.num_candidates)).mean(axis=0)
    return np.where(space.mask, found, np.nan)


def candidate_label(index: int, candidate: Operation) -> str:
    """``3:  r2 g2 w40``: symbol in an architecture's text, and what the operation calls itself."""
    return f"{SYMBOLS[index]}:  {plain(candidate.label)}"


def _heat(
    axis: Axes, space: SearchSpace, values: NDArray[Any], title: str, note: str, **colors: Any
) -> None:
    """Draws values of shape (blocks, candidates), the stages apart."""
    starts = np.concatenate([[0], np.cumsum(space.depths)])
    stages = np.repeat(np.arange(len(space.depths)), space.depths)
    places = np.arange(space.num_blocks) + GAP * stages
    below = np.arange(space.num_candidates + 1) - 0.5
    crowded = space.num_candidates > MOST_WRITTEN
    # Where each stage is a block, all their names do not fit side by side.
    named = space.num_blocks / len(space.depths) > 2 or len(space.depths) <= (5 if crowded else 8)
    for stage, depth in enumerate(space.depths):
        first = starts[stage]
        edges = places[first] - 0.5 + np.arange(depth + 1)
        mesh = axis.pcolormesh(
            edges,
            below,
            values[first : first + depth].T,
            edgecolors=matplotlib.rcParams["figure.facecolor"],
            linewidth=1,
            **colors,
        )
        axis.annotate(
            f"stage {stage + 1}" if named else str(stage + 1),
            ((edges[0] + edges[-1]) / 2, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -22 if max(space.depths) > 1 else -6),
            textcoords="offset points",
            ha="center",
            va="top",
            color=INK,
            size=8.5,
        )
    if not named:
        axis.set_xlabel("stage", labelpad=12)
    if not crowded:
        _write(axis, places, values, mesh)
    names = [candidate_label(i, candidate) for i, candidate in enumerate(space.candidates)]
    axis.set_yticks(
        range(space.num_candidates),
        names,
        family="DejaVu Sans Mono",
        size=7 if crowded else 8.5,
        color=INK,
    )
    numbers = [i + 1 for depth in space.depths for i in range(depth)]
    texts = map(str, numbers) if max(numbers) > 1 else [""] * len(numbers)
    axis.set_xticks(places, list(texts), color=MUTED)
    axis.set(xlim=(places[0] - 0.55, places[-1] + 0.55), ylim=(below[-1] + 0.05, below[0] - 0.05))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    heading(axis, title, note)
    bar = axis.figure.colorbar(
        mesh, ax=axis, pad=0.015, fraction=0.04, aspect=40 if crowded else 14
    )
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    cast(Any, bar.outline).set_visible(False)


def _write(axis: Axes, places: NDArray[Any], values: NDArray[Any], mesh: Any) -> None:
    signed = bool((values < 0).any())
    for block, candidates in enumerate(values):
        for candidate, value in enumerate(candidates):
            if np.isnan(value):
                continue
            color = ink_on(mesh.cmap(mesh.norm(value)))
            text = f"{100 * value:+.0f}" if signed and round(100 * value) else f"{100 * value:.0f}"
            text = "0" if text == "-0" else text
            axis.text(
                places[block], candidate, text, ha="center", va="center", color=color, size=8.5
            )
