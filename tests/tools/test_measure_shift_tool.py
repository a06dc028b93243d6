"""tools/measure_shift.py refuses in one line; what it measures is in tests/engine."""

import pytest
import torch
from conftest import CONFIGS, NAMES, pinas_model


@pytest.mark.parametrize(
    ("config", "arguments", "fault"),
    [
        ("small_supernet.py", ["--images", 2], "images 2, pairs 8: shifts need at least 4"),
        ("small_supernet.py", ["--pairs", 0], "1 pair of paths"),
        ("small_supernet.py", ["--seed", -1], "seed is -1: allowed"),
        ("small_supernet.py", ["--images", "many"], "argument --images: invalid int value"),
        ("small_supernet.py", ["--out", "/proc/no/shift.json"], "cannot be written"),
        ("small_supernet.py", ["--figure", "."], "is a folder: give a file name"),
        ("small_supernet.py", ["--out", "a", "--figure", "./a"], "is to be written twice"),
        ("small_supernet.py", ["--out", "{weights}"], "is to be read and written"),
        ("small_linear.py", [], "the checkpoint"),
        ("small_classifier.py", [], "the checkpoint"),
    ],
)
def test_bad_input_is_one_line(tool, monkeypatch, tmp_path, config, arguments, fault):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "supernet.pth"
    torch.save(dict(state_dict=pinas_model().state_dict()), weights)
    status, out, err = tool(
        "measure_shift.py",
        CONFIGS / config,
        weights,
        *("--work-dir", tmp_path / "work"),
        *(str(argument).format(weights=weights) for argument in arguments),
        *("--cfg-options", f"experiment_name={next(NAMES)}"),
    )
    assert status == 2
    assert err.splitlines()[-1].startswith("error: ")
    assert fault in err.splitlines()[-1]
    assert "shifts, means" not in out
