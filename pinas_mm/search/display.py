"""What a running search shows: a progress bar, log lines, TensorBoard curves, a fresh report."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import mmcv
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer
from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from pinas_mm.errors import UserError
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.report.beside import ReportProcess
from pinas_mm.search.report.shown import FIGURES
from pinas_mm.search.report.text import printable
from pinas_mm.search.search import Search

# Seconds between two looks at the record, and between two reports.
LOOK, REPORT = 2.0, 60.0
# Characters of the bar itself; a terminal of 80 shows the numbers and times beside it whole.
BAR = 16


class _Cut(ProgressColumn):
    """The description, in what the other columns leave of the line."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=False))

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


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
            TextColumn("architectures"),
            BarColumn(BAR),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            _Cut(),
            # Without ipywidgets a bar in a notebook is a warning; log lines say as much.
            console=console or Console(stderr=True, force_jupyter=False),
            # What goes to a file stays there.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task("", total=search.settings.trials)
        self._streams: list[tuple[logging.StreamHandler[Any], TextIO]] = []
        self._looked = self._reported = time.monotonic()
        self._shown = (-1, -1)
        self._report = ReportProcess()

    def __enter__(self) -> Display:
        self._bar.start()
        self._share_terminal()
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
        # Whoever writes the last report comes after it.
        self._reporting(self._report.wait)
        for handler, stream in self._streams:
            handler.setStream(stream)
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
            self._reporting(lambda: self._report.write(self._search.report(patience=0)))

    def _reporting(self, work: Callable[[], None]) -> None:
        try:
            work()
        except UserError as error:
            # The search goes on; its end writes the report again.
            self._logger.warning(str(error))

    def _share_terminal(self) -> None:
        """Log lines that go to the bar's terminal are written above it, not into it."""
        console = self._bar.console
        for handler in self._logger.handlers:
            stream = getattr(handler, "stream", None)
            if console.is_terminal and stream is not None and stream.isatty():
                given = cast("logging.StreamHandler[Any]", handler)
                given.setStream(FileProxy(console, stream))
                self._streams.append((given, stream))

    def _look(self) -> None:
        try:
            found = self._search.findings(patience=0)
        except UserError:
            # A database that is away now; those who write to it say so.
            return
        states = found.states
        # Others take the places of failed ones.
        done, failed = states["complete"] + states["pruned"], states["fail"]
        if (done, failed) == self._shown:
            return
        self._shown = done, failed
        best = found.best(1)
        text = _summary(found, best) + (f", {failed} failed" if failed else "")
        self._bar.update(self._task, completed=done, description=printable(text))
        self._logger.info(f"{done} of {self._search.settings.trials} architectures, {text}")
        if self._visualizer is not None and best:
            scalars = {
                f"search/best/{objective.name}": value
                for objective, value in zip(found.objectives, best[0].values, strict=True)
            }
            self._visualizer.add_scalars(scalars, step=done)


def add_pictures(visualizer: Visualizer, work_dir: Path, step: int) -> None:
    """Has TensorBoard, and whatever else a run shows itself by, show a report's figures.

    Args:
        visualizer: mmengine's, of the run.
        work_dir: of the search, with its report.
        step: where on their axes.
    """
    for name in FIGURES:
        picture = mmcv.imread(work_dir / "figures" / f"{name}.png", channel_order="rgb")
        visualizer.add_image(f"search_{name}", picture, step)


def _summary(found: Findings, best: list[Evaluated]) -> str:
    if not best:
        return "none complete yet"
    values = ", ".join(
        f"{objective.name} {value:.6g}"
        for objective, value in zip(found.objectives, best[0].values, strict=True)
    )
    return f"best {best[0].arch}: {values}"
