"""The evaluator's benchmark: the same metrics together and alone, and what its figures are."""

import json
import sys

import pytest
from breeding import bred
from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

import evaluate

from pinas_mm.space import SearchSpace


def test_shares_are_of_all_blocks():
    assert evaluate.share([(0, 1), (0, 2), (0, 1)]) == 100 * 3 / 6
    archs = bred(SearchSpace(), 20)
    prefixes = {tuple(arch)[:depth] for arch in archs for depth in range(1, 17)}
    assert evaluate.share(archs) == pytest.approx(100 * len(prefixes) / (20 * 16))
    found = evaluate.shares(20)
    assert found["bred by evolution"]["median"] < found["random"]["least"]


def test_a_row_of_a_detector(tmp_path, monkeypatch):
    file = tmp_path / "evaluate.json"
    options = [
        "--rows",
        "detector",
        "--archs",
        "16",
        "--images",
        "4",
        "--alone",
        "2",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--out",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *options, str(file)])
    evaluate.main()
    (row,) = json.loads(file.read_text())["rows"]
    seconds = row["seconds"]
    assert row["ratio"]["min"] == 16 * seconds["alone"]["min"] / seconds["together"]["min"]
    assert row["kept_bytes"] <= 512 * 2**20
    assert 0 < row["blocks"] < 100
