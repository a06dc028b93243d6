"""What a running search shows: a progress bar, log lines, TensorBoard curves, a fresh report."""

from __future__ import annotations

import time
from types import TracebackType

from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pinas_mm.errors import UserError
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.search import Search

# Seconds between two looks at the record, and between two reports.
LOOK, REPORT = 2.0, 60.0


class Display:
    """Shows how far a search is, while a ``with`` block runs it.

    Args:
        search: the search.
        logger, visualizer: mmengine's, of the run.
        console: where the bar goes; None is standard error.
    """

    def __init__(
        self,
        search: Search,
        logger: MMLogger,
        visualizer: Visualizer | None = None,
        console: Console | None = None,
    ) -> None:
        self._search, self._logger, self._visualizer = search, logger, visualizer
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )
        self._task = self._bar.add_task("architectures", total=search.settings.trials)
        self._looked = self._reported = time.monotonic()
        self._evaluated = -1

    def __enter__(self) -> Display:
        self._bar.start()
        self._look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._look()
        self._bar.stop()

    def __call__(self, fraction: float) -> None:
        """Told the share of the batch in work that is done, 0 to 1."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        self._look()
        if now - self._reported >= REPORT:
            self._reported = now
            try:
                self._search.write()
            except UserError as error:
                # The search goes on; its end writes the report again.
                self._logger.warning(str(error))

    def _look(self) -> None:
        found = self._search.findings()
        states = found.states
        done = states["complete"] + states["pruned"] + states["fail"]
        if done == self._evaluated:
            return
        self._evaluated = done
        best = found.best(1)
        text = _summary(found, best)
        self._bar.update(self._task, completed=done, description=text)
        self._logger.info(f"{done} of {self._search.settings.trials} architectures, {text}")
        if self._visualizer is not None and best:
            scalars = {
                f"search/best/{objective.name}": value
                for objective, value in zip(found.objectives, best[0].values, strict=True)
            }
            self._visualizer.add_scalars(scalars, step=done)


def _summary(found: Findings, best: list[Evaluated]) -> str:
    if not best:
        return "none complete yet"
    values = ", ".join(
        f"{objective.name} {value:.6g}"
        for objective, value in zip(found.objectives, best[0].values, strict=True)
    )
    return f"best {best[0].arch}: {values}"
