"""Figures as SVG that lies inside a page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from matplotlib.figure import Figure

from pinas_mm.search.report.figures.style import GRID, INK, MUTED, SURFACE, styled
from pinas_mm.search.report.text import printable

# The page's style sheet gives these their values.
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", SURFACE: "var(--card)"}
SHAPES = ("use", "path")


@styled
def to_svg(figure: Figure, name: str, alt: str, trials: Sequence[int] = ()) -> str:
    """An ``<svg>`` element for an HTML page, the same text for the same figure.

    Args:
        figure: the figure.
        name: prefix of all ids; unique in the page.
        alt: what the picture shows, for those who do not see it.
        trials: trial numbers of the points in groups whose id starts with ``points``, which get
            them as ``data-trial``.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    # HTML needs no namespaces, and the file nothing that looks like an address.
    text = re.sub(r'\s(xmlns(:\w+)?="[^"]*")', "", file.getvalue().replace("xlink:href", "href"))
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    root = ElementTree.fromstring(text[text.index("<svg") :])
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib.update({"role": "img", "aria-label": printable(alt)})
    for group in root.iter("g"):
        if group.get("id", "").startswith("points"):
            _name_points(group, trials)
    for parent in root.iter():
        for child in [child for child in parent if child.tag == "style"]:
            parent.remove(child)
        _adapt(parent, name)
    return ElementTree.tostring(root, encoding="unicode").replace("\n", "")


def _name_points(group: ElementTree.Element, trials: Sequence[int]) -> None:
    """Numbers the shapes of one scatter; a bitmap of them has none."""
    defined = {shape for defs in group.iter("defs") for shape in defs.iter()}
    shapes = [e for e in group.iter() if e.tag in SHAPES and e not in defined]
    if len(shapes) == len(trials):
        for shape, trial in zip(shapes, trials, strict=True):
            shape.set("data-trial", str(trial))


def _adapt(element: ElementTree.Element, name: str) -> None:
    """Makes ids unique in the page and the colours the page's."""
    for key, value in element.attrib.items():
        if key == "id":
            value = f"{name}-{value}"
        elif key == "href" and value.startswith("#"):
            value = f"#{name}-{value[1:]}"
        elif key == "style":
            for color, variable in VARIABLES.items():
                value = value.replace(color, variable)
        if "url(#" in value:
            value = value.replace("url(#", f"url(#{name}-")
        element.set(key, value)
