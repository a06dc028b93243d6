"""What was evaluated as a table: columns of numbers that a person can read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from pinas_mm.search.budget.constraint import COUNTS, TIMES
from pinas_mm.search.budget.objective import LATENCY, cost_names
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.report.text import printable

# Significant digits of the largest number of a column.
DIGITS, COST_DIGITS = 5, 4
ARCHITECTURE = "architecture"
# Characters of a name that stand in a line at least, where it is as long.
NAME = 8
# Architectures where nobody asks for more or less.
SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of every architecture.

    Attributes:
        name: of the metric or cost.
        better: ``max`` or ``min`` where it is an objective, else empty.
        values: None where an architecture has none.
        texts: the values for a person; empty for None.
    """

    name: str
    better: str
    values: tuple[float | None, ...]
    texts: tuple[str, ...]


def columns(findings: Findings, rows: Sequence[Evaluated]) -> list[Column]:
    """Objectives first, then the other metrics, then the other costs, each in order of name."""
    better = {o.name: o.direction[:3] for o in findings.objectives}
    metrics = sorted({name for row in rows for name in row.metrics} - set(cost_names()))
    costs = [name for name in cost_names() if any(name in row.costs for row in rows)]
    made = []
    for name in dict.fromkeys([*better, *metrics, *costs]):
        values = tuple(_value(findings, row, name) for row in rows)
        made.append(Column(printable(name), better.get(name, ""), values, _texts(name, values)))
    return made


def best_rows(findings: Findings, number: int = SHOWN) -> tuple[str, list[str], list[list[str]]]:
    """Title, headings and rows of the best architectures' table, all texts."""
    best = findings.best(number)
    made = columns(findings, best)
    several = len(findings.objectives) > 1
    front = {e.trial for e in findings.front()} if several else set()
    headings = ["rank", ARCHITECTURE, *(column.name for column in made), "trial"]
    rows = []
    for index, evaluated in enumerate(best):
        cells = [column.texts[index] for column in made]
        mark = ["*" if evaluated.trial in front else ""] if several else []
        rows.append([str(index + 1), str(evaluated.arch), *cells, str(evaluated.trial), *mark])
    title = f"best {len(best)} of {len(findings.evaluated)}" if best else "nothing evaluated yet"
    return title, [*headings, *(["front"] if several else [])], rows


def best_table(findings: Findings, number: int = SHOWN, width: int | None = None) -> Table:
    """The best architectures for a terminal; of several objectives, ``front`` marks the front.

    Args:
        findings: what is shown.
        number: rows at most.
        width: characters of a line. Where they do not suffice, objectives and costs are shown, and
            no other metrics. None shows all.
    """
    title, headings, rows = best_rows(findings, number)
    shown, table = list(zip(headings, *rows, strict=True)), Table(title=title)
    # Two spaces and a line each.
    if width is not None and sum(_least(*column) + 3 for column in shown) + 1 > width:
        kept = {"rank", ARCHITECTURE, "front", *cost_names()}
        kept |= {printable(objective.name) for objective in findings.objectives}
        shown = [column for column in shown if column[0] in kept]
        table.caption = "the rest is in search.html"
    for heading, *texts in shown:
        if heading == ARCHITECTURE:
            # One that is broken over two lines cannot be copied.
            table.add_column(heading, no_wrap=True, style="bold")
        else:
            # A long name goes over several lines, and stays whole; a number does not.
            least = _least(heading, *texts)
            table.add_column(Text(heading), justify="right", overflow="fold", min_width=least)
    for row in list(zip(*shown, strict=True))[1:]:
        table.add_row(*map(Text, row))
    return table


def _least(heading: str, *texts: str) -> int:
    """How narrow a column can be."""
    return max(min(len(heading), NAME), *map(len, texts), 0)


def best_html(findings: Findings) -> str:
    """The same for a notebook."""
    title, headings, rows = best_rows(findings)

    def line(tag: str, texts: Sequence[str]) -> Markup:
        cells = (Markup("<{0}>{1}</{0}>").format(Markup(tag), text) for text in texts)
        return Markup("<tr>{}</tr>").format(Markup("").join(cells))

    return Markup("<table><caption>{}</caption><thead>{}</thead><tbody>{}</tbody></table>").format(
        title, line("th", headings), Markup("").join(line("td", row) for row in rows)
    )


def _value(findings: Findings, row: Evaluated, name: str) -> float | None:
    for objective, value in zip(findings.objectives, row.values, strict=True):
        if objective.name == name:
            return value
    metric = row.metrics.get(name) if name not in cost_names() else None
    return row.costs.get(name) if metric is None else metric


def _texts(name: str, values: Sequence[float | None]) -> tuple[str, ...]:
    """All in one unit and with as many decimals, so that they can be compared at a glance."""
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    unit, size, digits = "", 1.0, DIGITS
    if name in cost_names():
        units = TIMES if name == LATENCY else COUNTS
        unit = [u for u, s in units.items() if s <= largest or s == min(units.values())][-1]
        size, digits = float(units[unit]), COST_DIGITS
    elif largest and not 1e-4 <= largest < 1e9:
        return tuple("" if value is None else f"{value:.4g}" for value in values)
    whole = math.floor(math.log10(largest / size)) + 1 if largest else 1
    places = max(digits - max(whole, 1), 0) - min(whole, 0)

    def texts() -> list[str]:
        return [f"{value / size:.{places}f}" for value in values if value is not None]

    # Zeros that end all of them say nothing.
    while places and all(text[-1] == "0" or not text[-1].isdigit() for text in texts()):
        places -= 1
    left = iter(texts())
    return tuple("" if value is None else next(left) + unit for value in values)
