"""The pages on speed have what the committed results say."""

import sys

from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from page import rewritten
from speed import RESULTS, tables


def test_the_committed_pages_are_what_their_command_makes():
    texts = [(REPOSITORY / page).read_text() for page in ("docs/speed.md", "README.md")]
    made = tables(RESULTS)
    assert all(f"<!-- table {name} -->" in "".join(texts) for name in made)
    assert [rewritten(text, made) for text in texts] == texts
