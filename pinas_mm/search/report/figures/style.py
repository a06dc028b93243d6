"""What all figures of a search look like."""

from __future__ import annotations

import functools
import io
import textwrap
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pinas_mm.search.budget.constraint import readable
from pinas_mm.search.budget.objective import cost_names
from pinas_mm.search.report.text import printable

# Inches; the page scales its figures to its own width, and has narrow ones for telephones.
WIDTH, NARROW = 11.5, 4.4
# Characters of a title's and a note's line in a narrow figure.
TITLE, NOTE = 40, 58
# The page follows its reader's light or dark scheme in these four.
INK, MUTED, GRID, SURFACE = "#1b2231", "#5c6678", "#dde2ea", "#fefefe"
POINT, BEST = "#5b86c4", "#dd5f32"
# Neither end gets lost on a light or on a dark page.
ORDER = LinearSegmentedColormap.from_list("order", ["#4f86d9", "#8d78b8", "#e0803a"])
SHORT = {"params": "parameters", "macs": "multiply-adds", "latency": "latency"}
# More points are drawn as one bitmap: as shapes they would make the page heavy.
MOST_SHAPES = 3000

RC = {
    **matplotlib.rcParamsDefault,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.facecolor": SURFACE,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "text.color": INK,
    # Names of metrics are no formulas.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.fonttype": "path",
    "svg.hashsalt": "pinas_mm",
}
RC.pop("backend")
_lock = threading.RLock()


def styled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function with this look; settings are global, so one thread at a time.

    A figure that it returns is laid out, which takes as long as drawing it, once for all formats.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _lock, matplotlib.rc_context(RC):
            made = function(*args, **kwargs)
            engine = made.get_layout_engine() if isinstance(made, Figure) else None
            if engine is not None:
                engine.execute(made)
                made.set_layout_engine(None)
            return made

    return run


class Drawing(Figure):
    """A figure that a notebook shows.

    Args:
        height: in inches.
        narrow: whether it is for a telephone.
        **options: matplotlib's.
    """

    def __init__(self, height: float, narrow: bool = False, **options: Any) -> None:
        super().__init__(figsize=(NARROW if narrow else WIDTH, height), **options)

    def _repr_png_(self) -> bytes:
        return to_png(self)


@styled
def to_png(figure: Figure) -> bytes:
    """A PNG file, the same bytes for the same figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()


def panels(
    number: int, height: float, narrow: bool = False, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of ``number`` panels, ``height`` inches each: at most three beside each other, in a
    narrow one all below each other.
    """
    columns = 1 if narrow else min(number, 3)
    rows = -(-number // columns)
    figure = Drawing(height * rows, narrow, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def nothing_yet(narrow: bool = False) -> Figure:
    """A figure for a search without any evaluated architecture."""
    figure = Drawing(2.0, narrow)
    figure.text(0.5, 0.5, "nothing evaluated yet", ha="center", va="center", color=MUTED, size=12)
    return figure


def heading(axis: Axes, title: str, note: str) -> None:
    """A panel's title, and under it a line that says how to read it."""
    lines = 1
    if cast(Figure, axis.figure).get_figwidth() <= NARROW:
        title, note = textwrap.fill(title, TITLE), textwrap.fill(note, NOTE)
        lines += note.count("\n")
    axis.set_title(title, pad=9 + 11 * lines)
    axis.annotate(
        note,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        va="bottom",
        color=MUTED,
        size=8.5,
    )


def ink_on(color: Sequence[float]) -> str:
    """Black or white, whichever reads better on an RGB(A) colour that no scheme changes."""
    red, green, blue = color[:3]
    return "#101010" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.53 else "#f9f9f9"


def label(name: str) -> str:
    """A metric's or cost's name in words."""
    return SHORT.get(name, printable(name))


def shown(name: str, value: float) -> str:
    """A metric or cost as a person reads it: ``5.332G``, ``38.2ms``, ``61.72``."""
    return readable(name, value) if name in cost_names() else f"{value:.5g}"


def scale(axis: Any, name: str, ticks: int = 6) -> None:
    """Ticks of an x or y axis that shows a metric or a cost."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    if name in cost_names():
        axis.set_major_formatter(FuncFormatter(lambda value, _: readable(name, value, digits=6)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
