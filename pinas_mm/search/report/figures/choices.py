"""Which candidate the best architectures take in which block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    Drawing,
    heading,
    ink_on,
    nothing_yet,
    styled,
)
from pinas_mm.search.report.text import printable
from pinas_mm.space import SYMBOLS, Arch, SearchSpace

# The best are this share of all, but at least so many.
SHARE, LEAST = 0.1, 10
# Empty columns between two stages, in blocks.
GAP = 0.35
# With more candidates the cells are too low for their numbers.
MOST_WRITTEN = 12


@styled
def draw_choices(findings: Findings, narrow: bool = False) -> Figure:
    """Heat map, blocks by candidates, of the share among the best architectures.

    A second one shows how far that is from the share among all that were evaluated; it is left out
    while the best are all there are.

    Args:
        findings: of a search.
        narrow: whether the figure is for a telephone; blocks then stand below each other.
    """
    if not findings.evaluated:
        return nothing_yet(narrow)
    space, best = findings.space, best_of(findings)
    chosen = shares([e.arch for e in best], space)
    versus = len(best) < len(findings.evaluated)
    beside = space.num_blocks <= 8 or space.num_candidates > MOST_WRITTEN
    rows, columns = (1, 1) if not versus else (1, 2) if beside and not narrow else (2, 1)
    height = 1.25 + max(0.34 * space.num_candidates, 0.9)
    if space.num_candidates > MOST_WRITTEN:
        height = 1.25 + 0.19 * space.num_candidates
    if narrow:
        height = 2.6 + 0.22 * space.num_blocks
    figure = Drawing(height * rows, narrow, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    heat = _upright_heat if narrow else _heat
    heat(
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
        heat(
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
    return f"{SYMBOLS[index]}:  {printable(candidate.label)}"


def _heat(
    axis: Axes, space: SearchSpace, values: NDArray[Any], title: str, note: str, **colors: Any
) -> None:
    """Draws values of shape (blocks, candidates), blocks beside each other, the stages apart."""
    places, between = _places(space), np.arange(space.num_candidates + 1) - 0.5
    crowded = space.num_candidates > MOST_WRITTEN
    # Where each stage is a block, all their names do not fit side by side.
    named = space.num_blocks / len(space.depths) > 2 or len(space.depths) <= (5 if crowded else 8)
    for stage, blocks, edges in _stages(space, places):
        mesh = axis.pcolormesh(edges, between, values[blocks].T, **_edged(), **colors)
        _name(
            axis,
            f"stage {stage + 1}" if named else str(stage + 1),
            ((edges[0] + edges[-1]) / 2, 0),
            ("data", "axes fraction"),
            (0, -22 if max(space.depths) > 1 else -6),
            ha="center",
            va="top",
        )
    if not named:
        axis.set_xlabel("stage", labelpad=12)
    if not crowded:
        _write(axis, places, values, mesh)
    axis.set_yticks(*_candidates(space), **_label_style(crowded))
    axis.set_xticks(places, _numbers(space), color=MUTED)
    axis.set(xlim=_ends(places, 0.55), ylim=_ends(between, 0.05)[::-1])
    _finish(axis, mesh, title, note, 40 if crowded else 14)


def _upright_heat(
    axis: Axes, space: SearchSpace, values: NDArray[Any], title: str, note: str, **colors: Any
) -> None:
    """The same, blocks below each other."""
    places, between = _places(space), np.arange(space.num_candidates + 1) - 0.5
    crowded = space.num_candidates > MOST_WRITTEN
    for stage, blocks, edges in _stages(space, places):
        mesh = axis.pcolormesh(between, edges, values[blocks], **_edged(), **colors)
        _name(
            axis,
            f"stage {stage + 1}",
            (0, (edges[0] + edges[-1]) / 2),
            ("axes fraction", "data"),
            (-20 if max(space.depths) > 1 else -6, 0),
            ha="right",
            va="center",
        )
    if not crowded:
        _write(axis, places, values, mesh, upright=True)
    label = _label_style(crowded)
    # As many beside each other as there are candidates, in 200 points.
    label["size"] = min(label["size"], 200 / space.num_candidates)
    axis.set_xticks(*_candidates(space), rotation=90, **label)
    axis.set_yticks(places, _numbers(space), color=MUTED)
    axis.set(ylim=_ends(places, 0.55)[::-1], xlim=_ends(between, 0.05))
    _finish(axis, mesh, title, note, 30)


def _places(space: SearchSpace) -> NDArray[Any]:
    """Where blocks stand, in blocks, shape (blocks,)."""
    return np.arange(space.num_blocks) + GAP * np.repeat(np.arange(len(space.depths)), space.depths)


def _stages(space: SearchSpace, places: NDArray[Any]) -> Iterator[tuple[int, slice, NDArray[Any]]]:
    """Each stage, its blocks, and the edges of their cells."""
    first = 0
    for stage, depth in enumerate(space.depths):
        yield stage, slice(first, first + depth), places[first] - 0.5 + np.arange(depth + 1)
        first += depth


def _edged() -> dict[str, Any]:
    return dict(edgecolors=matplotlib.rcParams["figure.facecolor"], linewidth=1)


def _ends(values: NDArray[Any], more: float) -> tuple[float, float]:
    return values[0] - more, values[-1] + more


def _numbers(space: SearchSpace) -> list[str]:
    """Blocks' numbers in their stages; none where each stage is one block."""
    numbers = [str(i + 1) for depth in space.depths for i in range(depth)]
    return numbers if max(space.depths) > 1 else [""] * len(numbers)


def _candidates(space: SearchSpace) -> tuple[range, list[str]]:
    names = [candidate_label(i, candidate) for i, candidate in enumerate(space.candidates)]
    return range(space.num_candidates), names


def _label_style(crowded: bool) -> dict[str, Any]:
    return dict(family="DejaVu Sans Mono", size=7 if crowded else 8.5, color=INK)


def _name(
    axis: Axes,
    text: str,
    place: tuple[float, float],
    coordinates: tuple[str, str],
    offset: tuple[float, float],
    **options: Any,
) -> None:
    axis.annotate(
        text,
        place,
        xycoords=coordinates,
        xytext=offset,
        textcoords="offset points",
        color=INK,
        size=8.5,
        **options,
    )


def _finish(axis: Axes, mesh: Any, title: str, note: str, aspect: int) -> None:
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    heading(axis, title, note)
    bar = axis.figure.colorbar(mesh, ax=axis, pad=0.015, fraction=0.04, aspect=aspect)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    cast(Any, bar.outline).set_visible(False)


def _write(
    axis: Axes, places: NDArray[Any], values: NDArray[Any], mesh: Any, upright: bool = False
) -> None:
    signed = bool((values < 0).any())
    for block, candidates in enumerate(values):
        for candidate, value in enumerate(candidates):
            if np.isnan(value):
                continue
            color = ink_on(mesh.cmap(mesh.norm(value)))
            text = f"{100 * value:+.0f}" if signed and round(100 * value) else f"{100 * value:.0f}"
            text = "0" if text == "-0" else text
            place: tuple[float, float] = (
                (candidate, places[block]) if upright else (places[block], candidate)
            )
            axis.text(*place, text, ha="center", va="center", color=color, size=8.5)
