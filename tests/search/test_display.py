"""What a running search shows."""

import dataclasses
import io
import logging
import re
from types import SimpleNamespace

import pytest
from made_findings import made_findings
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pinas_mm.errors import UserError
from pinas_mm.search import display
from pinas_mm.search.display import Display
from pinas_mm.search.report.report import Report
from pinas_mm.search.report.shown import FIGURES
from pinas_mm.search.search import Search
from pinas_mm.search.settings import SearchSettings


class Found(Search):
    """A search of which only findings and report are asked."""

    def __init__(self, work_dir, space):
        self.settings = SearchSettings(
            score=None, dataloader={}, calibration_dataloader={}, trials=9
        )
        self.work_dir, self.space, self.values, self.cost_table = work_dir, space, [], None
        self._sha256, self._facts, self.config, self.failed = "", {}, None, 0
        self.evaluator = SimpleNamespace(backbone=SimpleNamespace(strides=None, dilations=None))

    def findings(self, patience=None):
        found = made_findings(self.space, self.values, "score")
        return dataclasses.replace(found, states={**found.states, "fail": self.failed})


@pytest.fixture
def show(monkeypatch, tmp_path, space):
    monkeypatch.setattr(display, "LOOK", 0.0)
    monkeypatch.setattr(display, "REPORT", 0.0)
    text = io.StringIO()
    logger = MMLogger(f"display {tmp_path}", "mmengine", log_file=str(tmp_path / "log"))
    search = Found(tmp_path / "work", space)
    console = Console(file=text, width=120, force_terminal=True)
    return search, Display(search, logger, console=console), text, tmp_path / "log"


def test_bar_log_and_report_follow_the_record(show):
    search, shown, text, log = show
    with shown:
        search.values = [0.25, 0.5]
        shown(0.5)
        # It is drawn by another process, which may take its time.
        assert not (search.work_dir / "search.html").exists()
        search.values = [0.25, 0.5, 0.75]
    assert "2 complete" in (search.work_dir / "search.html").read_text()
    assert "3/9" in text.getvalue()
    lines = [line for line in log.read_text().splitlines() if "of 9" in line]
    assert len(lines) == 3
    assert "0 of 9 architectures, none complete yet" in lines[0]
    assert "score 0.75" in lines[2]


def test_failed_ones_are_named_and_not_counted(show):
    search, shown, text, log = show
    search.values, search.failed = [0.25] * 9, 2
    with shown:
        pass
    assert "9/9" in text.getvalue()
    assert "9 of 9 architectures" in log.read_text()
    assert "score 0.25, 2 failed" in log.read_text()


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self):
        return True


def test_lines_stand_above_the_bar_and_times_are_whole(monkeypatch, tmp_path, space):
    monkeypatch.setattr(display, "LOOK", 0.0)
    text, out = io.StringIO(), Terminal()
    logger = MMLogger(f"lines {tmp_path}", "mmengine", log_file=str(tmp_path / "log"))
    (handler,) = (h for h in logger.handlers if not isinstance(h, logging.FileHandler))
    handler.setStream(out)
    search = Found(tmp_path / "work", space)
    console = Console(file=text, width=80, force_terminal=True, legacy_windows=False)
    with Display(search, logger, console=console) as shown:
        for number in range(1, 4):
            search.values.append(number / 7)
            shown(0.5)
            logger.info(f"line [/red] {number} " + 30 * "x")
    assert handler.stream is out
    assert not out.getvalue()
    uncolored = re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue())
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", uncolored)
    for number in range(1, 4):
        assert re.search(rf"(?m)^.*line \[/red\] {number} ", plain)
    bars = [line for line in re.split(r"[\n\r]", plain) if line.startswith("architectures ")]
    assert bars
    assert all(len(line) <= 80 for line in bars)
    # Elapsed and remaining; the winner is what is cut.
    assert all(
        re.search(r" \d/9 \d:\d\d:\d\d left (-|\d):(--|\d\d):(--|\d\d)", bar) for bar in bars
    )
    assert any(bar.rstrip().endswith("…") for bar in bars)


def test_log_lines_that_go_to_a_file_stay_there(monkeypatch, tmp_path, space):
    logger = MMLogger(f"file {tmp_path}", "mmengine", log_file=str(tmp_path / "log"))
    (handler,) = (h for h in logger.handlers if not isinstance(h, logging.FileHandler))
    out, text = io.StringIO(), io.StringIO()
    handler.setStream(out)
    with Display(Found(tmp_path, space), logger, console=Console(file=text, force_terminal=True)):
        logger.info("a line")
    assert "a line" in out.getvalue()
    assert "a line" not in text.getvalue()


def test_a_database_that_is_away_ends_no_display(show):
    search, shown, _, log = show

    def away(patience=None):
        raise UserError("the database is away")

    with shown:
        search.findings = away
        shown(0.5)
    assert "the database is away" in log.read_text()


def test_report_that_cannot_be_written_does_not_end_the_search(show):
    search, shown, _, log = show
    search.work_dir.write_text("a file where the folder should be")
    with shown:
        shown(0.5)
    assert "cannot be written" in log.read_text()
    with pytest.raises(UserError, match=r"report in .* cannot be written.*record has"):
        search.write()


def test_tensorboard_has_the_reports_figures(space, tmp_path):
    Report(made_findings(space, [1.0, 2.0], "score"), tmp_path).write()
    backends = [dict(type="TensorboardVisBackend")]
    visualizer = Visualizer(vis_backends=backends, save_dir=str(tmp_path / "run"))
    display.add_pictures(visualizer, tmp_path, step=7)
    visualizer.close()
    (file,) = tmp_path.rglob("events.*")
    events = EventAccumulator(str(file.parent)).Reload()
    shown = {tag: events.Images(tag) for tag in events.Tags()["images"]}
    assert set(shown) == {f"search_{name}" for name in FIGURES}
    for tag, (image,) in shown.items():
        with Image.open(tmp_path / "figures" / f"{tag.removeprefix('search_')}.png") as figure:
            assert (image.width, image.height, image.step) == (*figure.size, 7)
