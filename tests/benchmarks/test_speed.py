"""The page on speed has what the committed results say."""

import sys

from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from page import rewritten
from speed import tables


def test_the_committed_page_is_what_its_command_makes():
    page = REPOSITORY / "docs" / "speed.md"
    text, made = page.read_text(), tables(page.parent)
    assert all(f"<!-- table {name} -->" in text for name in made)
    assert rewritten(text, made) == text
