"""Findings that show themselves: in a terminal, in a notebook, as a DataFrame, as figures."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.console import Console, ConsoleOptions
from rich.table import Table

from pinas_mm.errors import UserError
from pinas_mm.search.record.findings import Findings
from pinas_mm.search.report.figures import (
    draw_choices,
    draw_costs,
    draw_network,
    draw_progress,
)
from pinas_mm.search.report.table import ARCHITECTURE, best_html, best_table, columns
from pinas_mm.space.cost import CostTable

if TYPE_CHECKING:
    import pandas

FIGURES = ("network", "progress", "costs", "choices")
# Characters of a line where nobody says how wide the terminal is.
WIDTH = 120


@dataclasses.dataclass(frozen=True, repr=False)
class ShownFindings(Findings):
    """What a search has found so far.

    ``print(findings)`` shows the ten best as a table, and so does a cell of a notebook.

    Attributes:
        cost_table: of the space, for the costs of single blocks in figures; None leaves them out.

    Example:
        >>> findings = pinas_mm.search(model, trials=100)
        >>> findings.best(1)[0].arch
        Arch('0-2-1')
        >>> findings.to_dataframe().sort_values('macs')
        >>> findings.plot('costs').savefig('costs.png')
    """

    cost_table: CostTable | None = dataclasses.field(default=None, compare=False)

    @classmethod
    def of(cls, findings: Findings, cost_table: CostTable | None = None) -> ShownFindings:
        """Findings with what they are shown with."""
        known = {f.name: getattr(findings, f.name) for f in dataclasses.fields(Findings)}
        return cls(**known, cost_table=cost_table)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        yield best_table(self, width=options.max_width)

    def __repr__(self) -> str:
        text = io.StringIO()
        Console(file=text, width=WIDTH).print(self)
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        return best_html(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """All evaluated architectures as a pandas DataFrame, best first, ``rank`` its index.

        Columns: ``architecture`` (text), objectives, other metrics and costs under their names
        (``params`` and ``macs`` counts, ``latency`` in seconds; NaN where there is none),
        ``trial``, ``seconds`` since the search's start, and with several objectives ``front``,
        whether it is on the Pareto front.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError(
                "a DataFrame needs pandas, which pinas_mm does without: pip install "
                "'pinas_mm[notebook]', or pip install pandas"
            ) from error
        ranked = self.best()
        table: dict[str, Sequence[Any]] = {ARCHITECTURE: [str(e.arch) for e in ranked]}
        table |= {column.name: column.values for column in columns(self, ranked)}
        table |= {"trial": [e.trial for e in ranked], "seconds": [e.seconds for e in ranked]}
        if len(self.objectives) > 1:
            front = {e.trial for e in self.front()}
            table["front"] = [e.trial in front for e in ranked]
        return pandas.DataFrame(table, pandas.RangeIndex(1, len(ranked) + 1, name="rank"))

    def plot(self, figure: str = "progress", narrow: bool = False) -> Figure:
        """One of the report's figures; a notebook shows it, ``savefig`` writes it.

        Args:
            figure: ``network`` draws the best architecture, ``progress`` the best so far,
                ``costs`` objectives against costs, ``choices`` which candidate the best take where.
            narrow: whether it is for a telephone.

        Raises:
            UserError: there is no such figure.
        """
        if figure == "network":
            return draw_network(self, self.cost_table, narrow=narrow)
        draw = {"progress": draw_progress, "costs": draw_costs, "choices": draw_choices}
        if figure not in draw:
            raise UserError(f"there is no figure {figure!r}: allowed are {', '.join(FIGURES)}")
        return draw[figure](self, narrow)
