"""What a demo finds of earlier ones."""

import io
import json

import pytest
from rich.console import Console

from pinas_mm.demo.jobs import finished
from pinas_mm.errors import UserError


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def test_a_finished_demo_is_shown_again_for_its_own_seeds_only(tmp_path, console):
    results = tmp_path / "results.json"
    assert finished(results, [0], console) is None
    assert not console.file.getvalue()

    # The demo's are by their names, the task's are a list.
    for seeds in ({"0": {}, "1": {}}, [0, 1]):
        results.write_text(json.dumps(dict(seeds=seeds, minutes=1)))
        assert finished(results, [1, 0], console)["minutes"] == 1
        assert f"remove {tmp_path} to run it again" in console.file.getvalue()
        with pytest.raises(UserError, match=r"finished demo of seed 0 1: for seed 2 give another"):
            finished(results, [2], console)
    assert json.loads(results.read_text())["seeds"] == [0, 1]
