"""Figures, of a search and of other findings, drawn without pyplot, so in any thread."""

from pinas_mm.search.report.figures.choices import draw_choices
from pinas_mm.search.report.figures.costs import draw_costs
from pinas_mm.search.report.figures.network import draw_network
from pinas_mm.search.report.figures.output import to_svg
from pinas_mm.search.report.figures.progress import draw_progress
from pinas_mm.search.report.figures.ranking import draw_ranking
from pinas_mm.search.report.figures.shifts import draw_shifts
from pinas_mm.search.report.figures.style import to_png

__all__ = [
    "draw_choices",
    "draw_costs",
    "draw_network",
    "draw_progress",
    "draw_ranking",
    "draw_shifts",
    "to_png",
    "to_svg",
]
