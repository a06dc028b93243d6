"""The report of a finished or running search: a page, its pictures, the best for programs."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pinas_mm.files import write_atomically
from pinas_mm.search.record.findings import Findings
from pinas_mm.search.report.figures import to_png, to_svg
from pinas_mm.search.report.page import render_page
from pinas_mm.search.report.shown import FIGURES, ShownFindings
from pinas_mm.space.cost import CostTable


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report is made of.

    Args:
        findings: of the search; see :meth:`Findings.to_dict` for ``best.json``.
        folder: where to; made where missing.
        cost_table: of the search's space, for the cost of each block of the winner.
        number: architectures in ``best.json``.
        sha256: of the checkpoint's file; by it :func:`~pinas_mm.export.best.read_best` knows the
            file again, here or in a copy of the folders.
        facts: what else the page shall say of the search, by headings.
        config: file of the config that the search ran with, for the page's commands.
        placed: ``strides`` and ``dilations`` of the supernet.
    """

    findings: Findings
    folder: str | Path
    cost_table: CostTable | None = None
    number: int = 10
    sha256: str = ""
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: str | Path | None = None
    placed: Mapping[str, Sequence[int] | None] = dataclasses.field(default_factory=dict)

    def write(self) -> None:
        """Writes ``search.html``, ``figures/*.png``, ``best.json`` and ``best.txt``.

        Each file is there whole or not at all, and the same findings give the same bytes.
        ``best.txt`` has the best architecture's text form alone; it is missing while nothing is
        evaluated.

        Raises:
            OSError: a file cannot be written.
        """
        findings, folder = self.findings, Path(self.folder)
        trials = [e.trial for e in findings.evaluated]
        shown, pictures = ShownFindings.of(findings, self.cost_table), {}
        for name in FIGURES:
            alt = _alt(name, findings)
            # A page shows one of the two, whichever fits.
            for narrow in (False, True):
                figure, key = shown.plot(name, narrow), f"{name}-narrow" if narrow else name
                pictures[key] = to_svg(figure, key, alt, trials)
                if not narrow:
                    write_atomically(folder / "figures" / f"{name}.png", to_png(figure))
        page = render_page(findings, folder, pictures, self.facts, self.config)
        write_atomically(folder / "search.html", page.encode())
        text = json.dumps(self._best(folder), indent=2, allow_nan=False)
        write_atomically(folder / "best.json", f"{text}\n".encode())
        best = findings.best(1)
        if best:
            write_atomically(folder / "best.txt", f"{best[0].arch}\n".encode())
        else:
            # One of a search with other constraints would pass for this search's.
            (folder / "best.txt").unlink(missing_ok=True)

    def _best(self, folder: Path) -> dict[str, Any]:
        """What ``best.json`` has."""
        source = _source(self.findings.checkpoint, folder, self.sha256)
        content = self.findings.to_dict(self.number) | source
        content |= {name: value and list(value) for name, value in self.placed.items()}
        if self.cost_table is not None and self.cost_table.image_size is not None:
            content["image_size"] = list(self.cost_table.image_size)
        return content


def _source(checkpoint: str, folder: Path, sha256: str) -> dict[str, str]:
    """How the checkpoint is found again; its path from here where a copy would take it along."""
    if not sha256:
        return {}
    found = {"checkpoint_sha256": sha256}
    if Path(checkpoint).is_relative_to(folder.resolve().parent):
        found["checkpoint_from_here"] = os.path.relpath(checkpoint, folder.resolve())
    return found


def _alt(name: str, findings: Findings) -> str:
    """What a picture shows, in words."""
    number = len(findings.evaluated)
    if not number:
        return "Nothing is evaluated yet."
    objectives = ", ".join(o.name for o in findings.objectives)
    best = findings.best(1)[0]
    return {
        "network": f"The best architecture, {best.arch}, drawn as a network: stem, "
        f"{len(findings.space.depths)} stages and {findings.space.num_blocks} choice blocks.",
        "progress": f"{objectives} of {number} architectures in the order of their evaluation, and "
        "the best so far.",
        "costs": f"{objectives} of {number} architectures against their costs, the Pareto front "
        "marked.",
        "choices": "Share of each candidate in each choice block among the best architectures.",
    }[name]
