"""A demo's result as one page, in the look of the search's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from rich.table import Table

from pinas_mm.long_work import in_words
from pinas_mm.search.report.figures import to_svg
from pinas_mm.search.report.html import embed, figures_of, render
from pinas_mm.search.report.text import printable

TEMPLATE = "demo/page.html.jinja"


@dataclasses.dataclass(frozen=True)
class Section:
    """A step on the page.

    Attributes:
        name: its anchor.
        title: its heading.
        parts: what it shows, in turn; see the functions of this module.
    """

    name: str
    title: str
    parts: Sequence[Markup]


def page(
    title: str, lead: str, tiles: Iterable[tuple[str, str]], sections: Sequence[Section]
) -> str:
    """The page's HTML; sections without parts are left out.

    Args:
        title, lead: of the whole.
        tiles: names and texts of what is most worth knowing.
        sections: its steps.
    """
    shown = [section for section in sections if section.parts]
    return render(TEMPLATE, title=title, lead=lead, tiles=list(tiles), sections=shown)


def words(text: str) -> Markup:
    """A paragraph for each line of a text."""
    paragraph = Markup('<p class="say">{}</p>')
    return Markup("\n").join(paragraph.format(printable(line)) for line in text.splitlines())


def html_table(table: Table) -> Markup:
    """A terminal's table."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    numbers = [column.justify == "right" for column in table.columns]
    head, *rows = (
        Markup("").join(
            Markup("<{0}{1}>{2}</{0}>").format(
                kind, "" if number else Markup(' class="text"'), printable(cell)
            )
            for cell, number in zip(cells, numbers, strict=True)
        )
        for kind, cells in zip(
            ["th", *["td"] * table.row_count], zip(*columns, strict=True), strict=True
        )
    )
    body = Markup("").join(Markup("<tr>{}</tr>\n").format(row) for row in rows)
    title = (
        Markup("<caption>{}</caption>").format(printable(str(table.title))) if table.title else ""
    )
    return Markup(
        '<table class="small">{}<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table>'
    ).format(title, head, body)


def figure(draw: Callable[[bool], Figure], name: str, alt: str) -> Markup:
    """A figure, broad and for telephones.

    Args:
        draw: draws it, for a telephone where it is told True.
        name: prefix of its ids; unique in the page.
        alt: what it shows, for those who do not see it.
    """
    broad, narrow = to_svg(draw(False), name, alt), to_svg(draw(True), f"{name}-narrow", alt)
    return Markup(
        f'<figure><div class="broad">{broad}</div><div class="narrow">{narrow}</div></figure>'
    )


def searched(work_dir: Path, where: str) -> list[Markup]:
    """What a search's page has drawn, and the way to it.

    Args:
        work_dir: of the demo.
        where: the search's work dir from there.
    """
    file = f"{where}/search.html"
    return [*figures_of(work_dir / file, where.replace("/", "-")), link("Its own page", file)]


def pictures(title: str, files: Iterable[Path]) -> Markup:
    """Pictures under a heading, beside each other as far as there is room."""
    images = Markup("\n").join(embed(f, f"{title}: {f.stem}") for f in files)
    return Markup('<h3>{}</h3>\n<div class="pictures">\n{}\n</div>').format(title, images)


def link(text: str, target: str) -> Markup:
    """A line that leads to a file beside the page."""
    return Markup('<p class="say"><a href="{}">{}</a></p>').format(target, text)


def facts(rows: Mapping[str, str]) -> Markup:
    """Names and what is known by them."""
    one = Markup("<dt>{}</dt><dd>{}</dd>\n")
    return Markup("<dl>\n{}</dl>").format(
        Markup("").join(one.format(printable(name), printable(text)) for name, text in rows.items())
    )


def origin(found: Mapping[str, Any]) -> list[Section]:
    """The sections that all demos end with: how long each work took, and on what.

    Args:
        found: ``times`` of a :class:`~pinas_mm.demo.schedule.Schedule`, ``minutes``, ``resumed``,
            ``command``, ``machine`` and ``versions``, those that there are.
    """
    table = Table("step", "work")
    table.add_column("time", justify="right")
    for row in found.get("times", ()):
        table.add_row(row["step"], row["name"], in_words(row["seconds"]))
    whole = f"{found['minutes']} minutes in all"
    if found.get("resumed"):
        whole += ", of the run that ended it: it was broken off before"
    machine = found["machine"]
    known = {
        "Command": found["command"],
        "Machine": f"{machine['cores']} cores of {machine['cpu']}",
        "Python": machine["python"],
        **found.get("versions", {"torch": machine["torch"]}),
    }
    return [
        Section(
            "times",
            "How long it took",
            [words(f"{whole}; works of one step go on at the same time"), html_table(table)]
            if table.row_count
            else [words(whole)],
        ),
        Section("versions", "Made with", [facts(known)]),
    ]
