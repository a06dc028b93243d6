"""What a running search shows."""

import io

import pytest
from made_findings import made_findings
from mmengine.logging import MMLogger
from rich.console import Console

from pinas_mm.errors import UserError
from pinas_mm.search import display
from pinas_mm.search.display import Display
from pinas_mm.search.search import Search
from pinas_mm.search.settings import SearchSettings


class Found(Search):
    """A search of which only findings and report are asked."""

    def __init__(self, work_dir, space):
        self.settings = SearchSettings(
            score=None, dataloader={}, calibration_dataloader={}, trials=9
        )
        self.work_dir, self.space, self.values, self.cost_table = work_dir, space, [], None

    def findings(self):
        return made_findings(self.space, self.values, "score")


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
        assert (search.work_dir / "search.html").is_file()
        search.values = [0.25, 0.5, 0.75]
    assert "3/9" in text.getvalue()
    lines = [line for line in log.read_text().splitlines() if "of 9" in line]
    assert len(lines) == 3
    assert "0 of 9 architectures, none complete yet" in lines[0]
    assert "score 0.75" in lines[2]


def test_report_that_cannot_be_written_does_not_end_the_search(show):
    search, shown, _, log = show
    search.work_dir.write_text("a file where the folder should be")
    with shown:
        shown(0.5)
    assert "cannot be written" in log.read_text()
    with pytest.raises(UserError, match=r"report in .* cannot be written.*record has"):
        search.write()
